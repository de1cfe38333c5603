#include "evidence.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace panes {

void deviate(const Normal& normal, const Sums& sums, const std::int64_t* rows, const std::int64_t* known, std::size_t n,
             double* room, double* events, double* deviation) {
    const std::int64_t d = normal.d, each = d + 1, all = 2 * each + normal.pairs;
    double *base = room, *usual = room + each;
    for (std::size_t i = 0; i < n; ++i) {
        const std::int64_t* row = rows + static_cast<std::int64_t>(i) * sums.width;
        const double *mean = normal.mean + known[i] * each, *sd = normal.sd + known[i] * each;
        double *of = events + static_cast<std::int64_t>(i) * all, *out = deviation + static_cast<std::int64_t>(i) * all;
        for (std::int64_t j = 0; j < d; ++j)
            of[j] = normal.varies[j] ? static_cast<double>(row[sums.scored] - row[sums.missing + j]) : 0.0;
        of[d] = static_cast<double>(row[sums.scored]);
        for (std::int64_t j = 0; j < each; ++j) {
            base[j] = static_cast<double>(row[sums.base + j]) / sums.unit;
            usual[j] = base[j] / std::max(of[j], 1.0);
            const double square = static_cast<double>(row[sums.square + j]) / (sums.unit * sums.unit);
            of[each + j] = of[j];
            out[j] = (base[j] - of[j] * mean[j]) / sd[j];
            const double about = square - 2 * mean[j] * base[j] + of[j] * (mean[j] * mean[j]);
            out[each + j] = (about / (sd[j] * sd[j]) - of[j]) / normal.square_sd[j];
        }
        const double* product = normal.product + known[i] * normal.pairs;
        for (std::int64_t p = 0; p < normal.pairs; ++p) {
            const std::int64_t a = normal.pair[2 * p], b = normal.pair[2 * p + 1];
            const double both = std::min(of[a], of[b]);
            const double sum = static_cast<double>(row[sums.product + p]) / (sums.unit * sums.unit);
            const double off = mean[b] * usual[a] + mean[a] * usual[b] - mean[a] * mean[b];
            const double centred = sum - both * off;
            of[2 * each + p] = both;
            out[2 * each + p] = (centred / (sd[a] * sd[b]) - both * product[p]) / normal.product_sd[p];
        }
    }
}

void moments(const Bets& bets, const double* events, const double* deviation, const std::int64_t* known, std::size_t n,
             double* log_e, bool* news) {
    const std::int64_t m = bets.channels, b = bets.bets;
    for (std::size_t i = 0; i < n; ++i) {
        const std::int64_t from = static_cast<std::int64_t>(i) * bets.all + bets.first;
        const std::int64_t usual = known[i] * bets.all + bets.first;
        for (std::int64_t c = 0; c < m; ++c, log_e += 2 * b) {
            const double of = events[from + c], far = deviation[from + c], inflation = bets.inflation[usual + c];
            const double idle = of * bets.slack[usual + c], up = far - idle, down = -far - idle;
            const double *up_k = bets.up + (bets.first + c) * b, *down_k = bets.down + (bets.first + c) * b;
            for (std::int64_t k = 0; k < b; ++k) {
                log_e[k] = (up * bets.bet[k] - of * up_k[k]) / inflation;
                log_e[b + k] = (down * bets.bet[k] - of * down_k[k]) / inflation;
            }
            *news++ = of > 0;
        }
    }
}

void count(const Odds& odds, const double* hits, const double* trials, const std::int64_t* row, std::size_t n,
           double* log_e) {
    const std::int64_t b = odds.bets;
    for (std::size_t i = 0; i < n; ++i, log_e += b) {
        const double *trial = odds.trial + row[i] * b, *worth = odds.worth + row[i] * b;
        if (odds.none && odds.none[row[i]]) {
            std::fill(log_e, log_e + b, odds.no_bet);
            continue;
        }
        for (std::int64_t k = 0; k < b; ++k) log_e[k] = (hits[i] * odds.hit[k] + trials[i] * trial[k]) / worth[k];
    }
}

namespace {

constexpr double kSteps = 128.0, kLargest = 65535.0;
constexpr double kNear = 1e-3;  // steps by which what the table says may be wrong, with some room
constexpr int kCells = 2048, kEnd = 16;

// log(1 + exp(-x)) for x from 0 to kEnd, between two of which it is as good as straight; beyond it is next to nothing.
struct Table {
    std::array<double, kCells + 2> at;
    Table() {
        for (int i = 0; i < kCells + 2; ++i) at[i] = std::log1p(std::exp(-static_cast<double>(i) * kEnd / kCells));
    }
};
const Table table;

// numpy.logaddexp(0, x)
double exactly(double x) { return x <= 0 ? std::log1p(std::exp(x)) : x + std::log1p(std::exp(-x)); }

// log(1 + exp(x)) in steps, rounded down.
std::uint16_t steps_of(double x) {
    if (!(x < 1e9)) return static_cast<std::uint16_t>(kLargest);
    const double far = std::min(std::fabs(x), static_cast<double>(kEnd)) * (kCells / kEnd);
    const int cell = static_cast<int>(far);
    const double rest = table.at[cell] + (far - cell) * (table.at[cell + 1] - table.at[cell]);
    const double steps = (std::max(x, 0.0) + rest) * kSteps;
    const auto whole = static_cast<std::int64_t>(steps);  // it is not below 0
    const double over = steps - static_cast<double>(whole);
    if (over > 1.0 - kNear || (over < kNear && whole > 0))
        return static_cast<std::uint16_t>(std::min(std::floor(exactly(x) * kSteps), kLargest));
    return static_cast<std::uint16_t>(std::min<std::int64_t>(whole, static_cast<std::int64_t>(kLargest)));
}

}  // namespace

void mix(const Mixed& mixed, const std::int64_t* at, std::size_t n, std::int64_t channels, std::int64_t bets,
         const double* log_e, const bool* news) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::int64_t place = at[i] * mixed.width + mixed.first;
        std::uint16_t *steps = mixed.steps + place, *calm = mixed.calm + place;
        for (std::int64_t c = 0; c < channels; ++c, log_e += bets, steps += bets, calm += bets) {
            if (*news++)
                for (std::int64_t k = 0; k < bets; ++k) steps[k] = steps_of(steps[k] / kSteps + log_e[k]);
            for (std::int64_t k = 0; k < bets; ++k) calm[k] = steps[k] <= mixed.calm_most ? mixed.number : calm[k];
        }
    }
}

}  // namespace panes
