#include <cmath>
#include <cstring>
#include <vector>

#include "loops.h"
#include "wide.h"

namespace loops {

namespace {

// Cells are monotone in the values, so every edge of a lower cell is smaller, and of a higher one larger.
template <class T>
inline std::int32_t place(const Ladders<T>& ladders, Size j, T value, bool upto) {
    const T last_cell = static_cast<T>(ladders.cells);
    T cell = (value - ladders.low[j]) * ladders.scale[j];
    cell = cell > T(0) ? cell : T(0);
    const Size at = j * (ladders.cells + 2) + static_cast<std::int32_t>(cell < last_cell ? cell : last_cell);
    const T* edges = ladders.edges + j * ladders.b;
    std::int32_t first = ladders.until ? ladders.until[at] : ladders.wide[at];
    const std::int32_t end = static_cast<std::int32_t>(ladders.b) - 1;
    if (end < 0) return 0;
    // Most cells have one edge or none: a step without a jump, which would be guessed wrong as often as right.
    const T near = edges[first < end ? first : end];
    first += (first <= end) & (upto ? near <= value : near < value);
    if (first > end || !(upto ? edges[first] <= value : edges[first] < value)) return first;
    std::int32_t last = ladders.until ? ladders.until[at + 1] : ladders.wide[at + 1];
    for (++first; first < last;) {
        const std::int32_t middle = (first + last) >> 1;
        if (upto ? edges[middle] <= value : edges[middle] < value)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

}  // namespace

namespace {

// Asks for a table before it is looked at here and there: what the flow had in the cache has driven it out by then, and
// lines that are fetched one after the other wait for each other.
void fetch(const void* table, Size bytes) {
#if defined(__GNUC__) || defined(__clang__)
    const char* from = static_cast<const char*>(table);
    for (Size at = 0; at < bytes; at += 64) __builtin_prefetch(from + at);
#endif
}

constexpr Size kMany = 1'000;  // values that are worth a table

void fetch(const Ladders<double>& ladders, const double* by_place, Size n) {
    if (n < kMany) return;
    if (ladders.until)
        fetch(ladders.until, (ladders.cells + 2) * sizeof(std::uint16_t));
    else
        fetch(ladders.wide, (ladders.cells + 2) * sizeof(std::int32_t));
    fetch(ladders.edges, ladders.b * sizeof(double));
    fetch(by_place, ladders.b * sizeof(double));
}

}  // namespace

template <class T>
void places(const Ladders<T>& ladders, const T* values, Size n, bool upto, std::int32_t* out) {
    for (Size i = 0; i < n; ++i)
        for (Size j = 0; j < ladders.c; ++j) *out++ = place(ladders, j, *values++, upto);
}

template void places(const Ladders<float>&, const float*, Size, bool, std::int32_t*);
template void places(const Ladders<double>&, const double*, Size, bool, std::int32_t*);

Size looked_up(const Ladders<double>& ladders, const double* values, Size n, double sign, const double* by_place,
               double* out, std::int64_t* beyond) {
    Size far = 0;
    bool finite = true;
    fetch(ladders, by_place, n);
    for (Size i = 0; i < n; ++i) {
        const double value = sign * values[i];
        finite &= std::isfinite(value);
        const std::int32_t at = place(ladders, 0, value, true);
        out[i] = by_place[at];
        beyond[far] = i;
        far += at == ladders.b;
    }
    return finite ? far : -1;
}

Among looked_up(const Ladders<double>& ladders, const double* values, Size n, const double* by_place, double* out,
                std::int64_t* beyond, std::int64_t* tied, std::int64_t* below, std::int64_t* above) {
    Among found{0, 0};
    fetch(ladders, by_place, n);
    for (Size i = 0; i < n; ++i) {
        const std::int32_t at = place(ladders, 0, values[i], false);
        out[i] = by_place[at];
        beyond[found.beyond] = i;
        found.beyond += at == ladders.b;
        if (at < ladders.b && ladders.edges[at] == values[i]) {
            tied[found.tied] = i;
            below[found.tied] = at;
            above[found.tied++] = ladders.b - place(ladders, 0, values[i], true);
        }
    }
    return found;
}

namespace {

constexpr Size kRows = 64;  // rows whose cells are found together: they stay in the cache

// How many edges lie below a value, by its cell; edges end with an infinite one.
inline Size step(const float* edges, const std::uint16_t* until, std::int32_t cell, float value) {
    Size at = until[cell];
    at += edges[at] < value;
    if (edges[at] < value) {  // more than one edge of the cell, which is rare
        Size last = until[cell + 1];
        while (at < last) {
            const Size middle = (at + last) >> 1;
            if (edges[middle] < value)
                at = middle + 1;
            else
                last = middle;
        }
    }
    return at;
}

// Cells (n, c) of rows.
WIDE void cells_of(const Steps& steps, const float* values, Size n, std::int32_t* cells) {
    const float last = static_cast<float>(steps.cells);
    for (Size i = 0; i < n; ++i, values += steps.c, cells += steps.c)
        for (Size j = 0; j < steps.c; ++j) {
            float cell = (values[j] - steps.low[j]) * steps.scale[j];
            cell = cell > 0.0f ? cell : 0.0f;
            cells[j] = static_cast<std::int32_t>(cell < last ? cell : last);
        }
}

}  // namespace

void event_scores(const Steps& steps, const float* z, const double* surprise, const bool* present,
                  const bool* scorable, Size n, std::int64_t* base, std::int64_t* pit) {
    const Size c = steps.c, d = c - 1, width = steps.b + 1;
    std::vector<float> of_rows(kRows * c);
    std::vector<std::int32_t> of_cells(kRows * c);
    for (Size start = 0; start < n; start += kRows) {
        const Size m = n - start < kRows ? n - start : kRows;
        float* values = of_rows.data();
        for (Size i = 0; i < m; ++i) {
            std::memcpy(values + i * c, z + (start + i) * d, d * sizeof(float));
            values[i * c + d] = static_cast<float>(surprise[start + i]);
        }
        cells_of(steps, values, m, of_cells.data());
        for (Size j = 0; j < c; ++j) {
            const float* edges = steps.edges + j * width;
            const std::uint16_t* until = steps.until + j * (steps.cells + 2);
            const std::int64_t *codes = steps.codes + j * width, *bins = steps.bins + j * width;
            for (Size i = 0; i < m; ++i) {
                const Size at = step(edges, until, of_cells[i * c + j], values[i * c + j]), row = start + i;
                if (j < d) pit[row * d + j] = bins[at];
                base[row * c + j] = codes[at];
            }
        }
    }
    if (present)
        for (Size i = 0; i < n; ++i)
            for (Size j = 0; j < d; ++j)
                if (!present[i * d + j]) base[i * c + j] = 0;
    if (scorable)
        for (Size i = 0; i < n; ++i)
            if (!scorable[i]) base[i * c + d] = 0;
}

}  // namespace loops
