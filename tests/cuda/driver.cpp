// CUDA's driver on the CPU, as far as candle asks it: memory is that of the process, and a kernel has run when its
// launch returns. Launches of no threads and kernels that are not there are refused, as by CUDA, and allocations of no
// bytes, as where there are no pools of memory.
#include <malloc.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels.h"

namespace {

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    NOT_FOUND = 500
};
enum Attribute {
    BLOCK_THREADS = 1,
    WARP_SIZE = 10,
    PROCESSORS = 16,
    CAPABILITY_MAJOR = 75,
    CAPABILITY_MINOR = 76,
    MEMORY_POOLS = 115
};
constexpr size_t MEMORY = size_t(16) << 30;
constexpr unsigned MAX_THREADS = 1024, MAX_SHARED = 48 << 10, MAX_GRID = 65535;

// What CUDA_ON_CPU_REPORT has said at the end.
struct Count {
    size_t launches = 0, in_order = 0, elsewhere = 0;
    // Whether layouts are known.
    bool is_told = false;
};
struct Report {
    std::mutex lock;
    std::map<std::string, Count> counts;
    std::atomic<size_t> held{0}, most{0};

    void took(size_t bytes) {
        size_t now = held += bytes, before = most;
        while (now > before && !most.compare_exchange_weak(before, now)) {
        }
    }
    void print() {
        size_t launches = 0;
        for (auto& each : counts) launches += each.second.launches;
        fprintf(stderr, "%zu launches, %zu MiB at most; numbers, in millions, that were read in order and elsewhere:\n",
                launches, most >> 20);
        for (auto& [name, count] : counts)
            fprintf(stderr, count.is_told ? "  %-32s %8zu %10.2f %10.2f\n" : "  %-32s %8zu          -          -\n",
                    name.c_str(), count.launches, count.in_order / 1e6, count.elsewhere / 1e6);
    }
};

// Never destroyed, since threads may launch while the process ends.
Report& report = *new Report;

bool is_in_order(size_t rank, const size_t* dims, const size_t* strides) {
    size_t expected = 1;
    for (size_t at = rank; at-- > 0; expected *= dims[at])
        if (dims[at] > 1 && strides[at] != expected) return false;
    return true;
}

void count(const KernelEntry& entry, void** arguments) {
    std::lock_guard<std::mutex> guard(report.lock);
    Count& own = report.counts[entry.name];
    own.launches++;
    own.is_told = entry.layouts > 0;
    if (!own.is_told) return;
    size_t numbers = *(size_t*)arguments[0], rank = *(size_t*)arguments[1];
    const size_t* info = *(const size_t**)arguments[2];
    bool in_order = true;
    for (size_t at = 1; info && at <= entry.layouts; at++)
        in_order = in_order && is_in_order(rank, info, info + rank * at);
    (in_order ? own.in_order : own.elsewhere) += numbers;
}

Result allocate(void** to, size_t bytes) {
    if (bytes == 0) return INVALID_VALUE;
    void* memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!memory) return OUT_OF_MEMORY;
    size_t taken = malloc_usable_size(memory);
    if (report.held + taken > MEMORY) {
        free(memory);
        return OUT_OF_MEMORY;
    }
    // No number, for floats: what is read before it is written shows.
    memset(memory, 0xff, taken);
    report.took(taken);
    *to = memory;
    return SUCCESS;
}

Result release(void* memory) {
    if (memory) report.held -= malloc_usable_size(memory);
    free(memory);
    return SUCCESS;
}

Result copy(void* to, const void* from, size_t bytes) {
    memmove(to, from, bytes);
    return SUCCESS;
}

// Streams and events need to be told from nothing alone.
Result handle(void** to) {
    static char any;
    *to = &any;
    return SUCCESS;
}

const KernelEntry* find(const std::string& name) {
    static const auto* table = [] {
        auto* table = new std::unordered_map<std::string, const KernelEntry*>;
        for (size_t at = 0; at < kernel_count; at++) (*table)[kernels[at].name] = &kernels[at];
        return table;
    }();
    auto found = table->find(name);
    return found == table->end() ? nullptr : found->second;
}

}  // namespace

extern "C" {

Result cuInit(unsigned) {
    // What is freed is kept for the next tensor.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, -1);
    if (getenv("CUDA_ON_CPU_REPORT")) {
        static std::once_flag once;
        std::call_once(once, [] { atexit([] { report.print(); }); });
    }
    return SUCCESS;
}
Result cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}
Result cuDeviceGet(int* device, int number) {
    *device = number;
    return number == 0 ? SUCCESS : INVALID_DEVICE;
}
Result cuDeviceGetCount(int* count) {
    *count = 1;
    return SUCCESS;
}
Result cuDeviceGetName(char* name, int length, int) {
    snprintf(name, length, "CUDA on the CPU");
    return SUCCESS;
}
Result cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = MEMORY;
    return SUCCESS;
}
Result cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case BLOCK_THREADS:
            *value = MAX_THREADS;
            break;
        case WARP_SIZE:
            *value = 32;
            break;
        case PROCESSORS:
            *value = 4;
            break;
        case CAPABILITY_MAJOR:
            *value = 9;
            break;
        case CAPABILITY_MINOR:
            *value = 0;
            break;
        case MEMORY_POOLS:
            *value = 1;
            break;
        default:
            *value = 0;
    }
    return SUCCESS;
}
Result cuMemGetInfo_v2(size_t* free, size_t* total) {
    *total = MEMORY;
    *free = MEMORY - report.held;
    return SUCCESS;
}

static thread_local void* current_context;
Result cuDevicePrimaryCtxRetain(void** context, int) { return handle(context); }
Result cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
Result cuCtxSetCurrent(void* context) {
    current_context = context;
    return SUCCESS;
}
Result cuCtxGetCurrent(void** context) {
    *context = current_context;
    return SUCCESS;
}
Result cuCtxGetDevice(int* device) {
    *device = 0;
    return SUCCESS;
}
Result cuCtxSynchronize() { return SUCCESS; }
Result cuStreamCreate(void** stream, unsigned) { return handle(stream); }
Result cuStreamSynchronize(void*) { return SUCCESS; }
Result cuStreamDestroy_v2(void*) { return SUCCESS; }
Result cuStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }
Result cuStreamIsCapturing(void*, int* status) {
    *status = 0;
    return SUCCESS;
}
Result cuEventCreate(void** event, unsigned) { return handle(event); }
Result cuEventRecord(void*, void*) { return SUCCESS; }
Result cuEventSynchronize(void*) { return SUCCESS; }
Result cuEventQuery(void*) { return SUCCESS; }
Result cuEventDestroy_v2(void*) { return SUCCESS; }
Result cuGetErrorName(int, const char** text) {
    *text = "CUDA on the CPU";
    return SUCCESS;
}
Result cuGetErrorString(int, const char** text) {
    *text = "refused by CUDA on the CPU";
    return SUCCESS;
}

Result cuMemAlloc_v2(void** memory, size_t bytes) { return allocate(memory, bytes); }
Result cuMemAllocAsync(void** memory, size_t bytes, void*) { return allocate(memory, bytes); }
Result cuMemFree_v2(void* memory) { return release(memory); }
Result cuMemFreeAsync(void* memory, void*) { return release(memory); }
Result cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    *memory = malloc(bytes);
    return *memory ? SUCCESS : OUT_OF_MEMORY;
}
Result cuMemFreeHost(void* memory) {
    free(memory);
    return SUCCESS;
}
Result cuMemcpyHtoD_v2(void* to, const void* from, size_t bytes) { return copy(to, from, bytes); }
Result cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, void*) { return copy(to, from, bytes); }
Result cuMemcpyDtoH_v2(void* to, const void* from, size_t bytes) { return copy(to, from, bytes); }
Result cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, void*) { return copy(to, from, bytes); }
Result cuMemcpyDtoD_v2(void* to, const void* from, size_t bytes) { return copy(to, from, bytes); }
Result cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, void*) { return copy(to, from, bytes); }
Result cuMemsetD8_v2(void* to, unsigned char value, size_t bytes) {
    memset(to, value, bytes);
    return SUCCESS;
}
Result cuMemsetD8Async(void* to, unsigned char value, size_t bytes, void*) {
    memset(to, value, bytes);
    return SUCCESS;
}

// A module is what the stand-in for nvcc has written: "module NAME".
Result cuModuleLoadData(void** module, const void* text) {
    const std::string said = (const char*)text, begin = "module ";
    if (said.compare(0, begin.size(), begin) != 0) return INVALID_IMAGE;
    *module = new std::string(said.substr(begin.size(), said.find('\n') - begin.size()));
    return SUCCESS;
}
Result cuModuleUnload(void* module) {
    delete (std::string*)module;
    return SUCCESS;
}
Result cuModuleGetFunction(void** function, void* module, const char* name) {
    const KernelEntry* found = find(*(std::string*)module + "/" + name);
    *function = (void*)found;
    return found ? SUCCESS : NOT_FOUND;
}

Result cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                      unsigned block_y, unsigned block_z, unsigned shared, void*, void** arguments, void**) {
    const KernelEntry& entry = *(const KernelEntry*)function;
    size_t threads = size_t(block_x) * block_y * block_z, blocks = size_t(grid_x) * grid_y * grid_z;
    if (threads == 0 || blocks == 0 || threads > MAX_THREADS || grid_y > MAX_GRID || grid_z > MAX_GRID ||
        shared > MAX_SHARED) {
        fprintf(stderr,
                "CUDA on the CPU: %s is refused: %u x %u x %u blocks of %u x %u x %u threads, %u bytes shared\n",
                entry.name, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared);
        return INVALID_VALUE;
    }
    count(entry, arguments);
    // These step through their numbers by the size of the grid, so that one thread does what all do.
    if (entry.layouts > 0) grid_x = block_x = 1;
    std::vector<char> memory(shared + 1);
    dynamic_shared = memory.data();
    gridDim = {grid_x, grid_y, grid_z};
    blockDim = {block_x, block_y, block_z};
    for (unsigned z = 0; z < grid_z; z++)
        for (unsigned y = 0; y < grid_y; y++)
            for (unsigned x = 0; x < grid_x; x++) {
                blockIdx = {x, y, z};
                run_block(entry.kernel, arguments, entry.waits);
            }
    return SUCCESS;
}

}  // extern "C"
