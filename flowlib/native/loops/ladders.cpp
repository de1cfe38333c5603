#include "loops.h"

namespace loops {

namespace {

// Cells are monotone in the values, so every edge of a lower cell is smaller, and of a higher one larger.
template <class T>
inline std::int32_t place(const T* edges, const std::int32_t* until, T low, T scale, T last_cell, T value, bool upto) {
    T cell = (value - low) * scale;
    cell = cell > T(0) ? cell : T(0);
    cell = cell < last_cell ? cell : last_cell;
    const std::int32_t* there = until + static_cast<std::int32_t>(cell);
    std::int32_t first = there[0], last = there[1];
    while (first < last) {
        const std::int32_t middle = (first + last) >> 1;
        if (upto ? edges[middle] <= value : edges[middle] < value)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

template <class T>
inline std::int32_t place(const Ladders<T>& ladders, Size j, T value, bool upto) {
    return place(ladders.edges + j * ladders.b, ladders.until + j * (ladders.cells + 2), ladders.low[j],
                 ladders.scale[j], static_cast<T>(ladders.cells), value, upto);
}

}  // namespace

template <class T>
void places(const Ladders<T>& ladders, const T* values, Size n, bool upto, std::int32_t* out) {
    for (Size i = 0; i < n; ++i)
        for (Size j = 0; j < ladders.c; ++j) *out++ = place(ladders, j, *values++, upto);
}

template void places(const Ladders<float>&, const float*, Size, bool, std::int32_t*);
template void places(const Ladders<double>&, const double*, Size, bool, std::int32_t*);

Size looked_up(const Ladders<double>& ladders, const double* values, Size n, const double* by_place, double* out,
               std::int64_t* beyond) {
    Size far = 0;
    for (Size i = 0; i < n; ++i) {
        const std::int32_t at = place(ladders, 0, values[i], true);
        out[i] = by_place[at];
        beyond[far] = i;
        far += at == ladders.b;
    }
    return far;
}

Among looked_up(const Ladders<double>& ladders, const double* values, Size n, const double* by_place, double* out,
                std::int64_t* below, std::int64_t* beyond, std::int64_t* tied) {
    Among found{0, 0};
    for (Size i = 0; i < n; ++i) {
        const std::int32_t at = place(ladders, 0, values[i], false);
        out[i] = by_place[at];
        beyond[found.beyond] = i;
        found.beyond += at == ladders.b;
        if (at < ladders.b && ladders.edges[at] == values[i]) {
            tied[found.tied] = i;
            below[found.tied++] = at;
        }
    }
    return found;
}

void event_scores(const Channels& channels, const float* z, const double* surprise, const bool* present,
                  const bool* scorable, Size n, std::int64_t* base, std::int64_t* pit) {
    const Ladders<float>& ladders = channels.ladders;
    const Size d = ladders.c - 1, width = ladders.b + 1;
    for (Size i = 0; i < n; ++i) {
        for (Size j = 0; j < d; ++j) {
            const Size at = j * width + place(ladders, j, *z++, false);
            const std::int64_t score = channels.codes[at];
            *base++ = !present || *present++ ? score : 0;
            *pit++ = channels.bins[at];
        }
        const Size at = d * width + place(ladders, d, static_cast<float>(surprise[i]), false);
        *base++ = !scorable || scorable[i] ? channels.codes[at] : 0;
    }
}

}  // namespace loops
