// The threads of a block.
#pragma once
#include "language.h"

// A kernel, given the addresses of its arguments.
using Kernel = void (*)(void**);

// Runs all threads of `blockIdx`. Those of a kernel that `waits` are switched between wherever they wait for one
// another.
void run_block(Kernel kernel, void** arguments, bool waits);
