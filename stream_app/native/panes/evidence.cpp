#include "evidence.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

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
constexpr int kCells = 2048;
constexpr double kEnd = 16.0;
constexpr double kFar = 1e6;            // beyond, everything is the largest or 0

// log(1 + exp(-x)) at steps of x from 0 to kEnd, and by how much it falls to the next: between two of them it is as good
// as straight, beyond them next to nothing.
struct Table {
    struct Cell {
        double at, fall;
    };
    std::array<Cell, kCells + 1> cells;
    Table() {
        for (int i = 0; i <= kCells; ++i) cells[i] = {of(i), of(i) - of(i + 1)};
    }
    static double of(int i) { return std::log1p(std::exp(-i * kEnd / kCells)); }
};
const Table table;

// numpy.logaddexp(0, x)
double exactly(double x) { return x <= 0 ? std::log1p(std::exp(x)) : x + std::log1p(std::exp(-x)); }

#if defined(__x86_64__) && defined(__GNUC__)
#define PANES_AVX2 __attribute__((target("avx2")))
#else
#define PANES_AVX2
#endif
#define PANES_INLINE __attribute__((always_inline)) inline

constexpr std::int64_t kLanes = 4;
typedef double Doubles __attribute__((vector_size(kLanes * 8)));
typedef std::int64_t Longs __attribute__((vector_size(kLanes * 8)));
typedef std::int32_t Whole __attribute__((vector_size(kLanes * 4)));
typedef std::uint16_t Shorts __attribute__((vector_size(kLanes * 2)));

// log(1 + exp(steps / 128 + log e)) in steps, rounded down.
PANES_INLINE std::uint16_t exact_step(std::uint16_t steps, double log_e) {
    return static_cast<std::uint16_t>(std::min(std::floor(exactly(steps / kSteps + log_e) * kSteps), kLargest));
}

// The same of some bets; where the table leaves open which step it is, it is worked out exactly.
PANES_INLINE void take_some(std::uint16_t* steps, const double* log_e) {
    Shorts before;
    Doubles x;
    std::memcpy(&before, steps, sizeof before);
    std::memcpy(&x, log_e, sizeof x);
    x += __builtin_convertvector(before, Doubles) / kSteps;
    x = x > -kFar ? x : Doubles{} - kFar;  // so is what is no number
    x = x > kFar ? Doubles{} + kFar : x;
    Doubles far = x < 0.0 ? -x : x;
    far = (far > kEnd ? Doubles{} + kEnd : far) * (kCells / kEnd);
    const Whole cell = __builtin_convertvector(far, Whole);
    far -= __builtin_convertvector(cell, Doubles);
    Doubles at, fall;
    for (int k = 0; k < kLanes; ++k) {
        at[k] = table.cells[cell[k]].at;
        fall[k] = table.cells[cell[k]].fall;
    }
    Doubles over = ((x > 0.0 ? x : Doubles{}) + at - far * fall) * kSteps;
    Whole whole = __builtin_convertvector(over, Whole);
    over -= __builtin_convertvector(whole, Doubles);
    const Longs open = (over > 1.0 - kNear) | (over < kNear);
    whole = whole > 65535 ? Whole{} + 65535 : whole;
    for (int k = 0; (open[0] | open[1] | open[2] | open[3]) && k < kLanes; ++k)
        if (open[k] && (whole[k] > 0 || over[k] > 0.5)) whole[k] = exact_step(before[k], log_e[k]);
    const Shorts after = __builtin_convertvector(whole, Shorts);
    std::memcpy(steps, &after, sizeof after);
}

PANES_INLINE void take(std::uint16_t* steps, const double* log_e, std::int64_t n) {
    std::int64_t k = 0;
    for (; k + kLanes <= n; k += kLanes) take_some(steps + k, log_e + k);
    for (; k < n; ++k) steps[k] = exact_step(steps[k], log_e[k]);
}

// The same, and the pane becomes the last calm one of bets that rest: it spoke against them, and they fell by a step at
// most.
PANES_INLINE void take_calmly(const Rule& rule, std::uint16_t* steps, std::uint16_t* calm, const double* log_e,
                              std::int64_t n, std::uint16_t number) {
    constexpr std::int64_t kSome = 64;
    std::uint16_t before[kSome];
    for (std::int64_t a = 0; a < n; a += kSome) {
        const std::int64_t some = std::min(kSome, n - a);
        std::memcpy(before, steps + a, some * sizeof *before);
        take(steps + a, log_e + a, some);
        for (std::int64_t k = 0; k < some; ++k) {
            const bool rests = steps[a + k] <= rule.rest_most && steps[a + k] + 1 >= before[k] && log_e[a + k] < 0;
            calm[a + k] = rests ? number : calm[a + k];
        }
    }
}

PANES_INLINE void mix(const Rule& rule, const Evidence& of, std::int64_t slice, std::int64_t row, std::uint16_t number) {
    const std::int64_t width = of.channels * of.bets, place = slice * rule.width + of.first;
    std::uint16_t *steps = rule.steps + place, *calm = rule.calm + place;
    const double* log_e = of.log_e + row * width;
    const bool* news = of.news + row * of.channels;
    // Runs of channels of which the pane says something, mostly all of them.
    for (std::int64_t c = 0; c < of.channels;) {
        const std::int64_t first = c;
        while (c < of.channels && news[c]) ++c;
        take_calmly(rule, steps + first * of.bets, calm + first * of.bets, log_e + first * of.bets,
                    (c - first) * of.bets, number);
        while (c < of.channels && !news[c]) ++c;
    }
    for (std::int64_t k = 0; k < width; ++k) calm[k] = steps[k] <= rule.calm_most ? number : calm[k];
}

PANES_INLINE bool walk_pane(const Rule& rule, const std::vector<Given>& given, std::int64_t pane,
                            std::uint16_t number) {
    bool found = false;
    for (const Given& of : given) {
        const std::int64_t a = of.edges[pane], b = of.edges[pane + 1];
        for (std::int64_t i = a; i < b; ++i)
            if (!rule.seen[of.at[i]]) {
                rule.seen[of.at[i]] = true;
                std::fill_n(rule.calm + of.at[i] * rule.width, rule.width, static_cast<std::uint16_t>(number - 1));
            }
        for (const Evidence& one : of.evidence)
            for (std::int64_t i = a; i < b; ++i) mix(rule, one, of.at[i], i, number);
        for (std::int64_t i = a; of.looks && i < b; ++i) {
            if (rule.followed[of.at[i]]) continue;
            const std::uint16_t* steps = rule.steps + of.at[i] * rule.width;
            std::uint16_t most = 0;
            for (std::int64_t k = 0; k < rule.width; ++k) most = std::max(most, steps[k]);
            found = found || (rule.width && most >= rule.least);
        }
    }
    return found;
}

void note(const Rule& rule, const Trace& trace, std::int64_t pane) {
    const std::int64_t w = rule.width, first = pane * trace.m * w;
    for (std::int64_t i = 0; i < trace.m; ++i) {
        std::copy_n(rule.steps + trace.slices[i] * w, w, trace.steps + first + i * w);
        std::copy_n(rule.calm + trace.slices[i] * w, w, trace.calm + first + i * w);
    }
}

PANES_INLINE std::int64_t walk_all(const Rule& rule, const std::vector<Given>& given, const std::int64_t* number,
                                   std::int64_t pane, std::int64_t end, const Trace& trace) {
    for (std::int64_t first = pane; pane < end; ++pane) {
        const bool found = walk_pane(rule, given, pane, static_cast<std::uint16_t>(number[pane]));
        note(rule, trace, pane - first);
        if (found) return pane;
    }
    return end;
}

PANES_AVX2 std::int64_t walk_wide(const Rule& rule, const std::vector<Given>& given, const std::int64_t* number,
                                  std::int64_t pane, std::int64_t end, const Trace& trace) {
    return walk_all(rule, given, number, pane, end, trace);
}

bool is_wide() {
#if defined(__x86_64__) && defined(__GNUC__)
    static const bool wide = __builtin_cpu_supports("avx2");
    return wide;
#else
    return false;
#endif
}

}  // namespace

std::int64_t walk(const Rule& rule, const std::vector<Given>& given, const std::int64_t* number, std::int64_t pane,
                  std::int64_t end, const Trace& trace) {
    return is_wide() ? walk_wide(rule, given, number, pane, end, trace)
                     : walk_all(rule, given, number, pane, end, trace);
}

}  // namespace panes
