#include "peaks.h"

#include <algorithm>
#include <limits>

namespace panes {

namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// The peak of a channel, bets `a` to `b`, is where it is now.
void rise(const Peaks& peaks, std::int64_t channel, std::int64_t row, std::int64_t a, std::int64_t b, double now,
          const std::int64_t* steps) {
    peaks.mixed[channel] = now;
    peaks.bet[channel] = std::max_element(steps + a, steps + b) - steps;
    std::copy(steps + a, steps + b, peaks.level + row + a);
    std::copy(steps + a, steps + b, peaks.since + row + a);
}

}  // namespace

double remain(const Followed& of, const Peaks& peaks, std::int64_t i, const double* now, const double* parts,
              const std::int64_t* steps) {
    const std::int64_t c = of.channels, w = of.width, row = i * w;
    double *mixed = peaks.mixed + i * c, most = kNothing;
    bool none = true, gained = false, lost = false;
    for (std::int64_t k = 0; k < c; ++k) {
        none = none && !(now[k] >= of.least || mixed[k] > kNothing);
        most = std::max(most, now[k]);
    }
    double fallen = kNothing;
    for (std::int64_t k = 0; k < c; ++k) {
        const std::int64_t a = of.first[k], b = k + 1 < c ? of.first[k + 1] : w;
        // Where none speaks it was found by many small parts.
        const bool accused = none ? now[k] >= most + of.share : now[k] >= of.least || mixed[k] > kNothing;
        if (accused && now[k] >= mixed[k]) rise(peaks, i * c + k, row, a, b, now[k], steps);
        double of_channel = kNothing;
        for (std::int64_t j = a; j < b; ++j) {
            const std::int64_t since = peaks.since[row + j] = std::max(peaks.since[row + j], steps[j]);
            const bool smaller = since - peaks.level[row + j] > of.smaller && parts[j] > 1.0;
            if (!smaller && !(mixed[k] > kNothing && j == peaks.bet[i * c + k])) continue;
            of_channel = std::max(of_channel, static_cast<double>(steps[j] - since));
            gained = gained || steps[j] > peaks.before[row + j];
            lost = lost || steps[j] < peaks.before[row + j];
        }
        if (accused && now[k] > 0.0) fallen = std::max(fallen, of_channel / of.steps);
    }
    std::copy(steps, steps + w, peaks.before + row);
    peaks.against[i] = gained ? 0 : peaks.against[i] + lost;
    return peaks.against[i] > of.patience ? kNothing : fallen;
}

}  // namespace panes
