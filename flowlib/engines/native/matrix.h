// Masked layers: a tile of rows times a panel of outputs, held in registers, bias and ReLU fused.
//
// Every output is bias + Σ_k input_k · weight_k, added in ascending k whatever the tile: so a row's result does not
// depend on the rows beside it.
#pragma once

#include "plan.h"

namespace {

#if defined(__GNUC__) || defined(__clang__)
#define FUSED_INLINE inline __attribute__((always_inline))
#else
#define FUSED_INLINE inline
#endif

struct Source {
    const float* rows;
    std::ptrdiff_t stride;
    const std::int32_t* columns;  // of the first layer; others read their inputs in order
};

// Inputs [k, stops[S]) of the vectors S.. of a panel, then on to S + 1.
template <class V, int R, int N, int S, bool Picked>
FUSED_INLINE void sweep(V (&sum)[R][N], const Source& in, const fused::Panel& panel, const float* w, int k) {
    for (const int stop = panel.stops[S]; k < stop; ++k) {
        V weight[N];
#pragma GCC unroll 8
        for (int v = S; v < N; ++v) weight[v] = V::load(w + (v - S) * V::lanes);
        const float* input = in.rows + (Picked ? in.columns[k] : k);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const V x = V::set(input[r * in.stride]);
#pragma GCC unroll 8
            for (int v = S; v < N; ++v) sum[r][v] = fma(x, weight[v], sum[r][v]);
        }
        w += (N - S) * V::lanes;
    }
    if constexpr (S + 1 < N) sweep<V, R, N, S + 1, Picked>(sum, in, panel, w, k);
}

template <class V, int R, int N, bool Picked>
void tile(const Source& in, const fused::Panel& panel, const float* numbers, bool relu, float* out,
          std::ptrdiff_t stride) {
    V sum[R][N];
#pragma GCC unroll 8
    for (int v = 0; v < N; ++v) {
        const V bias = V::load(numbers + panel.bias + v * V::lanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sum[r][v] = bias;
    }
    sweep<V, R, N, 0, Picked>(sum, in, panel, numbers + panel.weights, 0);
    const V floor = V::set(relu ? 0.0f : -3.4e38f);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) maximum(sum[r][v], floor).store(out + r * stride + panel.out + v * V::lanes);
}

template <class V, int N, bool Picked, int Rows>
void tiles(Source in, const fused::Panel& panel, const float* numbers, bool relu, float* out, std::ptrdiff_t stride,
           int m) {
    for (; m >= Rows; m -= Rows, in.rows += Rows * in.stride, out += Rows * stride)
        tile<V, Rows, N, Picked>(in, panel, numbers, relu, out, stride);
    if constexpr (Rows > 3)
        if (m >= 3) {
            tile<V, 3, N, Picked>(in, panel, numbers, relu, out, stride);
            m -= 3, in.rows += 3 * in.stride, out += 3 * stride;
        }
    if (m == 2) tile<V, 2, N, Picked>(in, panel, numbers, relu, out, stride);
    if (m == 1) tile<V, 1, N, Picked>(in, panel, numbers, relu, out, stride);
}

template <class V, int Rows, bool Picked>
void layer(const fused::Layer& packed, const Source& in, const float* numbers, bool relu, float* out,
           std::ptrdiff_t stride, int m) {
    for (const fused::Panel& panel : packed.panels) {
        switch (panel.vectors) {
            case 4: tiles<V, 4, Picked, Rows>(in, panel, numbers, relu, out, stride, m); break;
            case 3: tiles<V, 3, Picked, Rows>(in, panel, numbers, relu, out, stride, m); break;
            case 2: tiles<V, 2, Picked, Rows>(in, panel, numbers, relu, out, stride, m); break;
            default: tiles<V, 1, Picked, Rows>(in, panel, numbers, relu, out, stride, m); break;
        }
    }
}

}  // namespace
