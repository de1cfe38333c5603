// What a block does to each feature, given its parameters: lanes are features, so every step is one vector operation.
#pragma once

#include "functions.h"
#include "plan.h"

namespace {

// The features of a group, wherever their columns lie.
template <class V>
FUSED_INLINE V gather(const fused::Group& g, const float* row) {
    if (g.start >= 0) return V::load(row + g.start, g.count);
    alignas(64) float lanes[16] = {};
    for (int i = 0; i < g.count; ++i) lanes[i] = row[g.columns[i]];
    return V::load(lanes);
}

template <class V>
FUSED_INLINE void scatter(const fused::Group& g, V value, float* row) {
    if (g.start >= 0) return value.store(row + g.start, g.count);
    alignas(64) float lanes[16] = {};
    value.store(lanes);
    for (int i = 0; i < g.count; ++i) row[g.columns[i]] = lanes[i];
}

// Parameter p of a group's features, of one row …
template <class V>
struct OneRow {
    const float* parameters;
    V operator()(int p) const { return V::load(parameters + p * V::lanes); }
};

// … or of two rows side by side, where a group is half as wide as a vector.
template <class V, class Half>
struct TwoRows {
    const float *first, *second;
    V operator()(int p) const {
        return V::pair(Half::load(first + p * Half::lanes), Half::load(second + p * Half::lanes));
    }
};

// z = (x - shift) · exp(-s), s = 2·tanh(raw / 2); ladj = -s.
template <class V, class Read>
FUSED_INLINE void affine(const Read& parameter, V& x, V& ladj) {
    const V shift = parameter(0), raw = parameter(1);
    ladj = V::set(-2.0f) * hyperbolic_tangent(raw * V::set(0.5f));
    x = (x - shift) * exponential(ladj);
}

}  // namespace
