// Evidence of panes: deviations from what is normal, bets on them, and their mixture. Every number is made by the same
// operations in the same order as by the form in NumPy, so that both give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace panes {

// What is normal of slices, by row of the reference: mean, sd (rows, d + 1), product (rows, pairs); of all of them:
// square_sd (d + 1), product_sd (pairs), and which of the d columns vary.
struct Normal {
    const double *mean, *sd, *product, *square_sd, *product_sd;
    const std::int64_t* pair;
    const bool* varies;
    std::int64_t d, pairs;
};

// Where in a pane's row the sums begin, its width, and parts of one standard deviation that scores are counted in.
struct Sums {
    std::int64_t missing, scored, base, square, product, width;
    double unit;
};

// Events and deviations (n, 2 (d + 1) + pairs) of the moment channels of n rows; `known` are their rows of the reference.
// There is room for 2 (d + 1) numbers.
void deviate(const Normal& normal, const Sums& sums, const std::int64_t* rows, const std::int64_t* known, std::size_t n,
             double* room, double* events, double* deviation);

// Some moment channels: `first` to `first + channels` of `all`; bets upward and downward.
struct Bets {
    std::int64_t first, channels, all, bets;
    const double* bet;       // (bets,)
    const double* up;        // (all, bets) cumulants upward
    const double* down;      // (all, bets) and downward
    const double* slack;     // (rows of the reference, all)
    const double* inflation;  // the same
};

// Log e-values (n, channels, 2 bets) and whether there are events (n, channels).
void moments(const Bets& bets, const double* events, const double* deviation, const std::int64_t* known, std::size_t n,
             double* log_e, bool* news);

// Bets on more hits than normal, by row of a table: what a trial costs and is worth, and where nothing can be bet.
struct Odds {
    const double *hit, *trial, *worth;  // (bets,), (rows, bets), (rows, bets)
    const bool* none;                   // (rows,), or nullptr for nowhere
    std::int64_t bets;
    double no_bet;
};

// Log e-values (n, bets) of hits among trials, each by a row of the table.
void count(const Odds& odds, const double* hits, const double* trials, const std::int64_t* row, std::size_t n,
           double* log_e);

// The columns of a rule's bets: (slices, width) steps and the last calm panes; whether a slice had any evidence before.
struct Rule {
    std::uint16_t *steps, *calm;
    bool* seen;
    const char* followed;       // whether a slice is found already
    std::int64_t width, least;  // steps from which on a slice may be found
    std::uint16_t calm_most;    // steps up to which a bet says nothing
    std::uint16_t rest_most;    // the same of one that rests: it loses so little that it stays above those
};

// Evidence of a detector, whose bets begin at column `first`, of `channels` of `bets` each.
struct Evidence {
    std::int64_t first, channels, bets;
    const double* log_e;
    const bool* news;
};

// What is given of panes: the slices of their rows, pane by pane, and the evidence of some detectors.
struct Given {
    const std::int64_t *at, *edges;
    bool looks;  // after it a slice may be found
    std::vector<Evidence> evidence;
};

// Where m slices that are followed stand after each of n panes: (n, m, width) steps and the last calm panes.
struct Trace {
    const std::int64_t* slices;
    std::int64_t m;
    std::uint16_t *steps, *calm;
};

// log(1 + R) <- log(1 + (1 + R) e) of every slice, pane by pane; in steps of 1/128 nat, rounded down. `number`: of the
// panes. Stops after the first pane, from `pane` to `end`, in which a slice may be found that is not followed; gives
// which it was, or `end` where there was none.
std::int64_t walk(const Rule& rule, const std::vector<Given>& given, const std::int64_t* number, std::int64_t pane,
                  std::int64_t end, const Trace& trace);

}  // namespace panes
