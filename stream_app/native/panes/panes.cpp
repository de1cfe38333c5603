#include "panes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace panes {

namespace {

constexpr std::size_t kAhead = 4;      // events whose rows are fetched into the cache before they are needed
constexpr std::int64_t kLine = 64 / 8;  // numbers of a cache line

// The bits of a float64 as a whole number that sorts as it does; -0.0 is 0.0.
std::int64_t code_of(double value) {
    value += 0.0;
    std::int64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? -(bits & 0x7FFFFFFFFFFFFFFF) : bits;
}

void add_range(const Layout& at, std::int64_t d, const double* numeric, const bool* missing, std::int64_t* row) {
    std::int64_t *low = row + at.low, *high = row + at.high, *gaps = row + at.missing;
    for (std::int64_t j = 0; j < d; ++j) {
        if (missing[j]) {
            ++gaps[j];
            continue;
        }
        const std::int64_t code = code_of(numeric[j]);
        low[j] = std::min(low[j], code);
        high[j] = std::max(high[j], code);
    }
}

void add_scores(const Layout& at, const Shape& shape, double log_prob, double p_value, bool adaptive,
                std::int64_t* row) {
    ++row[at.seen];
    ++row[at.scored];
    const double clipped = std::min(std::max(log_prob, -shape.clip), shape.clip);
    row[at.log_prob] += static_cast<std::int64_t>(std::nearbyint(clipped * shape.sum_scale));
    row[at.log_prob + 1] += static_cast<std::int64_t>(std::nearbyint(clipped * clipped * shape.square_scale));
    for (std::int64_t j = 0; j < shape.alphas; ++j) row[at.p_le + j] += p_value <= shape.alpha[j];
    row[at.adaptive] += adaptive;
}

void add_moments(const Layout& at, const Shape& shape, const std::int64_t* base, const std::int64_t* value,
                 const std::int64_t* group, std::int64_t* row) {
    std::int64_t *sum = row + at.base, *square = row + at.square, *product = row + at.product;
    for (std::int64_t j = 0; j <= shape.d; ++j) sum[j] += base[j];
    for (std::int64_t j = 0; j <= shape.d; ++j) square[j] += base[j] * base[j];
    for (std::int64_t p = 0; p < shape.pairs; ++p) product[p] += base[shape.pair[2 * p]] * base[shape.pair[2 * p + 1]];
    for (std::int64_t j = 0; j < shape.d; ++j) row[at.value + j] += value[j];
    for (std::int64_t j = 0; j < shape.k; ++j) ++row[at.group + j * shape.groups + group[j]];
}

}  // namespace

void add(const Layout& layout, const Shape& shape, const Events& events, const std::int64_t* which,
         const std::int64_t* place, std::size_t n, std::int64_t* rows) {
    const std::int64_t d = shape.d;
    for (std::size_t e = 0; e < n; ++e) {
        if (e + kAhead < n) {
            const std::int64_t* next = rows + place[e + kAhead] * shape.width;
            for (std::int64_t j = 0; j < shape.width; j += kLine) __builtin_prefetch(next + j, 1);
        }
        const std::int64_t i = which[e];
        std::int64_t* row = rows + place[e] * shape.width;
        add_scores(layout, shape, events.log_prob[i], events.p_value[i], events.adaptive[i], row);
        add_range(layout, d, events.numeric + i * d, events.missing + i * d, row);
        add_moments(layout, shape, events.base + i * (d + 1), events.value + i * d, events.group + i * shape.k, row);
    }
}

}  // namespace panes
