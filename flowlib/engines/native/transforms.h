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

// z = (x - shift) · exp(-s), s = 2·tanh(raw / 2); ladj = -s.
template <class V>
FUSED_INLINE void affine(const float* parameters, V& x, V& ladj) {
    const V shift = V::load(parameters), raw = V::load(parameters + V::lanes);
    ladj = V::set(-2.0f) * hyperbolic_tangent(raw * V::set(0.5f));
    x = (x - shift) * exponential(ladj);
}

}  // namespace
