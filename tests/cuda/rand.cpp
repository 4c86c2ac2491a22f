// cuRAND on the CPU, as far as candle asks it: other numbers than CUDA's of the same seed.
#include <cstddef>
#include <cstdint>
#include <random>

namespace {

enum Result { SUCCESS = 0, LENGTH_NOT_MULTIPLE = 105 };

std::mt19937_64& random_of(void* generator) { return *(std::mt19937_64*)generator; }

// In (0, 1].
template <class T, int BITS>
Result uniform(void* generator, T* to, size_t count) {
    for (size_t at = 0; at < count; at++)
        to[at] = T((random_of(generator)() >> (64 - BITS)) + 1) / T(uint64_t(1) << BITS);
    return SUCCESS;
}

template <class T>
Result normal(void* generator, T* to, size_t count, T mean, T deviation) {
    if (count % 2 != 0) return LENGTH_NOT_MULTIPLE;
    std::normal_distribution<T> values(mean, deviation);
    for (size_t at = 0; at < count; at++) to[at] = values(random_of(generator));
    return SUCCESS;
}

}  // namespace

extern "C" {

Result curandCreateGenerator(void** generator, int) {
    *generator = new std::mt19937_64;
    return SUCCESS;
}
Result curandDestroyGenerator(void* generator) {
    delete &random_of(generator);
    return SUCCESS;
}
Result curandSetStream(void*, void*) { return SUCCESS; }
Result curandSetGeneratorOffset(void*, unsigned long long) { return SUCCESS; }
Result curandSetPseudoRandomGeneratorSeed(void* generator, unsigned long long seed) {
    random_of(generator).seed(seed);
    return SUCCESS;
}
Result curandGenerateUniform(void* generator, float* to, size_t count) {
    return uniform<float, 24>(generator, to, count);
}
Result curandGenerateUniformDouble(void* generator, double* to, size_t count) {
    return uniform<double, 53>(generator, to, count);
}
Result curandGenerateNormal(void* generator, float* to, size_t count, float mean, float deviation) {
    return normal<float>(generator, to, count, mean, deviation);
}
Result curandGenerateNormalDouble(void* generator, double* to, size_t count, double mean, double deviation) {
    return normal<double>(generator, to, count, mean, deviation);
}

}  // extern "C"
