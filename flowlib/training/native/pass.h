// Forward and back through a plan, chunk by chunk. Included once by each path, after its vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../../engines/native/functions.h"
#include "../../engines/native/plan.h"
#include "plan.h"
#include "products.h"

namespace {

using gradients::Batch;
using gradients::Block;
using gradients::Layer;
using gradients::Plan;

// What a block keeps of a chunk on the way forward, and the gradients at its layers' outputs on the way back.
struct Kept {
    float *z, *slope, *log_scale;                // (rows, padded features)
    std::vector<float*> in, out, by, transposed; // of each layer
};

int padded(std::size_t n) { return static_cast<int>((n + gradients::kPad - 1) / gradients::kPad * gradients::kPad); }

// Every buffer of a thread, kept between calls.
class Scratch {
public:
    std::vector<Kept> blocks;
    float *x = nullptr, *into = nullptr, *squares = nullptr;

    void fit(const Plan& plan) {
        std::size_t total = lay(plan, nullptr);
        floats_.reset(total);  // zeros: nobody writes the padding of an input
        lay(plan, floats_.data.get());
    }

private:
    std::size_t lay(const Plan& plan, float* base) {
        std::size_t used = 0, widest = 0;
        const auto take = [&](std::size_t n) {
            float* place = base ? base + used : nullptr;
            used += (n + 15) / 16 * 16;
            return place;
        };
        const std::size_t rows = gradients::kChunkRows;
        blocks.assign(plan.blocks.size(), Kept{});
        for (std::size_t b = 0; b < plan.blocks.size(); ++b) {
            const Block& block = plan.blocks[b];
            Kept& kept = blocks[b];
            const std::size_t wide = rows * padded(block.features.size());
            kept.z = take(wide), kept.slope = take(wide), kept.log_scale = take(wide);
            for (const Layer& layer : block.layers) {
                kept.in.push_back(kept.out.empty() ? take(rows * layer.padded()) : kept.out.back());
                kept.out.push_back(take(rows * layer.width()));
                kept.by.push_back(take(rows * layer.width()));
                kept.transposed.push_back(take(std::size_t(layer.width()) * layer.padded()));
                widest = std::max<std::size_t>(widest, std::max(layer.width(), layer.padded()));
            }
        }
        x = take(rows * (plan.d + plan.context));
        into = take(rows * widest);
        squares = take(2 * rows * widest);
        return used;
    }
    fused::Floats floats_;
};

template <class V, int R>
void forward(const Block& block, const Kept& kept, const float* parameters, float* x, int stride, float* total, int m) {
    const Layer& first = block.layers.front();
    for (int r = 0; r < m; ++r)
        for (std::size_t i = 0; i < block.inputs.size(); ++i)
            kept.in[0][r * first.padded() + i] = x[r * stride + block.inputs[i]];
    const std::size_t layers = block.layers.size();
    for (std::size_t l = 0; l < layers; ++l) {
        const Layer& layer = block.layers[l];
        tiles<V, R>(Forward<V>{layer, parameters, kept.in[l], layer.padded(), kept.out[l], l + 1 < layers}, m,
                    layer.width());
    }
    const int n = static_cast<int>(block.features.size()), each = block.layers.back().each;
    for (int r = 0; r < m; ++r) {
        float *z = kept.z + r * each, *slope = kept.slope + r * each, *log_scale = kept.log_scale + r * each;
        const float* out = kept.out.back() + r * 2 * each;
        for (int i = 0; i < n; ++i) z[i] = x[r * stride + block.features[i]];
        for (int i = 0; i < each; i += V::lanes) {
            const V s = V::set(2.0f) * hyperbolic_tangent(V::load(out + each + i) * V::set(0.5f));
            const V e = exponential(V::set(0.0f) - s);
            s.store(log_scale + i);
            e.store(slope + i);
            ((V::load(z + i) - V::load(out + i)) * e).store(z + i);
        }
        float sum = 0.0f;
        for (int i = 0; i < n; ++i) {
            sum += log_scale[i];
            x[r * stride + block.features[i]] = z[i];
        }
        total[r] -= sum;
    }
}

// From the gradients at z, which are in x and become those at the block's own x, to those at every layer's outputs.
template <class V, int R>
void backward(const Block& block, const Kept& kept, float* x, int stride, const float* share, float* into, int m,
              bool first) {
    const int n = static_cast<int>(block.features.size()), each = block.layers.back().each;
    for (int r = 0; r < m; ++r) {
        const float *z = kept.z + r * each, *slope = kept.slope + r * each, *log_scale = kept.log_scale + r * each;
        float* by = kept.by.back() + r * 2 * each;
        std::memset(by, 0, 2 * each * sizeof(float));
        for (int i = 0; i < n; ++i) by[i] = x[r * stride + block.features[i]];
        for (int i = 0; i < each; i += V::lanes) {
            const V at_z = V::load(by + i), s = V::load(log_scale + i), half = s * V::set(0.5f);
            const V steps = (V::set(share[r]) - at_z * V::load(z + i)) * (V::set(1.0f) - half * half);
            const V through = at_z * V::load(slope + i);
            (V::set(0.0f) - through).store(by + i);
            steps.store(by + each + i);
        }
        for (int i = 0; i < n; ++i) x[r * stride + block.features[i]] = 0.0f - by[i];
        for (int i = n; i < each; ++i) by[i] = by[each + i] = 0.0f;  // of the padding
    }
    for (std::size_t l = block.layers.size(); l-- > 0;) {
        const Layer& layer = block.layers[l];
        if (l)
            tiles<V, R>(Backward<V>{layer, kept.transposed[l], kept.by[l], kept.out[l - 1], kept.by[l - 1]}, m,
                        layer.padded());
        else if (!first)
            tiles<V, R>(Backward<V>{layer, kept.transposed[l], kept.by[l], nullptr, into}, m, layer.padded());
    }
    if (first) return;
    for (int r = 0; r < m; ++r)
        for (std::size_t i = 0; i < block.inputs.size(); ++i)
            x[r * stride + block.inputs[i]] += into[r * block.layers[0].padded() + i];
}

// Scales each row's gradients at the layers' outputs to a norm of the parameters' gradients of at most clip; a row whose
// norm is not finite adds nothing. ‖∂W‖² = ((g²·M) ∘ a²).sum() (flowlib/privacy/clipping.py).
template <class V, int R>
void clip_rows(const Plan& plan, const Scratch& s, float clip, int m) {
    float norms[gradients::kChunkRows] = {};
    for (std::size_t b = 0; b < plan.blocks.size(); ++b)
        for (std::size_t l = 0; l < plan.blocks[b].layers.size(); ++l) {
            const Layer& layer = plan.blocks[b].layers[l];
            const int width = layer.width(), wide = layer.padded();
            const float *by = s.blocks[b].by[l], *in = s.blocks[b].in[l];
            for (int i = 0; i < m * width; i += V::lanes) {
                const V g = V::load(by + i);
                (g * g).store(s.squares + i);
            }
            tiles<V, R>(Backward<V>{layer, layer.mask.data(), s.squares, nullptr, s.into}, m, wide);
            for (int r = 0; r < m; ++r) {
                V sum = V::set(0.0f);
                for (int k = 0; k < wide; k += V::lanes) {
                    const V a = V::load(in + r * wide + k);
                    sum = fma(a * a, V::load(s.into + r * wide + k), sum);
                }
                for (int i = 0; i < width; i += V::lanes) sum = sum + V::load(s.squares + r * width + i);
                float lanes[16];
                sum.store(lanes);
                for (int i = 0; i < V::lanes; ++i) norms[r] += lanes[i];
            }
        }
    for (int r = 0; r < m; ++r) {
        const bool finite = std::isfinite(norms[r]);
        const float share = finite ? std::fmin(clip / (std::sqrt(norms[r]) + 1e-12f), 1.0f) : 0.0f;
        for (std::size_t b = 0; b < plan.blocks.size(); ++b)
            for (std::size_t l = 0; l < plan.blocks[b].layers.size(); ++l) {
                const int width = plan.blocks[b].layers[l].width(), wide = plan.blocks[b].layers[l].padded();
                float *by = s.blocks[b].by[l] + r * width, *in = s.blocks[b].in[l] + r * wide;
                for (int i = 0; i < width; ++i) by[i] = finite ? by[i] * share : 0.0f;
                if (!finite) std::memset(in, 0, wide * sizeof(float));
            }
    }
}

template <class V, int R>
void weights(const Plan& plan, const Scratch& s, float* out, int m) {
    for (std::size_t b = 0; b < plan.blocks.size(); ++b)
        for (std::size_t l = 0; l < plan.blocks[b].layers.size(); ++l) {
            const Layer& layer = plan.blocks[b].layers[l];
            const float* by = s.blocks[b].by[l];
            const int width = layer.width();
            tiles<V, R>(Outer<V>{layer, s.blocks[b].in[l], by, layer.padded(), m, out}, layer.in, width);
            float* bias = out + layer.bias;
            for (int i = 0; i < width; i += V::lanes) {
                V sum = V::load(bias + i);
                for (int r = 0; r < m; ++r) sum = sum + V::load(by + r * std::ptrdiff_t(width) + i);
                sum.store(bias + i);
            }
        }
}

void transpose(const Plan& plan, const Scratch& s, const float* parameters) {
    for (std::size_t b = 0; b < plan.blocks.size(); ++b)
        for (std::size_t l = 0; l < plan.blocks[b].layers.size(); ++l) {
            const Layer& layer = plan.blocks[b].layers[l];
            const int width = layer.width(), wide = layer.padded();
            const float* from = parameters + layer.weight;
            float* to = s.blocks[b].transposed[l];
            for (int first = 0; first < width; first += 16)  // a cache line of outputs at a time
                for (int k = 0; k < layer.in; ++k)
                    for (int i = first; i < first + 16; ++i) to[i * std::ptrdiff_t(wide) + k] = from[k * width + i];
        }
}

// Masked weights have no gradient: a tile at the edge of the mask has computed some.
void cut(const Plan& plan, float* out) {
    for (const Block& block : plan.blocks)
        for (const Layer& layer : block.layers)
            for (int k = 0; k < layer.in; ++k)
                for (int g = 0; g < layer.groups; ++g) {
                    float* row = out + layer.weight + k * std::ptrdiff_t(layer.width()) + g * layer.each;
                    std::memset(row, 0, layer.starts[k] * sizeof(float));
                }
}

template <class V, int R>
void run_batch(const Plan& plan, const Batch& batch) {
    static thread_local Scratch s;
    s.fit(plan);
    const int d = plan.d, c = plan.context, stride = d + c;
    if (batch.gradients) {
        std::memset(batch.gradients, 0, plan.size * sizeof(float));
        transpose(plan, s, batch.parameters);
    }
    for (std::ptrdiff_t start = 0; start < batch.n; start += gradients::kChunkRows) {
        const int m = static_cast<int>(std::min<std::ptrdiff_t>(batch.n - start, gradients::kChunkRows));
        for (int r = 0; r < m; ++r) {
            std::memcpy(s.x + r * stride, batch.features + (start + r) * d, d * sizeof(float));
            if (c) std::memcpy(s.x + r * stride + d, batch.context + (start + r) * c, c * sizeof(float));
        }
        float total[gradients::kChunkRows] = {};
        for (std::size_t b = 0; b < plan.blocks.size(); ++b)
            forward<V, R>(plan.blocks[b], s.blocks[b], batch.parameters, s.x, stride, total, m);
        for (int r = 0; r < m; ++r) {
            float square = 0.0f;
            for (int j = 0; j < d; ++j) square += s.x[r * stride + j] * s.x[r * stride + j];
            batch.values[start + r] = total[r] - 0.5f * square - d * 0.918938533204672742f;
        }
        if (!batch.gradients) continue;
        for (int r = 0; r < m; ++r)
            for (int j = 0; j < d; ++j) s.x[r * stride + j] *= batch.share[start + r];
        for (std::size_t b = plan.blocks.size(); b-- > 0;)
            backward<V, R>(plan.blocks[b], s.blocks[b], s.x, stride, batch.share + start, s.into, m, b == 0);
        if (batch.clip > 0.0f) clip_rows<V, R>(plan, s, batch.clip, m);
        weights<V, R>(plan, s, batch.gradients, m);
    }
    if (batch.gradients) cut(plan, batch.gradients);
}

}  // namespace
