// Loops over rows of columns, each in one pass where NumPy takes several. What they give is what the NumPy beside them
// gives, to the last bit: sums and products are in its order, and nothing here calls for a logarithm.
#pragma once

#include <cstddef>
#include <cstdint>

namespace loops {

using Size = std::ptrdiff_t;

// The table of flowlib.ladder.Ladders: c columns of b edges, and cells among them.
template <class T>
struct Ladders {
    const T* edges;             // (c, b)
    const T *low, *scale;       // (c,)
    const std::uint16_t* until;  // (c, cells + 2); null where that is not enough
    const std::int32_t* wide;   // the same then
    Size c, b, cells;
};

// (n, c) how many edges of its column lie below each value, or with upto at most at it.
template <class T>
void places(const Ladders<T>& ladders, const T* values, Size n, bool upto, std::int32_t* out);

// by_place[place of each value, times sign, up to it among the edges of one column]. Returns how many values lie beyond
// all edges, or -1 where one is not finite; their rows are in `beyond`, which has room for n.
Size looked_up(const Ladders<double>& ladders, const double* values, Size n, double sign, const double* by_place,
               double* out, std::int64_t* beyond);

// The same by the place below. `tied` has room for n rows: those of values that are an edge, in order; `below` and
// `above` are how many edges lie on either side of each of these.
struct Among {
    Size beyond, tied;
};
Among looked_up(const Ladders<double>& ladders, const double* values, Size n, const double* by_place, double* out,
                std::int64_t* beyond, std::int64_t* tied, std::int64_t* below, std::int64_t* above);

// Scores of events, see flowlib.channels.Channels.of, by the steps of c = d + 1 columns.
struct Steps {
    const float* edges;          // (c, b + 1), padded with infinity
    const float *low, *scale;    // (c,)
    const std::uint16_t* until;  // (c, cells + 2) as in Ladders
    const std::int64_t* codes;   // (c, b + 1)
    const std::int64_t* bins;    // (d, b + 1)
    Size c, b, cells;
};

// Scores (n, c) and bins (n, d) of base coordinates (n, d) and surprises (n,); present and scorable may be null.
void event_scores(const Steps& steps, const float* z, const double* surprise, const bool* present,
                  const bool* scorable, Size n, std::int64_t* base, std::int64_t* pit);

// (x - shift) / scale within the limits, as float32, and which values are NaN. Returns 0 where every value is finite and
// no feature is beyond its limit; else 1, and what was written means nothing.
int standardised(const double* x, Size n, Size d, const double* shift, const double* scale, const double* limit,
                 float* features);

// Parts of the log-likelihood of rows, see flowlib.density; k categories.
struct Parts {
    const float *z, *ladj;      // (n, d)
    const double* beside;       // rows `stride` numbers apart, (n, d)
    Size stride;
    const double* category;     // (n, k)
    const bool *ok, *missing;   // (n,), (n, d)
    double constant;
    double* parts;              // (n, d + k)
    float* base;                // (n, d)
    double *log_prob, *distance;  // (n,)
    bool* scorable;             // (n,)
};
void add_parts(const Parts& rows, Size n, Size d, Size k);

// Rarities within slices, see flowlib.pooling.Tails.rarity; `levels` columns of edges and hazards.
void within_slices(const double* rarity, const std::int64_t* codes, const double* edges, const double* hazard,
                   Size levels, double step, Size n, double* out);

// Values in whole parts of a scale, see flowlib.reference.values.value_counts.
void counts(const double* x, Size n, Size d, const double* centre, const double* scale, double most, double unit,
            std::int64_t* out);

// How many numbers before each are the same; `counts` says how many there are, and is 0 before.
void earlier(const std::int64_t* codes, Size n, std::int64_t* counts, std::int64_t* out);

// Whether every number is 0, NaN, or has a size from `smallest` to `largest`.
bool within(const double* x, Size n, double smallest, double largest);

// Draws among equal scores, see flowlib.ties.draws, of m rows of a table; words (m,) say which slice each is of.
void draws(const std::int64_t* rows, Size m, std::uint64_t key, const std::int64_t* time_ms,
           const std::uint64_t* words, const double* numeric, Size d, double* out);

}  // namespace loops
