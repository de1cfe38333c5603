// Eight floats as two of the compiler's own vectors of four (GCC, Clang): NEON or SSE registers, on any processor.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

typedef float Float4 __attribute__((vector_size(16)));
typedef std::int32_t Int4 __attribute__((vector_size(16)));

struct V8 {
    Float4 lo, hi;
    struct Mask {
        Int4 lo, hi;
    };
    static constexpr int lanes = 8;

    static V8 set(float a) { return {Float4{a, a, a, a}, Float4{a, a, a, a}}; }
    static V8 load(const float* p) {
        V8 r;
        std::memcpy(&r.lo, p, sizeof r.lo);
        std::memcpy(&r.hi, p + 4, sizeof r.hi);
        return r;
    }
    static V8 load(const float* p, int n) {
        float whole[8] = {};
        std::memcpy(whole, p, n * sizeof(float));
        return load(whole);
    }
    void store(float* p) const {
        std::memcpy(p, &lo, sizeof lo);
        std::memcpy(p + 4, &hi, sizeof hi);
    }
    void store(float* p, int n) const {
        float whole[8];
        store(whole);
        std::memcpy(p, whole, n * sizeof(float));
    }
};

inline Int4 bits(Float4 a) { return reinterpret_cast<Int4>(a); }
inline Float4 real(Int4 a) { return reinterpret_cast<Float4>(a); }

template <class F>
inline V8 halves(V8 a, F f) {
    return {f(a.lo), f(a.hi)};
}

inline V8 operator+(V8 a, V8 b) { return {a.lo + b.lo, a.hi + b.hi}; }
inline V8 operator-(V8 a, V8 b) { return {a.lo - b.lo, a.hi - b.hi}; }
inline V8 operator*(V8 a, V8 b) { return {a.lo * b.lo, a.hi * b.hi}; }
inline V8 operator/(V8 a, V8 b) { return {a.lo / b.lo, a.hi / b.hi}; }
inline V8::Mask at_least(V8 a, V8 b) { return {a.lo >= b.lo, a.hi >= b.hi}; }
inline Float4 select(Int4 m, Float4 yes, Float4 no) { return real((m & bits(yes)) | (~m & bits(no))); }
inline V8 select(V8::Mask m, V8 yes, V8 no) { return {select(m.lo, yes.lo, no.lo), select(m.hi, yes.hi, no.hi)}; }
inline V8 maximum(V8 a, V8 b) { return {select(a.lo > b.lo, a.lo, b.lo), select(a.hi > b.hi, a.hi, b.hi)}; }
inline V8 minimum(V8 a, V8 b) { return {select(a.lo < b.lo, a.lo, b.lo), select(a.hi < b.hi, a.hi, b.hi)}; }
inline V8 absolute(V8 a) {
    return halves(a, [](Float4 h) { return real(bits(h) & 0x7fffffff); });
}
// Adding 1.5 · 2^23 pushes the fraction out of a float32 (|a| < 2^22).
inline V8 nearest(V8 a) {
    return halves(a, [](Float4 h) { return (h + 12582912.0f) - 12582912.0f; });
}
#ifdef __FP_FAST_FMAF
inline Float4 fma(Float4 a, Float4 b, Float4 c) {
    for (int i = 0; i < 4; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
inline V8 fma(V8 a, V8 b, V8 c) { return {fma(a.lo, b.lo, c.lo), fma(a.hi, b.hi, c.hi)}; }
#else
inline V8 fma(V8 a, V8 b, V8 c) { return a * b + c; }
#endif
inline V8 square_root(V8 a) {
    return halves(a, [](Float4 h) {
        for (int i = 0; i < 4; ++i) h[i] = __builtin_sqrtf(h[i]);
        return h;
    });
}

// 2^n for an integral n in [-126, 127].
inline V8 power_of_two(V8 n) {
    return halves(n, [](Float4 h) { return real((__builtin_convertvector(h, Int4) + 127) << 23); });
}
// A positive normal a as m * 2^e with m in [1, 2).
inline V8 exponent(V8 a) {
    return halves(a, [](Float4 h) { return __builtin_convertvector((bits(h) >> 23) - 127, Float4); });
}
inline V8 mantissa(V8 a) {
    return halves(a, [](Float4 h) { return real((bits(h) & 0x007fffff) | 0x3f800000); });
}

}  // namespace
