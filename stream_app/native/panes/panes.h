// The columns of panes (schemas/pane_layout.py), summed event by event into the rows of their slices. Whole numbers, so
// that the order does not matter.
#pragma once

#include <cstddef>
#include <cstdint>

namespace panes {

// Where the columns of a row begin.
struct Layout {
    std::int64_t seen, missing, low, high, scored, log_prob, p_le, adaptive, base, square, product, group, value;
};

// Of the stream: numbers of columns, and what is counted of each event.
struct Shape {
    std::int64_t d, k, pairs, width, groups, alphas;
    const std::int64_t* pair;  // (pairs, 2) columns of base
    const double* alpha;
    double clip, sum_scale, square_scale;
};

// Events, row by row as they were scored: ScoredBatch.
struct Events {
    const double *log_prob, *p_value, *numeric;
    const bool *adaptive, *missing;
    const std::int64_t *base, *group, *value;
};

// Adds n events (their numbers in `which`) to the rows that `place` says.
void add(const Layout& layout, const Shape& shape, const Events& events, const std::int64_t* which,
         const std::int64_t* place, std::size_t n, std::int64_t* rows);

}  // namespace panes
