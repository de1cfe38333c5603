// A flow prepared for the kernels: weights cut into panels of vectors, each with the number of inputs it needs.
//
// Hidden units come sorted by degree (flowlib/engines/program.py), so the zeros of a masked matrix lie at the end of each
// row, and a vector of outputs stops at its last input that is not zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace fused {

constexpr int kPanelVectors = 4;  // vectors of outputs that a register tile holds for each row
constexpr int kChunkRows = 96;    // rows that pass through the whole flow together: their activations stay in the cache

// 64-byte aligned floats.
struct Floats {
    struct Free {
        void operator()(float* p) const {
#ifdef _WIN32
            _aligned_free(p);
#else
            std::free(p);
#endif
        }
    };
    std::unique_ptr<float[], Free> data;
    std::size_t size = 0;

    // Throws std::bad_alloc and is then empty: the scratch of a thread outlives the exception.
    void reset(std::size_t n) {
        size = 0;
        const std::size_t bytes = (n * sizeof(float) + 63) / 64 * 64 + 64;
#ifdef _WIN32
        data.reset(static_cast<float*>(_aligned_malloc(bytes, 64)));
#else
        data.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
#endif
        if (!data) throw std::bad_alloc();
        size = n;
        for (std::size_t i = 0; i < bytes / sizeof(float); ++i) data[i] = 0.0f;
    }
};

// Up to four vectors of outputs. Vector v needs inputs [0, stops[v]); stops ascend. Weights are stored in the order in
// which the kernel reads them: for each input, the vectors that still need it.
struct Panel {
    int vectors = 0;
    int stops[kPanelVectors] = {0, 0, 0, 0};
    std::size_t weights = 0;  // offset into Plan::numbers
    std::size_t bias = 0;
    int out = 0;  // first column of the output buffer
};

struct Layer {
    std::vector<Panel> panels;
    int width = 0;  // columns of the output buffer, a multiple of the vector
};

// Features that one vector transforms together: lane i is feature columns[i]; parameter p lies at out + p * lanes.
struct Group {
    int lanes = 0;
    int count = 0;
    int start = 0;            // first column where they are consecutive, else -1
    int columns[16] = {};
    int out = 0;
};

// Groups whose parameters are computed together.
struct Stage {
    Layer layer;
    std::vector<Group> groups;
};

enum class Kind { affine, spline };

// Constants of a rational-quadratic spline; see flowlib/flows.
struct Spline {
    int bins = 0;
    float bound = 0, min_width = 0, min_height = 0, min_slope = 0;
    float slope_shift = 0;  // added to the raw slope before softplus, so that 0 means slope 1
};

struct Block {
    Kind kind = Kind::affine;
    Spline spline;
    std::vector<std::int32_t> inputs;  // column of [x | context] that each input of the first layer reads
    std::vector<Layer> hidden;
    std::vector<Stage> stages;
};

struct Plan {
    int d = 0, context = 0, lanes = 0;
    int hidden_width = 0, stage_width = 0;  // widest buffers
    std::vector<Block> blocks;
    Floats numbers;  // all packed weights and biases
};

// What the packer is given: dense float32 matrices (out, in), masks multiplied in, rows and columns sorted by degree.
struct DenseLayer {
    int out = 0, in = 0;
    std::vector<float> weight, bias;
};

struct DenseBlock {
    std::string kind;
    Spline spline;
    std::vector<std::int32_t> inputs, features;  // features: columns transformed, in the order of the last layer's rows
    std::vector<DenseLayer> layers;              // the last one: row p * features + i is parameter p of feature i
};

// Raises std::invalid_argument with a sentence where shapes do not fit.
std::unique_ptr<Plan> pack(int d, int context, int lanes, const std::vector<DenseBlock>& blocks);

struct Path {
    const char* name;
    int lanes;
    bool (*available)();
    void (*run)(const Plan&, const float* x, const float* context, float* z, float* ladj, std::ptrdiff_t n);
};

extern const Path kAvx512, kAvx2, kPortable;

}  // namespace fused
