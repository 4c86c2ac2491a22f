// What CUDA on the CPU refuses and reckons, checked before anything is run with it.
#include <cstdio>
#include <cstdlib>

extern "C" {
int cuMemAlloc_v2(void**, size_t);
int cuMemFree_v2(void*);
int cuModuleLoadData(void**, const void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
}

#define CHECK(FACT)                                          \
    if (!(FACT)) {                                           \
        fprintf(stderr, "CUDA on the CPU: not " #FACT "\n"); \
        exit(1);                                             \
    }

int main() {
    void *memory = nullptr, *module, *function;
    CHECK(cuMemAlloc_v2(&memory, 0) == 1);
    CHECK(cuMemAlloc_v2(&memory, size_t(1) << 40) == 2);
    CHECK(cuMemAlloc_v2(&memory, 4) == 0);
    CHECK(*(float*)memory != *(float*)memory);
    cuMemFree_v2(memory);
    CHECK(cuModuleLoadData(&module, ".version 8.0") != 0);
    CHECK(cuModuleLoadData(&module, "module reduce\n") == 0);
    CHECK(cuModuleGetFunction(&function, module, "badd_f32") != 0);

    // A thousand numbers in four rows, by threads that wait for one another.
    CHECK(cuModuleGetFunction(&function, module, "fast_sum_f32") == 0);
    float numbers[1000], sums[4];
    for (int at = 0; at < 1000; at++) numbers[at] = at % 250;
    size_t count = 1000, row = 250, rank = 1, layout[] = {1000, 1};
    const size_t* info = layout;
    const float* from = numbers;
    float* to = sums;
    void* arguments[] = {&count, &row, &rank, &info, &from, &to};
    CHECK(cuLaunchKernel(function, 0, 1, 1, 256, 1, 1, 0, nullptr, arguments, nullptr) == 1);
    CHECK(cuLaunchKernel(function, 4, 1, 1, 2048, 1, 1, 0, nullptr, arguments, nullptr) == 1);
    CHECK(cuLaunchKernel(function, 4, 1, 1, 256, 1, 1, 0, nullptr, arguments, nullptr) == 0);
    for (float sum : sums) CHECK(sum == 249 * 250 / 2);
}
