// Sixteen floats in an AVX-512 register. Same operations as vector_avx2.h and vector_portable.h, and two eights in one.
#pragma once

#include <immintrin.h>

#include "vector_avx2.h"

namespace {

struct V16 {
    __m512 v;
    using Mask = __mmask16;
    static constexpr int lanes = 16;

    static V16 set(float a) { return {_mm512_set1_ps(a)}; }
    static V16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static V16 load(const float* p, int n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
    void store(float* p, int n) const { _mm512_mask_storeu_ps(p, first(n), v); }
    static V16 pair(V8 low, V8 high) {
        return {_mm512_insertf32x8(_mm512_castps256_ps512(low.v), high.v, 1)};
    }
    V8 low() const { return {_mm512_castps512_ps256(v)}; }
    V8 high() const { return {_mm512_extractf32x8_ps(v, 1)}; }
    static Mask first(int n) { return static_cast<Mask>((1u << n) - 1u); }
};

inline V16 operator+(V16 a, V16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline V16 operator-(V16 a, V16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline V16 operator*(V16 a, V16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline V16 operator/(V16 a, V16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline V16 fma(V16 a, V16 b, V16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline V16 maximum(V16 a, V16 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline V16 minimum(V16 a, V16 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline V16 absolute(V16 a) { return {_mm512_abs_ps(a.v)}; }
inline V16 nearest(V16 a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline __mmask16 at_least(V16 a, V16 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
inline V16 select(__mmask16 m, V16 yes, V16 no) { return {_mm512_mask_blend_ps(m, no.v, yes.v)}; }
inline V16 square_root(V16 a) { return {_mm512_sqrt_ps(a.v)}; }

// 2^n for an integral n in [-126, 127].
inline V16 power_of_two(V16 n) {
    const __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(e, 23))};
}
// A positive normal a as m * 2^e with m in [1, 2).
inline V16 exponent(V16 a) {
    const __m512i e = _mm512_srli_epi32(_mm512_castps_si512(a.v), 23);
    return {_mm512_cvtepi32_ps(_mm512_sub_epi32(e, _mm512_set1_epi32(127)))};
}
inline V16 mantissa(V16 a) {
    const __m512i m = _mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x007fffff));
    return {_mm512_castsi512_ps(_mm512_or_si512(m, _mm512_set1_epi32(0x3f800000)))};
}

}  // namespace
