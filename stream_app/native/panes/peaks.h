// How what a rule has found on a slice ends; stages/detection/peaks.py says the same in NumPy. Nothing but comparisons
// and whole numbers, so that both give the same bits.
#pragma once

#include <cstdint>

namespace panes {

// Of a rule: the first bet of each of c channels, of w bets in all; panes that may speak against a slice and none for
// it; steps by which a bet has to gain where a larger one falls, and of a nat; log of what a channel has to be to speak,
// and of its share of the largest one where none does.
struct Followed {
    const std::int64_t* first;
    std::int64_t channels, width, patience, smaller;
    double steps, least, share;
};

// Of slices: log of each channel's part of the mixture at its peak (m, c) and its largest bet then; the steps of every
// bet then (m, w), the most since, and in the pane before; panes that spoke against it (m,).
struct Peaks {
    double* mixed;
    std::int64_t *bet, *level, *since, *before, *against;
};

// A pane of slice i: log of each channel's part now (c,), each bet's part and its steps (w,). Gives how far the evidence
// has fallen since it was largest, log of a ratio; -inf where nothing speaks for it any more.
double remain(const Followed& of, const Peaks& peaks, std::int64_t i, const double* now, const double* parts,
              const std::int64_t* steps);

}  // namespace panes
