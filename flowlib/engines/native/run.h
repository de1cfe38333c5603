// A plan over n rows, in chunks whose activations stay in the cache. Included once by each path, after its vectors.
#pragma once

#include <cstring>
#include <type_traits>

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

constexpr int kUsualBins = 8;  // of the families' own defaults

// Buffers of a thread, kept between calls.
struct Scratch {
    fused::Floats floats;
    float *x = nullptr, *total = nullptr, *hidden[2] = {nullptr, nullptr}, *parameters = nullptr;
    std::ptrdiff_t x_stride = 0, total_stride = 0;  // whole vectors: a row that lay across cache lines would cost twice

    void fit(const Plan& plan) {
        x_stride = (plan.d + plan.context + 31) / 16 * 16;
        total_stride = (plan.d + 31) / 16 * 16;
        const std::size_t rows = fused::kChunkRows;
        const std::size_t x_size = rows * x_stride, t_size = rows * total_stride;
        const std::size_t h_size = rows * plan.hidden_width, p_size = rows * plan.stage_width;
        const std::size_t size = x_size + t_size + 2 * h_size + p_size;
        if (floats.size < size) floats.reset(size);
        x = floats.data.get();
        total = x + x_size;
        hidden[0] = total + t_size;
        hidden[1] = hidden[0] + h_size;
        parameters = hidden[1] + h_size;
    }
};

template <class V, class Read>
FUSED_INLINE void apply(const Block& block, const Read& parameter, V& x, V& part) {
    if (block.kind == Kind::affine)
        affine(parameter, x, part);
    else if (block.spline.bins == kUsualBins)
        spline<kUsualBins>(block.spline, parameter, x, part);
    else
        spline<0>(block.spline, parameter, x, part);
}

// Where the parts of row r lie.
struct Rows {
    const Scratch& s;
    const Stage& stage;
    const Group& g;

    const float* parameters(int r) const { return s.parameters + r * std::ptrdiff_t(stage.layer.width) + g.out; }
    float* x(int r) const { return s.x + r * s.x_stride; }
    float* total(int r) const { return s.total + r * s.total_stride; }
};

// Rows from r to m, one by one, a group filling the vector.
template <class V>
void transform(const Block& block, const Rows& rows, int r, int m) {
    for (; r < m; ++r) {
        V x = gather<V>(rows.g, rows.x(r)), part;
        apply(block, OneRow<V>{rows.parameters(r)}, x, part);
        scatter(rows.g, x, rows.x(r));
        scatter(rows.g, gather<V>(rows.g, rows.total(r)) + part, rows.total(r));
    }
}

// Two rows at a time, a group filling half of the vector each: every step is by lane, so the bits are the same.
template <class V, class Half>
void transform_pairs(const Block& block, const Rows& rows, int m) {
    int r = 0;
    for (; r + 1 < m; r += 2) {
        V x = V::pair(gather<Half>(rows.g, rows.x(r)), gather<Half>(rows.g, rows.x(r + 1))), part;
        apply(block, TwoRows<V, Half>{rows.parameters(r), rows.parameters(r + 1)}, x, part);
        scatter(rows.g, x.low(), rows.x(r));
        scatter(rows.g, x.high(), rows.x(r + 1));
        scatter(rows.g, gather<Half>(rows.g, rows.total(r)) + part.low(), rows.total(r));
        scatter(rows.g, gather<Half>(rows.g, rows.total(r + 1)) + part.high(), rows.total(r + 1));
    }
    transform<Half>(block, rows, r, m);
}

template <class V, class Half, int TileRows>
void run_block(const Block& block, const Plan& plan, const Scratch& s, int m) {
    const float* numbers = plan.numbers.data.get();
    Source in{s.x, s.x_stride, block.inputs.data()};
    bool picked = true;
    int to = 0;
    for (const fused::Layer& each : block.hidden) {
        if (picked)
            layer<V, TileRows, true>(each, in, numbers, true, s.hidden[to], each.width, m);
        else
            layer<V, TileRows, false>(each, in, numbers, true, s.hidden[to], each.width, m);
        in = {s.hidden[to], each.width, nullptr};
        picked = false;
        to = 1 - to;
    }
    for (const Stage& stage : block.stages) {
        layer<V, TileRows, false>(stage.layer, in, numbers, false, s.parameters, stage.layer.width, m);
        for (const Group& g : stage.groups) {
            const Rows rows{s, stage, g};
            if constexpr (std::is_same_v<V, Half>) {
                transform<V>(block, rows, 0, m);
            } else {
                if (g.lanes == V::lanes)
                    transform<V>(block, rows, 0, m);
                else
                    transform_pairs<V, Half>(block, rows, m);
            }
        }
    }
}

template <class V, class Half, int TileRows>
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
        std::memset(s.total, 0, m * s.total_stride * sizeof(float));
        for (const Block& block : plan.blocks) run_block<V, Half, TileRows>(block, plan, s, m);
        for (int r = 0; r < m; ++r) {
            std::memcpy(z + (start + r) * d, s.x + r * s.x_stride, d * sizeof(float));
            std::memcpy(ladj + (start + r) * d, s.total + r * s.total_stride, d * sizeof(float));
        }
    }
}

}  // namespace
