// CUDA's C++ for a compiler of C++, as far as candle's kernels speak it. Threads of a launch run one after another, and
// those of a block that wait for one another are switched between by threads.cpp.
#pragma once
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
#define __shared__ static thread_local
// The least at which kernels of bfloat16 are compiled; those of eight bits, from 890 on, are not known here.
#define __CUDA_ARCH__ 800
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0

struct dim3 {
    unsigned x, y, z;
};
struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

extern thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
// What `extern __shared__` arrays lie in.
extern thread_local char* dynamic_shared;

void __syncthreads();
// The value that the thread gives whose number in the warp differs in the bits of `mask`.
uint64_t shuffled(uint64_t value, int mask);

template <class To, class From>
To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy(&to, &from, sizeof(to));
    return to;
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "too large to be shuffled");
    uint64_t raw = 0;
    memcpy(&raw, (const void*)&value, sizeof(T));
    raw = shuffled(raw, mask);
    memcpy((void*)&value, &raw, sizeof(T));
    return value;
}

// Numbers of sixteen bits. Arithmetic is that of `float`, rounded to the nearest after each operation, ties to even.

inline uint16_t to_bfloat16(float x) {
    uint32_t u = bits<uint32_t>(x);
    if (std::isnan(x)) return (u >> 16) | 64;
    return (u + 0x7fff + ((u >> 16) & 1)) >> 16;
}

inline float from_bfloat16(uint16_t b) { return bits<float>(uint32_t(b) << 16); }

inline uint16_t to_half(float x) {
    uint32_t u = bits<uint32_t>(x), sign = (u >> 16) & 0x8000, size = u & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;
    if (size >= 0x47800000) return sign | 0x7c00;
    // Below the least exponent numbers are multiples of 2^-24.
    if (size < 0x38800000) return sign | uint16_t(std::nearbyint(bits<float>(size) * 16777216.0f));
    return sign | uint16_t((size + 0xfff + ((size >> 13) & 1) - (112u << 23)) >> 13);
}

inline float from_half(uint16_t h) {
    uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, rest = h & 1023;
    if (exponent == 31) return bits<float>(sign | 0x7f800000 | (rest << 13));
    if (exponent == 0) return std::copysign(float(rest) / 16777216.0f, bits<float>(sign | 0x3f800000));
    return bits<float>(sign | ((exponent + 112) << 23) | (rest << 13));
}

#define SIXTEEN_BITS(NAME, TO, FROM)                                                                                \
    struct NAME {                                                                                                   \
        uint16_t raw;                                                                                               \
        NAME() = default;                                                                                           \
        template <class T, class = std::enable_if_t<!std::is_same<std::decay_t<T>, NAME>::value>>                   \
        NAME(T value) : raw(TO(float(value))) {}                                                                    \
        operator float() const { return FROM(raw); }                                                                \
        NAME& operator+=(NAME other) { return *this = float(*this) + float(other); }                                \
        NAME& operator*=(NAME other) { return *this = float(*this) * float(other); }                                \
    };                                                                                                              \
    inline NAME operator-(NAME a) { return -float(a); }                                                             \
    inline NAME operator+(NAME a, NAME b) { return float(a) + float(b); }                                           \
    inline NAME operator-(NAME a, NAME b) { return float(a) - float(b); }                                           \
    inline NAME operator*(NAME a, NAME b) { return float(a) * float(b); }                                           \
    inline NAME operator/(NAME a, NAME b) { return float(a) / float(b); }                                           \
    inline bool __hisnan(NAME a) { return std::isnan(float(a)); }                                                   \
    inline NAME __habs(NAME a) { return std::fabs(float(a)); }                                                      \
    inline NAME __hmax_nan(NAME a, NAME b) { return __hisnan(a) ? a : __hisnan(b) || float(b) > float(a) ? b : a; } \
    inline NAME __hmin_nan(NAME a, NAME b) { return __hisnan(a) ? a : __hisnan(b) || float(b) < float(a) ? b : a; } \
    inline NAME hsqrt(NAME a) { return std::sqrt(float(a)); }                                                       \
    inline NAME hcos(NAME a) { return std::cos(float(a)); }                                                         \
    inline NAME hsin(NAME a) { return std::sin(float(a)); }                                                         \
    inline NAME hlog(NAME a) { return std::log(float(a)); }                                                         \
    inline NAME hexp(NAME a) { return std::exp(float(a)); }
SIXTEEN_BITS(__half, to_half, from_half)
SIXTEEN_BITS(__nv_bfloat16, to_bfloat16, from_bfloat16)

inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline uint16_t __half_as_ushort(__half x) { return x.raw; }
inline __half __ushort_as_half(uint16_t raw) {
    __half x;
    x.raw = raw;
    return x;
}
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
struct __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
inline __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x + b.x, a.y + b.y}; }
inline __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b) { return {a.x * b.x, a.y * b.y}; }

// Numbers of eight bits are moved alone: reckoning with them ends the process.
#define __NV_E4M3 0
struct __nv_fp8_e4m3 {
    unsigned char __x;
    __nv_fp8_e4m3() = default;
    template <class T>
    explicit __nv_fp8_e4m3(T) {
        __builtin_trap();
    }
    operator float() const { __builtin_trap(); }
};
inline __half __nv_cvt_fp8_to_halfraw(unsigned char, int) { __builtin_trap(); }

inline uint32_t __float_as_uint(float x) { return bits<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return bits<float>(x); }
inline int __float_as_int(float x) { return bits<int>(x); }
inline float __int_as_float(int x) { return bits<float>(x); }
inline unsigned long long __double_as_longlong(double x) { return bits<unsigned long long>(x); }
inline double __longlong_as_double(unsigned long long x) { return bits<double>(x); }

// Threads of a launch run in turn, and launches by several threads of the program write to different tensors.
template <class T, class V>
T atomicAdd(T* at, V value) {
    T old = *at;
    *at = T(old + T(value));
    return old;
}
template <class T, class V>
T atomicMin(T* at, V value) {
    T old = *at;
    *at = std::min(old, T(value));
    return old;
}
template <class T, class V>
T atomicMax(T* at, V value) {
    T old = *at;
    *at = std::max(old, T(value));
    return old;
}
template <class T>
T atomicCAS(T* at, T expected, T value) {
    T old = *at;
    if (old == expected) *at = value;
    return old;
}

inline float normcdff(float x) { return .5f * erfcf(-x * float(M_SQRT1_2)); }
inline double normcdf(double x) { return .5 * erfc(-x * M_SQRT1_2); }
// The C library may have one of this name.
inline float reciprocal_root(float x) { return 1.0f / sqrtf(x); }
#define rsqrtf reciprocal_root

using std::isnan;
using std::max;
using std::min;
using std::signbit;
template <class A, class B>
using Mixed =
    std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value && !std::is_same<A, B>::value,
                     std::common_type_t<A, B>>;
template <class A, class B>
Mixed<A, B> min(A a, B b) {
    return std::min<Mixed<A, B>>(a, b);
}
template <class A, class B>
Mixed<A, B> max(A a, B b) {
    return std::max<Mixed<A, B>>(a, b);
}
