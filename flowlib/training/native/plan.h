// A masked autoregressive flow of affine blocks as one vector of parameters, and what a pass over a batch gives.
//
// A layer's weights lie transposed, (inputs, outputs), the outputs in groups padded to whole vectors, with its bias
// behind them. Inputs, hidden units and features come sorted by what they may see (flowlib/training/kernel.py): output m
// reads inputs [0, stops[m]), stops ascend within a group, and the products beyond them are never made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gradients {

constexpr int kPad = 16;        // groups are padded to it, whatever the path's vectors
constexpr int kChunkRows = 48;  // rows that go forward and back together: what they need stays in the cache

struct Layer {
    int in = 0, groups = 1, each = 0;  // inputs; groups of `each` outputs, a multiple of kPad
    std::size_t weight = 0, bias = 0;  // offsets into the parameters
    std::vector<std::int32_t> stops;   // of each output of a group; padding repeats the last
    std::vector<std::int32_t> starts;  // of each input, padded to kPad: the first output of a group that reads it
    std::vector<float> mask;           // (groups * each, padded inputs) 0/1, for the norms of single rows

    int width() const { return groups * each; }
    // Inputs that the outputs [column, column + n) need.
    int stop(int column, int n) const {
        const int last = column % each + n - 1;
        return stops[last < each ? last : each - 1];
    }
    int padded() const { return (in + kPad - 1) / kPad * kPad; }
};

struct Block {
    std::vector<std::int32_t> inputs;    // columns of [features | context] that the first layer reads
    std::vector<std::int32_t> features;  // columns transformed, in the order of the last layer's outputs
    std::vector<Layer> layers;           // the last has two groups, shifts and log-scales
};

struct Plan {
    int d = 0, context = 0;
    std::size_t size = 0;  // of the parameters
    std::vector<Block> blocks;
};

// One batch. Each row's gradient of −log p counts `share[row]` times, or, with a clip above 0, scaled to a norm of at
// most clip. Without gradients only the values are computed.
struct Batch {
    const float *parameters, *features, *context, *share;
    std::ptrdiff_t n;
    float clip;
    float *values, *gradients;  // (n,) log p; as the parameters
};

// One step of AdamW (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2) with gradients scaled to a norm of at most clip,
// and the weights' exponential average. All have `size` floats, a multiple of kPad.
struct Step {
    float *weights, *first, *second, *average;
    const float* gradients;
    std::size_t size;
    long long number;  // of this step, from 1
    float rate, decay, clip, forget;  // decay: of the weights; forget: share of the average that the new weights take
};

// Derives what a plan needs beside what the caller says; raises std::invalid_argument where parts do not fit.
void complete(Plan& plan);

struct Path {
    const char* name;
    bool (*available)();
    void (*run)(const Plan&, const Batch&);
    bool (*step)(const Step&);  // false, and nothing is changed, where the norm is not finite
    void (*normals)(const std::uint64_t* words, float* out, std::ptrdiff_t n);
};

extern const Path kAvx512, kAvx2, kPortable;

}  // namespace gradients
