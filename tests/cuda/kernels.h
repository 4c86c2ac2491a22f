// candle's kernels by name, in a table that on_cpu.py makes.
#pragma once
#include "threads.h"

struct KernelEntry {
    // Module and function.
    const char* name;
    Kernel kernel;
    // Whether threads of a block wait for one another.
    bool waits;
    // Of how many operands the layout is told: arguments are then a count, a rank, and dimensions with strides. Such
    // kernels step through their numbers by the size of the grid.
    size_t layouts;
};

extern const KernelEntry kernels[];
extern const size_t kernel_count;
