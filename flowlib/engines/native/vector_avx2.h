// Eight floats in an AVX register, with FMA.
#pragma once

#include <immintrin.h>

namespace {

struct V8 {
    __m256 v;
    using Mask = __m256;
    static constexpr int lanes = 8;

    static V8 set(float a) { return {_mm256_set1_ps(a)}; }
    static V8 load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static V8 load(const float* p, int n) { return {_mm256_maskload_ps(p, first(n))}; }
    void store(float* p) const { _mm256_storeu_ps(p, v); }
    void store(float* p, int n) const { _mm256_maskstore_ps(p, first(n), v); }
    static __m256i first(int n) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
};

inline V8 operator+(V8 a, V8 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline V8 operator-(V8 a, V8 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline V8 operator*(V8 a, V8 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline V8 operator/(V8 a, V8 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline V8 fma(V8 a, V8 b, V8 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline V8 maximum(V8 a, V8 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline V8 minimum(V8 a, V8 b) { return {_mm256_min_ps(a.v, b.v)}; }
inline V8 absolute(V8 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline V8 nearest(V8 a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline __m256 at_least(V8 a, V8 b) { return _mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ); }
inline V8 select(__m256 m, V8 yes, V8 no) { return {_mm256_blendv_ps(no.v, yes.v, m)}; }
inline V8 square_root(V8 a) { return {_mm256_sqrt_ps(a.v)}; }

// 2^n for an integral n in [-126, 127].
inline V8 power_of_two(V8 n) {
    const __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(e, 23))};
}
// A positive normal a as m * 2^e with m in [1, 2).
inline V8 exponent(V8 a) {
    const __m256i e = _mm256_srli_epi32(_mm256_castps_si256(a.v), 23);
    return {_mm256_cvtepi32_ps(_mm256_sub_epi32(e, _mm256_set1_epi32(127)))};
}
inline V8 mantissa(V8 a) {
    const __m256i m = _mm256_and_si256(_mm256_castps_si256(a.v), _mm256_set1_epi32(0x007fffff));
    return {_mm256_castsi256_ps(_mm256_or_si256(m, _mm256_set1_epi32(0x3f800000)))};
}

}  // namespace
