// Standard normals from random words by the inverse of their distribution. Included once by each path.
//
// M. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011), in single precision: 4e-7 of the value. It
// is fitted to shares above 2^-24; the few normals farther out are refined by Newton's steps.
#pragma once

#include <cmath>

#include "../../engines/native/functions.h"

namespace {

template <class V>
inline V polynomial(V w, const float (&factors)[9]) {
    V p = V::set(factors[0]);
    for (int i = 1; i < 9; ++i) p = fma(p, w, V::set(factors[i]));
    return p;
}

// z >= 0 with P(Z > z) = share, from a z nearby.
inline double refined(double z, double share) {
    for (int i = 0; i < 4; ++i) {  // on the logarithm, which is nearly a parabola there
        const double density = std::exp(-0.5 * z * z) * 0.3989422804014327;
        const double beyond = 0.5 * std::erfc(z * 0.7071067811865476);
        z += std::log(beyond / share) * beyond / density;
    }
    return z;
}

template <class V>
void normals(const std::uint64_t* words, float* out, std::ptrdiff_t n) {
    static const float near[9] = {2.81022636e-08f, 3.43273939e-07f,  -3.5233877e-06f,  -4.39150654e-06f, 0.00021858087f,
                                  -0.00125372503f, -0.00417768164f,  0.246640727f,     1.50140941f};
    static const float far[9] = {-0.000200214257f, 0.000100950558f, 0.00134934322f, -0.00367342844f, 0.00573950773f,
                                 -0.0076224613f,   0.00943887047f,  1.00167406f,    2.83297682f};
    float share[V::lanes], sign[V::lanes], z[V::lanes];
    for (std::ptrdiff_t start = 0; start < n; start += V::lanes) {
        const int m = static_cast<int>(n - start < V::lanes ? n - start : V::lanes);
        for (int i = 0; i < V::lanes; ++i) {  // the share beyond z, in (0, 1/2], from 52 bits
            const std::uint64_t word = i < m ? words[start + i] : 0, low = word >> 63 ? ~word : word;
            share[i] = (static_cast<float>(static_cast<std::int64_t>((low >> 12) & ((1ull << 51) - 1))) + 0.5f) *
                       2.220446049250313e-16f;
            sign[i] = word >> 63 ? 1.0f : -1.0f;
        }
        const V p = V::load(share), x = fma(V::set(-2.0f), p, V::set(1.0f));
        V w = V::set(0.0f) - logarithm(V::set(4.0f) * p * (V::set(1.0f) - p));
        w = maximum(w, V::set(0.0f));
        const V inner = polynomial<V>(w - V::set(2.5f), near), outer = polynomial<V>(square_root(w) - V::set(3.0f), far);
        (select(at_least(w, V::set(5.0f)), outer, inner) * x * V::set(1.41421356f) * V::load(sign)).store(z);
        for (int i = 0; i < m; ++i) {
            const bool tail = share[i] < 5.9604645e-08f;
            out[start + i] = tail ? sign[i] * static_cast<float>(refined(std::fabs(z[i]), share[i])) : z[i];
        }
    }
}

}  // namespace
