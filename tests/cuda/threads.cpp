#include "threads.h"

#include <ucontext.h>

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
thread_local char* dynamic_shared;

namespace {

constexpr size_t WARP = 32;
constexpr size_t MAX_THREADS = 1024;
constexpr size_t STACK = 64 << 10;

enum class State { Ready, AtBlock, AtWarp, Done };

// A thread runs kernel after kernel on a stack of its own. It is begun as a context; from then on it is gone on with
// where it left, by jumps, which ask nothing of the system.
struct Thread {
    bool begun = false;
    ucontext_t context;
    jmp_buf left;
    State state;
    dim3 index;
    // What it gives to its warp: the next shuffle may begin before all have read the last one.
    uint64_t given[2];
    unsigned shuffles;
};

struct Block {
    std::vector<Thread> threads = std::vector<Thread>(MAX_THREADS);
    std::unique_ptr<char[]> stacks{new char[STACK * MAX_THREADS]};
    jmp_buf scheduler;
    Kernel kernel;
    void** arguments;
    size_t count;
    size_t current;
    // Whether a kernel that waits is run.
    bool waits = false;
};

Block& block() {
    static thread_local Block own;
    return own;
}

[[noreturn]] void wrong(const char* what) {
    fprintf(stderr, "CUDA on the CPU: %s\n", what);
    abort();
}

void leave(State state) {
    Block& own = block();
    if (!own.waits) wrong("a kernel waits that was not run as one that does");
    Thread& thread = own.threads[own.current];
    thread.state = state;
    if (_setjmp(thread.left) == 0) _longjmp(own.scheduler, 1);
}

void begin() {
    for (;;) {
        block().kernel(block().arguments);
        leave(State::Done);
    }
}

// Runs a thread until it waits or is done.
void go_on(Block& own, size_t at) {
    own.current = at;
    Thread& thread = own.threads[at];
    threadIdx = thread.index;
    if (_setjmp(own.scheduler) != 0) return;
    if (thread.begun) _longjmp(thread.left, 1);
    thread.begun = true;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = own.stacks.get() + STACK * at;
    thread.context.uc_stack.ss_size = STACK;
    makecontext(&thread.context, begin, 0);
    setcontext(&thread.context);
}

dim3 index_of(size_t number) {
    return {unsigned(number % blockDim.x), unsigned(number / blockDim.x % blockDim.y),
            unsigned(number / blockDim.x / blockDim.y)};
}

bool any(const Block& own, size_t from, size_t to, State state) {
    for (size_t at = from; at < to; at++)
        if (own.threads[at].state == state) return true;
    return false;
}

void release(Block& own, size_t from, size_t to, State state) {
    for (size_t at = from; at < to; at++)
        if (own.threads[at].state == state) own.threads[at].state = State::Ready;
}

// Runs the threads of a warp until all are done or wait for the block.
void run_warp(Block& own, size_t from, size_t to) {
    while (any(own, from, to, State::Ready)) {
        for (size_t at = from; at < to; at++)
            if (own.threads[at].state == State::Ready) go_on(own, at);
        if (any(own, from, to, State::AtWarp)) {
            if (any(own, from, to, State::AtBlock) || any(own, from, to, State::Done))
                wrong("a part of a warp does not come to a shuffle");
            release(own, from, to, State::AtWarp);
        }
    }
}

void run_waiting(Kernel kernel, void** arguments) {
    Block& own = block();
    own.kernel = kernel;
    own.arguments = arguments;
    own.waits = true;
    own.count = size_t(blockDim.x) * blockDim.y * blockDim.z;
    for (size_t at = 0; at < own.count; at++) {
        Thread& thread = own.threads[at];
        thread.state = State::Ready;
        thread.shuffles = 0;
        thread.index = index_of(at);
    }
    while (any(own, 0, own.count, State::Ready)) {
        for (size_t from = 0; from < own.count; from += WARP) run_warp(own, from, std::min(own.count, from + WARP));
        release(own, 0, own.count, State::AtBlock);
    }
    own.waits = false;
}

}  // namespace

void __syncthreads() { leave(State::AtBlock); }

uint64_t shuffled(uint64_t value, int mask) {
    Block& own = block();
    size_t me = own.current;
    unsigned turn = own.threads[me].shuffles++ & 1;
    own.threads[me].given[turn] = value;
    leave(State::AtWarp);
    size_t other = (me & ~(WARP - 1)) | ((me & (WARP - 1)) ^ size_t(mask));
    return other < own.count ? own.threads[other].given[turn] : value;
}

void run_block(Kernel kernel, void** arguments, bool waits) {
    if (waits) return run_waiting(kernel, arguments);
    size_t count = size_t(blockDim.x) * blockDim.y * blockDim.z;
    for (size_t at = 0; at < count; at++) {
        threadIdx = index_of(at);
        kernel(arguments);
    }
}
