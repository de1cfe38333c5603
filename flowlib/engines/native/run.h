// A plan over n rows, in chunks whose activations stay in the cache. Included once by each path, after its vectors.
#pragma once

#include <cstring>

#include "matrix.h"
#include "plan.h"
#include "transforms.h"
#include "spline.h"

namespace {

using fused::Block;
using fused::Group;
using fused::Kind;
using fused::Plan;
using fused::Stage;

// Buffers of a thread, kept between calls.
struct Scratch {
    fused::Floats floats;
    float *x = nullptr, *hidden[2] = {nullptr, nullptr}, *parameters = nullptr;
    std::ptrdiff_t x_stride = 0;

    void fit(const Plan& plan) {
        x_stride = (plan.d + plan.context + 31) / 16 * 16;
        const std::size_t rows = fused::kChunkRows;
        const std::size_t x_size = rows * x_stride, h_size = rows * plan.hidden_width, p_size = rows * plan.stage_width;
        if (floats.size < x_size + 2 * h_size + p_size) floats.reset(x_size + 2 * h_size + p_size);
        x = floats.data.get();
        hidden[0] = x + x_size;
        hidden[1] = hidden[0] + h_size;
        parameters = hidden[1] + h_size;
    }
};

template <class V>
void transform(const Block& block, const Plan& plan, const Stage& stage, const Group& g, const Scratch& s, float* ladj, int m) {
    for (int r = 0; r < m; ++r) {
        const float* parameters = s.parameters + std::ptrdiff_t(r) * stage.layer.width + g.out;
        float* row = s.x + r * s.x_stride;
        V x = gather<V>(g, row), part;
        if (block.kind == Kind::affine)
            affine(parameters, x, part);
        else
            spline(block.spline, parameters, x, part);
        scatter(g, x, row);
        float* total = ladj + std::ptrdiff_t(r) * plan.d;
        scatter(g, gather<V>(g, total) + part, total);
    }
}

template <class V, class Half, int Rows>
void run_block(const Block& block, const Plan& plan, const Scratch& s, float* ladj, int m) {
    const float* numbers = plan.numbers.data.get();
    Source in{s.x, s.x_stride, block.inputs.data()};
    bool picked = true;
    int to = 0;
    for (const fused::Layer& each : block.hidden) {
        if (picked)
            layer<V, Rows, true>(each, in, numbers, true, s.hidden[to], each.width, m);
        else
            layer<V, Rows, false>(each, in, numbers, true, s.hidden[to], each.width, m);
        in = {s.hidden[to], each.width, nullptr};
        picked = false;
        to = 1 - to;
    }
    for (const Stage& stage : block.stages) {
        layer<V, Rows, false>(stage.layer, in, numbers, false, s.parameters, stage.layer.width, m);
        for (const Group& g : stage.groups) {
            if (g.lanes == V::lanes)
                transform<V>(block, plan, stage, g, s, ladj, m);
            else
                transform<Half>(block, plan, stage, g, s, ladj, m);
        }
    }
}

template <class V, class Half, int Rows>
void run_plan(const Plan& plan, const float* x, const float* context, float* z, float* ladj, std::ptrdiff_t n) {
    static thread_local Scratch s;
    s.fit(plan);
    const std::size_t d = plan.d, c = plan.context;
    for (std::ptrdiff_t start = 0; start < n; start += fused::kChunkRows) {
        const int m = static_cast<int>(n - start < fused::kChunkRows ? n - start : fused::kChunkRows);
        for (int r = 0; r < m; ++r) {
            std::memcpy(s.x + r * s.x_stride, x + (start + r) * d, d * sizeof(float));
            if (c) std::memcpy(s.x + r * s.x_stride + d, context + (start + r) * c, c * sizeof(float));
        }
        std::memset(ladj + start * d, 0, m * d * sizeof(float));
        for (const Block& block : plan.blocks) run_block<V, Half, Rows>(block, plan, s, ladj + start * d, m);
        for (int r = 0; r < m; ++r) std::memcpy(z + (start + r) * d, s.x + r * s.x_stride, d * sizeof(float));
    }
}

}  // namespace
