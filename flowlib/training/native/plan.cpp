// What a plan needs beside what the caller says, once for each training: see plan.h.
#include "plan.h"

#include <algorithm>
#include <stdexcept>

namespace gradients {
namespace {

void require(bool fits, const char* sentence) {
    if (!fits) throw std::invalid_argument(sentence);
}

void complete(Layer& layer, std::size_t size) {
    require(layer.in > 0 && layer.each > 0 && layer.each % kPad == 0, "a layer has no inputs or no whole vectors");
    require(layer.groups == 1 || layer.groups == 2, "a layer has one or two groups of outputs");
    require(layer.stops.size() == std::size_t(layer.each), "a layer has another number of stops than of outputs");
    require(std::is_sorted(layer.stops.begin(), layer.stops.end()), "the stops of a layer do not ascend");
    require(layer.stops.front() >= 0 && layer.stops.back() <= layer.in, "a stop lies outside of the inputs");
    const std::size_t weights = std::size_t(layer.in) * layer.width();
    require(layer.weight <= size && weights <= size - layer.weight, "weights lie outside of the parameters");
    require(layer.bias <= size && std::size_t(layer.width()) <= size - layer.bias, "a bias lies outside of them");
    layer.starts.assign(layer.padded(), layer.each);
    layer.mask.assign(std::size_t(layer.width()) * layer.padded(), 0.0f);
    for (int m = layer.each; m-- > 0;)
        for (int k = 0; k < layer.stops[m]; ++k) {
            layer.starts[k] = m;
            for (int g = 0; g < layer.groups; ++g)
                layer.mask[std::size_t(g * layer.each + m) * layer.padded() + k] = 1.0f;
        }
}

}  // namespace

void complete(Plan& plan) {
    require(plan.size % kPad == 0, "the parameters are no whole vectors");
    require(plan.d > 0 && plan.context >= 0 && !plan.blocks.empty(), "a plan has no features or no blocks");
    for (Block& block : plan.blocks) {
        require(block.layers.size() >= 2 && !block.features.empty(), "a block has no hidden layer or no features");
        int width = 0;
        for (Layer& layer : block.layers) {
            complete(layer, plan.size);
            require(!width || layer.padded() == width, "a layer's inputs are not the outputs before it");
            require((&layer == &block.layers.back()) == (layer.groups == 2), "the last layer alone has two groups");
            width = layer.width();
        }
        require(block.inputs.size() == std::size_t(block.layers.front().in), "a block has another number of inputs");
        require(int(block.features.size()) <= block.layers.back().each, "a block has more features than outputs");
        for (auto column : block.inputs) require(column >= 0 && column < plan.d + plan.context, "no such input");
        for (auto column : block.features) require(column >= 0 && column < plan.d, "no such feature");
    }
}

}  // namespace gradients
