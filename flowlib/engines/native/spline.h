// Rational-quadratic spline with linear tails (Durkan, Bekasov, Murray & Papamakarios, arXiv 1906.04032, eq. 4-5), for
// a vector of features at once: the bin is found by comparing with every edge, which needs no branch and no gather.
#pragma once

#include "functions.h"
#include "plan.h"

namespace {

// exp(raw - max) of each bin into `out`; returns the factor that turns them into shares of the interval above the
// minimum. The bins' parameters begin with number `from`.
template <class V, class Read>
FUSED_INLINE V softmax(const Read& parameter, int from, int bins, float minimum_share, V* out) {
#pragma GCC unroll 8
    for (int k = 0; k < bins; ++k) out[k] = parameter(from + k);
    V top = out[0];
#pragma GCC unroll 8
    for (int k = 1; k < bins; ++k) top = maximum(top, out[k]);
    V sum = V::set(0.0f);
#pragma GCC unroll 8
    for (int k = 0; k < bins; ++k) {
        // Less than e^-40 adds nothing to a share of at least 1e-3, and denormal numbers cost a hundred cycles each.
        out[k] = exponential(maximum(out[k] - top, V::set(-40.0f)));
        sum = sum + out[k];
    }
    return V::set(1.0f - minimum_share * static_cast<float>(bins)) / sum;
}

// Parameters: widths, heights (bins each), then bins - 1 slopes between the bins; the slope at both ends is 1. With the
// number of bins known, `Bins`, the loops are unrolled and the bins stay in registers; 0: it is that of the plan.
template <int Bins, class V, class Read>
FUSED_INLINE void spline(const fused::Spline& s, const Read& parameter, V& x, V& ladj) {
    const int bins = Bins ? Bins : s.bins, slopes = 2 * bins;
    const V one = V::set(1.0f), bound = V::set(s.bound), span = V::set(2.0f * s.bound), low = V::set(-s.bound);
    V width[Bins ? Bins : 64], height[Bins ? Bins : 64];
    const V width_scale = softmax<V>(parameter, 0, bins, s.min_width, width);
    const V height_scale = softmax<V>(parameter, bins, bins, s.min_height, height);
    const V inside = minimum(maximum(x, low), bound);
    V edge = low, level = low, left = low, bottom = low, w = span, h = span;
    V raw0 = V::set(0.0f), raw1 = raw0;
    const V first = low;  // knots of the outermost bins
    V knot0 = first, knot1 = bound;
#pragma GCC unroll 8
    for (int k = 0; k < bins; ++k) {
        const bool last = k + 1 == bins;
        const V next_edge = last ? bound : fma(span, fma(width_scale, width[k], V::set(s.min_width)), edge);
        const V next_level = last ? bound : fma(span, fma(height_scale, height[k], V::set(s.min_height)), level);
        const auto here = at_least(inside, edge);
        left = select(here, edge, left);
        bottom = select(here, level, bottom);
        w = select(here, next_edge - edge, w);
        h = select(here, next_level - level, h);
        if (k) {
            raw0 = select(here, parameter(slopes + k - 1), raw0);
            knot0 = select(here, edge, knot0);
        }
        if (!last) {
            raw1 = select(here, parameter(slopes + k), raw1);
            knot1 = select(here, next_edge, knot1);
        } else {
            knot1 = select(here, bound, knot1);
        }
        edge = next_edge;
        level = next_level;
    }
    const V shift = V::set(s.slope_shift), least = V::set(s.min_slope);
    const V slope0 = select(at_least(first, knot0), one, least + softplus(raw0 + shift));
    const V slope1 = select(at_least(knot1, bound), one, least + softplus(raw1 + shift));
    const V t = minimum(maximum((inside - left) / w, V::set(0.0f)), one), u = t * (one - t), ratio = h / w;
    const V below = fma(slope0 + slope1 - ratio - ratio, u, ratio);
    const V y = bottom + h * fma(ratio, t * t, slope0 * u) / below;
    const V above = ratio * ratio * fma(slope1, t * t, fma(ratio + ratio, u, slope0 * (one - t) * (one - t)));
    const auto within = at_least(bound, absolute(x));
    ladj = select(within, logarithm(above / (below * below)), V::set(0.0f));
    x = select(within, y, x);
}

}  // namespace
