// A step of the optimiser in one pass over the weights. Included once by each path, after its vectors.
#pragma once

#include <cmath>

#include "plan.h"
#include "products.h"

namespace {

// Norm of the gradients by sixteen sums side by side, however wide the vectors are.
template <class V>
double norm_of(const float* gradients, std::size_t size) {
    constexpr int parts = gradients::kPad / V::lanes;
    V sums[parts];
    for (V& sum : sums) sum = V::set(0.0f);
    for (std::size_t i = 0; i < size; i += gradients::kPad)
        for (int p = 0; p < parts; ++p) {
            const V g = V::load(gradients + i + p * V::lanes);
            sums[p] = fma(g, g, sums[p]);
        }
    double total = 0.0;
    for (const V& sum : sums) {
        float lanes[16];
        sum.store(lanes);
        for (int i = 0; i < V::lanes; ++i) total += lanes[i];
    }
    return std::sqrt(total);
}

constexpr double kFirst = 0.9, kSecond = 0.999;

template <class V>
bool adam(const gradients::Step& step) {
    const double norm = norm_of<V>(step.gradients, step.size);
    if (!std::isfinite(norm)) return false;
    const double least = norm > 0.0 ? step.clip / norm : 1.0;
    const V scale = V::set(static_cast<float>(least < 1.0 ? least : 1.0));
    const V first = V::set(static_cast<float>(1.0 - kFirst)), second = V::set(static_cast<float>(1.0 - kSecond));
    const V root = V::set(static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(kSecond, double(step.number)))));
    const V rate = V::set(static_cast<float>(step.rate / (1.0 - std::pow(kFirst, double(step.number)))));
    const V keep = V::set(1.0f - step.rate * step.decay), forget = V::set(step.forget), tiny = V::set(1e-8f);
    for (std::size_t i = 0; i < step.size; i += V::lanes) {
        const V g = V::load(step.gradients + i) * scale;
        V m = V::load(step.first + i), v = V::load(step.second + i), w = V::load(step.weights + i);
        m = fma(first, g - m, m);
        v = fma(second, fma(g, g, V::set(0.0f) - v), v);
        w = w * keep - rate * m / fma(square_root(v), root, tiny);
        m.store(step.first + i);
        v.store(step.second + i);
        w.store(step.weights + i);
        const V average = V::load(step.average + i);
        fma(forget, w - average, average).store(step.average + i);
    }
    return true;
}

}  // namespace
