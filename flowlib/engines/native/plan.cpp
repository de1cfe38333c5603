// Packing, once for each model: see plan.h.
#include "plan.h"

#include <algorithm>
#include <stdexcept>

namespace fused {
namespace {

int ceil_to(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// Rows of the padded output: dense row of each lane, -1 for padding.
using Rows = std::vector<int>;

class Packer {
public:
    Packer(Plan& plan, std::vector<float>& numbers) : plan_(plan), numbers_(numbers) {}

    Layer layer(const DenseLayer& dense, const Rows& rows) {
        const int w = plan_.lanes;
        Layer packed;
        packed.width = static_cast<int>(rows.size());
        for (int first = 0; first < packed.width; first += kPanelVectors * w) {
            const int vectors = std::min(kPanelVectors, (packed.width - first) / w);
            packed.panels.push_back(panel(dense, rows, first, vectors));
        }
        return packed;
    }

private:
    Panel panel(const DenseLayer& dense, const Rows& rows, int first, int vectors) {
        const int w = plan_.lanes;
        Panel packed;
        packed.vectors = vectors;
        packed.out = first;
        int stop = 0;
        for (int v = 0; v < vectors; ++v) {
            for (int lane = 0; lane < w; ++lane) stop = std::max(stop, last_used(dense, rows[first + v * w + lane]));
            packed.stops[v] = stop;
        }
        packed.weights = numbers_.size();
        int k = 0;
        for (int v = 0; v < vectors; ++v)
            for (; k < packed.stops[v]; ++k)
                for (int still = v; still < vectors; ++still)
                    for (int lane = 0; lane < w; ++lane) {
                        const int row = rows[first + still * w + lane];
                        numbers_.push_back(row < 0 ? 0.0f : dense.weight[std::size_t(row) * dense.in + k]);
                    }
        packed.bias = numbers_.size();
        for (int i = 0; i < vectors * w; ++i) {
            const int row = rows[first + i];
            numbers_.push_back(row < 0 ? 0.0f : dense.bias[row]);
        }
        return packed;
    }

    static int last_used(const DenseLayer& dense, int row) {
        if (row < 0) return 0;
        for (int k = dense.in; k > 0; --k)
            if (dense.weight[std::size_t(row) * dense.in + k - 1] != 0.0f) return k;
        return 0;
    }

    Plan& plan_;
    std::vector<float>& numbers_;
};

Rows plain_rows(int n, int lanes) {
    Rows rows(ceil_to(n, lanes), -1);
    for (int i = 0; i < n; ++i) rows[i] = i;
    return rows;
}

// Features in vectors, sixteen or eight to each, whichever leaves fewer lanes empty. `order[g][i]` is the place, in
// DenseBlock::features, of lane i.
struct Grouped {
    Group group;
    std::vector<int> places;
};

std::vector<Grouped> group(const std::vector<std::int32_t>& features, int lanes) {
    std::vector<Grouped> all;
    for (std::size_t begin = 0; begin < features.size();) {
        const int left = static_cast<int>(features.size() - begin);
        Grouped grouped;
        grouped.group.lanes = left <= 8 ? 8 : lanes;
        grouped.group.count = std::min(left, grouped.group.lanes);
        for (int i = 0; i < grouped.group.count; ++i) grouped.places.push_back(static_cast<int>(begin) + i);
        // Ascending columns, so that a vector whose columns are consecutive is loaded and stored as one.
        const auto ascending = [&](int a, int b) { return features[a] < features[b]; };
        std::sort(grouped.places.begin(), grouped.places.end(), ascending);
        for (int i = 0; i < grouped.group.count; ++i) grouped.group.columns[i] = features[grouped.places[i]];
        const int first = grouped.group.columns[0], last = grouped.group.columns[grouped.group.count - 1];
        grouped.group.start = last - first == grouped.group.count - 1 ? first : -1;
        begin += grouped.group.count;
        all.push_back(grouped);
    }
    return all;
}

constexpr int kStageVectors = 24;  // more parameters than this are computed and used group by group

Block block(Plan& plan, Packer& packer, const DenseBlock& dense) {
    Block packed;
    packed.kind = dense.kind == "affine" ? Kind::affine : Kind::spline;
    packed.spline = dense.spline;
    packed.inputs = dense.inputs;
    for (std::size_t i = 0; i + 1 < dense.layers.size(); ++i) {
        packed.hidden.push_back(packer.layer(dense.layers[i], plain_rows(dense.layers[i].out, plan.lanes)));
        plan.hidden_width = std::max(plan.hidden_width, packed.hidden.back().width);
    }
    const int n = static_cast<int>(dense.features.size());
    const int parameters = dense.layers.back().out / n;
    std::vector<Stage> stages;
    std::vector<Rows> rows;
    // Early features need fewer hidden units than the others of their vector: with many parameters eight are better.
    for (Grouped& each : group(dense.features, packed.kind == Kind::spline ? 8 : plan.lanes)) {
        const int width = parameters * each.group.lanes;
        if (stages.empty() || static_cast<int>(rows.back().size()) + width > kStageVectors * plan.lanes) {
            stages.emplace_back();
            rows.emplace_back();
        }
        each.group.out = static_cast<int>(rows.back().size());
        for (int p = 0; p < parameters; ++p)
            for (int lane = 0; lane < each.group.lanes; ++lane)
                rows.back().push_back(lane < each.group.count ? p * n + each.places[lane] : -1);
        stages.back().groups.push_back(each.group);
    }
    for (std::size_t i = 0; i < stages.size(); ++i) {
        rows[i].resize(ceil_to(static_cast<int>(rows[i].size()), plan.lanes), -1);
        stages[i].layer = packer.layer(dense.layers.back(), rows[i]);
        plan.stage_width = std::max(plan.stage_width, stages[i].layer.width);
    }
    packed.stages = std::move(stages);
    return packed;
}

void require(bool fits, const std::string& sentence) {
    if (!fits) throw std::invalid_argument(sentence);
}

void check(int d, int context, const DenseBlock& dense) {
    require(dense.kind == "affine" || dense.kind == "spline", "unknown transform " + dense.kind);
    require(dense.layers.size() >= 2, "a block needs a hidden layer");  // x changes while later stages read activations
    require(!dense.features.empty(), "a block transforms no feature");
    for (auto column : dense.inputs) require(column >= 0 && column < d + context, "an input lies outside of the row");
    for (auto column : dense.features) require(column >= 0 && column < d, "a feature lies outside of the row");
    int width = static_cast<int>(dense.inputs.size());
    for (const DenseLayer& layer : dense.layers) {
        require(layer.in == width, "a layer's inputs are not as many as the outputs before it");
        require(layer.weight.size() == std::size_t(layer.out) * layer.in, "a weight has another shape");
        require(layer.bias.size() == std::size_t(layer.out), "a bias has another shape");
        width = layer.out;
    }
    const int parameters = dense.kind == "affine" ? 2 : 3 * dense.spline.bins - 1;
    require(dense.kind == "affine" || (dense.spline.bins >= 2 && dense.spline.bins <= 64), "2 to 64 spline bins");
    require(width == parameters * static_cast<int>(dense.features.size()),
            "the last layer does not give as many parameters as the transform needs");
}

}  // namespace

std::unique_ptr<Plan> pack(int d, int context, int lanes, const std::vector<DenseBlock>& blocks) {
    auto plan = std::make_unique<Plan>();
    plan->d = d;
    plan->context = context;
    plan->lanes = lanes;
    std::vector<float> numbers;
    Packer packer(*plan, numbers);
    for (const DenseBlock& dense : blocks) {
        check(d, context, dense);
        plan->blocks.push_back(block(*plan, packer, dense));
    }
    plan->numbers.reset(numbers.size());
    std::copy(numbers.begin(), numbers.end(), plan->numbers.data.get());
    return plan;
}

}  // namespace fused
