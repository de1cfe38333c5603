// Sums of products in registers: a tile of rows times a panel of two vectors.
//
// Every sum adds its products in ascending order, whatever the tile and the width of the vectors.
#pragma once

#include <cstddef>

#if defined(__GNUC__) || defined(__clang__)
#define PASS_INLINE inline __attribute__((always_inline))
#else
#define PASS_INLINE inline
#endif

namespace {

// sum[r][v] += Σ_k a[r * rows + k * step] · b[k * stride + v], k in [from, to).
template <class V, int R, int N>
PASS_INLINE void products(V (&sum)[R][N], const float* a, std::ptrdiff_t rows, std::ptrdiff_t step, const float* b,
                          std::ptrdiff_t stride, int from, int to) {
    a += from * step;
    b += from * stride;
    for (int k = from; k < to; ++k, a += step, b += stride) {
        V right[N];
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) right[v] = V::load(b + v * V::lanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const V left = V::set(a[r * rows]);
#pragma GCC unroll 4
            for (int v = 0; v < N; ++v) sum[r][v] = fma(left, right[v], sum[r][v]);
        }
    }
}

// Calls tile.template operator()<R, N>(first row, first column) for all rows and columns, a multiple of the vector.
template <class V, int R, int N, class Tile>
PASS_INLINE void down(const Tile& tile, int rows, int column) {
    int r = 0;
    for (; r + R <= rows; r += R) tile.template at<R, N>(r, column);
    if constexpr (R > 4)
        for (; r + 4 <= rows; r += 4) tile.template at<4, N>(r, column);
    for (; r < rows; ++r) tile.template at<1, N>(r, column);
}

template <class V, int R, class Tile>
PASS_INLINE void tiles(const Tile& tile, int rows, int columns) {
    int column = 0;
    for (; column + 2 * V::lanes <= columns; column += 2 * V::lanes) down<V, R, 2>(tile, rows, column);
    if (column < columns) down<V, R, 1>(tile, rows, column);
}

// out = in · W + bias, ReLU where it is asked for.
template <class V>
struct Forward {
    const gradients::Layer& layer;
    const float *parameters, *in;
    std::ptrdiff_t stride;
    float* out;
    bool relu;

    template <int R, int N>
    PASS_INLINE void at(int r, int column) const {
        V sum[R][N];
        const int width = layer.width(), stop = layer.stop(column, N * V::lanes);
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) {
            const V bias = V::load(parameters + layer.bias + column + v * V::lanes);
#pragma GCC unroll 16
            for (int q = 0; q < R; ++q) sum[q][v] = bias;
        }
        products<V, R, N>(sum, in + r * stride, stride, 1, parameters + layer.weight + column, width, 0, stop);
        const V floor = V::set(relu ? 0.0f : -3.4e38f);
#pragma GCC unroll 16
        for (int q = 0; q < R; ++q)
#pragma GCC unroll 4
            for (int v = 0; v < N; ++v) {
                const V value = relu ? maximum(sum[q][v], floor) : sum[q][v];
                value.store(out + (r + q) * std::ptrdiff_t(width) + column + v * V::lanes);
            }
    }
};

// into = by · matrix, (outputs, padded inputs) in memory; 0 where `hidden` is given and was cut off by its ReLU.
template <class V>
struct Backward {
    const gradients::Layer& layer;
    const float *matrix, *by, *hidden;
    float* into;

    template <int R, int N>
    PASS_INLINE void at(int r, int column) const {
        V sum[R][N];
        const int width = layer.width(), padded = layer.padded();
#pragma GCC unroll 16
        for (int q = 0; q < R; ++q)
#pragma GCC unroll 4
            for (int v = 0; v < N; ++v) sum[q][v] = V::set(0.0f);
        for (int g = 0; g < layer.groups; ++g)
            products<V, R, N>(sum, by + r * std::ptrdiff_t(width), width, 1, matrix + column, padded,
                              g * layer.each + layer.starts[column], (g + 1) * layer.each);
        const V zero = V::set(0.0f);
#pragma GCC unroll 16
        for (int q = 0; q < R; ++q)
#pragma GCC unroll 4
            for (int v = 0; v < N; ++v) {
                const std::ptrdiff_t place = (r + q) * std::ptrdiff_t(padded) + column + v * V::lanes;
                const V value = hidden ? select(at_least(zero, V::load(hidden + place)), zero, sum[q][v]) : sum[q][v];
                value.store(into + place);
            }
    }
};

// gradients of the weights += inᵀ · by; rows are inputs, products run over the rows of the batch.
template <class V>
struct Outer {
    const gradients::Layer& layer;
    const float *in, *by;
    std::ptrdiff_t stride;
    int n;
    float* gradients;

    template <int R, int N>
    PASS_INLINE void at(int k, int column) const {
        const int width = layer.width();
        if (layer.stop(column, N * V::lanes) <= k) return;  // these outputs read none of these inputs
        V sum[R][N];
        float* out = gradients + layer.weight + k * std::ptrdiff_t(width) + column;
#pragma GCC unroll 16
        for (int q = 0; q < R; ++q)
#pragma GCC unroll 4
            for (int v = 0; v < N; ++v) sum[q][v] = V::load(out + q * std::ptrdiff_t(width) + v * V::lanes);
        products<V, R, N>(sum, in + k, 1, stride, by + column, width, 0, n);
#pragma GCC unroll 16
        for (int q = 0; q < R; ++q)
#pragma GCC unroll 4
            for (int v = 0; v < N; ++v) sum[q][v].store(out + q * std::ptrdiff_t(width) + v * V::lanes);
    }
};

}  // namespace
