// exp, log, tanh and softplus of a vector, to a few units in the last place of float32.
//
// exp and log: S. L. Moshier, Cephes Mathematical Library, expf.c and logf.c. tanh: the rational approximation of
// Eigen's MathFunctionsImpl.h. All are minimax fits.
#pragma once

namespace {

template <class V>
inline V exponential(V x) {
    x = minimum(maximum(x, V::set(-87.0f)), V::set(88.0f));
    const V n = nearest(x * V::set(1.44269504088896341f));
    V r = fma(n, V::set(-0.693359375f), x);
    r = fma(n, V::set(2.12194440e-4f), r);
    V p = V::set(1.9875691500e-4f);
    p = fma(p, r, V::set(1.3981999507e-3f));
    p = fma(p, r, V::set(8.3334519073e-3f));
    p = fma(p, r, V::set(4.1665795894e-2f));
    p = fma(p, r, V::set(1.6666665459e-1f));
    p = fma(p, r, V::set(5.0000001201e-1f));
    return fma(p, r * r, r + V::set(1.0f)) * power_of_two(n);
}

// Of a positive normal number.
template <class V>
inline V logarithm(V x) {
    V e = exponent(x), m = mantissa(x);
    const auto high = at_least(m, V::set(1.41421356f));
    m = select(high, m * V::set(0.5f), m) - V::set(1.0f);
    e = select(high, e + V::set(1.0f), e);
    V p = V::set(7.0376836292e-2f);
    p = fma(p, m, V::set(-1.1514610310e-1f));
    p = fma(p, m, V::set(1.1676998740e-1f));
    p = fma(p, m, V::set(-1.2420140846e-1f));
    p = fma(p, m, V::set(1.4249322787e-1f));
    p = fma(p, m, V::set(-1.6668057665e-1f));
    p = fma(p, m, V::set(2.0000714765e-1f));
    p = fma(p, m, V::set(-2.4999993993e-1f));
    p = fma(p, m, V::set(3.3333331174e-1f));
    const V square = m * m;
    V y = m * square * p;
    y = fma(e, V::set(-2.12194440e-4f), y);
    y = fma(square, V::set(-0.5f), y);
    return fma(e, V::set(0.693359375f), m + y);
}

template <class V>
inline V hyperbolic_tangent(V x) {
    x = minimum(maximum(x, V::set(-7.90531110763549805f)), V::set(7.90531110763549805f));
    const V s = x * x;
    V p = V::set(-2.76076847742355e-16f);
    p = fma(p, s, V::set(2.00018790482477e-13f));
    p = fma(p, s, V::set(-8.60467152213735e-11f));
    p = fma(p, s, V::set(5.12229709037114e-08f));
    p = fma(p, s, V::set(1.48572235717979e-05f));
    p = fma(p, s, V::set(6.37261928875436e-04f));
    p = fma(p, s, V::set(4.89352455891786e-03f));
    V q = V::set(1.19825839466702e-06f);
    q = fma(q, s, V::set(1.18534705686654e-04f));
    q = fma(q, s, V::set(2.26843463243900e-03f));
    q = fma(q, s, V::set(4.89352518554385e-03f));
    return x * p / q;
}

// log(1 + e^x). Kahan's correction keeps the small values, which become slopes near their minimum.
template <class V>
inline V softplus(V x) {
    const V u = exponential(V::set(0.0f) - absolute(x));
    const V w = V::set(1.0f) + u;
    return maximum(x, V::set(0.0f)) + logarithm(w) + (u - (w - V::set(1.0f))) / w;
}

}  // namespace
