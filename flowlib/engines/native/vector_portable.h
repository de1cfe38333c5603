// Eight floats by the compiler's own vectors (GCC, Clang): two NEON or SSE registers, on any processor.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

typedef float Float8 __attribute__((vector_size(32)));
typedef std::int32_t Int8 __attribute__((vector_size(32)));

struct V8 {
    Float8 v;
    using Mask = Int8;
    static constexpr int lanes = 8;

    static V8 set(float a) { return {Float8{} + a}; }
    static V8 load(const float* p) { return load(p, 8); }
    static V8 load(const float* p, int n) {
        V8 r{};
        std::memcpy(&r.v, p, n * sizeof(float));
        return r;
    }
    void store(float* p) const { store(p, 8); }
    void store(float* p, int n) const { std::memcpy(p, &v, n * sizeof(float)); }
};

inline V8 operator+(V8 a, V8 b) { return {a.v + b.v}; }
inline V8 operator-(V8 a, V8 b) { return {a.v - b.v}; }
inline V8 operator*(V8 a, V8 b) { return {a.v * b.v}; }
inline V8 operator/(V8 a, V8 b) { return {a.v / b.v}; }
inline Int8 at_least(V8 a, V8 b) { return a.v >= b.v; }
inline V8 select(Int8 m, V8 yes, V8 no) {
    return {reinterpret_cast<Float8>((m & reinterpret_cast<Int8>(yes.v)) | (~m & reinterpret_cast<Int8>(no.v)))};
}
inline V8 maximum(V8 a, V8 b) { return select(a.v > b.v, a, b); }
inline V8 minimum(V8 a, V8 b) { return select(a.v < b.v, a, b); }
inline V8 absolute(V8 a) { return {reinterpret_cast<Float8>(reinterpret_cast<Int8>(a.v) & 0x7fffffff)}; }
// Adding 1.5 · 2^23 pushes the fraction out of a float32 (|a| < 2^22).
inline V8 nearest(V8 a) { return {(a.v + 12582912.0f) - 12582912.0f}; }
#ifdef __FP_FAST_FMAF
inline V8 fma(V8 a, V8 b, V8 c) {
    for (int i = 0; i < 8; ++i) c.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
    return c;
}
#else
inline V8 fma(V8 a, V8 b, V8 c) { return {a.v * b.v + c.v}; }
#endif

// 2^n for an integral n in [-126, 127].
inline V8 power_of_two(V8 n) {
    return {reinterpret_cast<Float8>((__builtin_convertvector(n.v, Int8) + 127) << 23)};
}
// A positive normal a as m * 2^e with m in [1, 2).
inline V8 exponent(V8 a) {
    return {__builtin_convertvector((reinterpret_cast<Int8>(a.v) >> 23) - 127, Float8)};
}
inline V8 mantissa(V8 a) {
    return {reinterpret_cast<Float8>((reinterpret_cast<Int8>(a.v) & 0x007fffff) | 0x3f800000)};
}

}  // namespace
