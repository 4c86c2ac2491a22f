// cuBLAS on the CPU, as far as candle asks it.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "language.h"

namespace {

enum Result { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum Type { SINGLE = 0, DOUBLE = 1, HALF = 2, BFLOAT16 = 14 };
constexpr int SUMS_IN_SINGLE = 68;

[[noreturn]] void unknown(int type) {
    fprintf(stderr, "CUDA on the CPU: numbers of type %d are not known\n", type);
    abort();
}

double load(const void* from, int type, size_t at) {
    switch (type) {
        case SINGLE:
            return ((const float*)from)[at];
        case DOUBLE:
            return ((const double*)from)[at];
        case HALF:
            return ((const __half*)from)[at];
        case BFLOAT16:
            return ((const __nv_bfloat16*)from)[at];
    }
    unknown(type);
}

void store(void* to, int type, size_t at, double value) {
    switch (type) {
        case SINGLE:
            ((float*)to)[at] = value;
            return;
        case DOUBLE:
            ((double*)to)[at] = value;
            return;
        case HALF:
            ((__half*)to)[at] = value;
            return;
        case BFLOAT16:
            ((__nv_bfloat16*)to)[at] = value;
            return;
    }
    unknown(type);
}

size_t width(int type) { return type == DOUBLE ? 8 : type == SINGLE ? 4 : 2; }

struct Matrix {
    const void* data;
    int type, transposed, leading;
    long long stride;

    const void* of(int batch) const { return (const char*)data + stride * batch * (long long)width(type); }
    // Of what it is without being transposed: column-major, as BLAS has it.
    size_t place(size_t row, size_t column) const {
        return transposed ? row * leading + column : column * leading + row;
    }
};

// `c = alpha a b + beta c`, summed as numbers of type `Sum`.
template <class Sum>
Result multiply(int m, int n, int k, Sum alpha, Matrix a, Matrix b, Sum beta, Matrix c, int batches) {
    if (m < 0 || n < 0 || k < 0 || batches < 0 || a.leading < std::max(1, a.transposed ? k : m) ||
        b.leading < std::max(1, b.transposed ? n : k) || c.leading < std::max(1, m)) {
        fprintf(stderr, "CUDA on the CPU: a product is refused: m %d, n %d, k %d, leading %d, %d and %d\n", m, n, k,
                a.leading, b.leading, c.leading);
        return INVALID_VALUE;
    }
    std::vector<Sum> left(size_t(m) * k), right(k), sums(m);
    for (int batch = 0; batch < batches; batch++) {
        if (batch == 0 || a.stride != 0)
            for (int inner = 0; inner < k; inner++)
                for (int row = 0; row < m; row++)
                    left[size_t(inner) * m + row] = load(a.of(batch), a.type, a.place(row, inner));
        for (int column = 0; column < n; column++) {
            for (int inner = 0; inner < k; inner++) right[inner] = load(b.of(batch), b.type, b.place(inner, column));
            std::fill(sums.begin(), sums.end(), Sum(0));
            for (int inner = 0; inner < k; inner++) {
                const Sum factor = right[inner], *own = &left[size_t(inner) * m];
                for (int row = 0; row < m; row++) sums[row] += factor * own[row];
            }
            void* to = (void*)c.of(batch);
            for (int row = 0; row < m; row++) {
                size_t at = c.place(row, column);
                store(to, c.type, at, alpha * sums[row] + (beta == 0 ? 0 : beta * load(to, c.type, at)));
            }
        }
    }
    return SUCCESS;
}

}  // namespace

extern "C" {

Result cublasCreate_v2(void** handle) {
    static char any;
    *handle = &any;
    return SUCCESS;
}
Result cublasDestroy_v2(void*) { return SUCCESS; }
Result cublasSetStream_v2(void*, void*) { return SUCCESS; }
Result cublasGemmStridedBatchedEx(void*, int a_op, int b_op, int m, int n, int k, const float* alpha, const void* a,
                                  int a_type, int a_leading, long long a_stride, const void* b, int b_type,
                                  int b_leading, long long b_stride, const float* beta, void* c, int c_type,
                                  int c_leading, long long c_stride, int batches, int sums, int) {
    if (sums != SUMS_IN_SINGLE) {
        fprintf(stderr, "CUDA on the CPU: products are summed in single precision alone, not as type %d\n", sums);
        return NOT_SUPPORTED;
    }
    return multiply(m, n, k, *alpha, {a, a_type, a_op, a_leading, a_stride}, {b, b_type, b_op, b_leading, b_stride},
                    *beta, {c, c_type, 0, c_leading, c_stride}, batches);
}
Result cublasDgemmStridedBatched(void*, int a_op, int b_op, int m, int n, int k, const double* alpha, const void* a,
                                 int a_leading, long long a_stride, const void* b, int b_leading, long long b_stride,
                                 const double* beta, void* c, int c_leading, long long c_stride, int batches) {
    return multiply(m, n, k, *alpha, {a, DOUBLE, a_op, a_leading, a_stride}, {b, DOUBLE, b_op, b_leading, b_stride},
                    *beta, {c, DOUBLE, 0, c_leading, c_stride}, batches);
}

}  // extern "C"
