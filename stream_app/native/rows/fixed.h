// Bodies of one length: a time and words of four bytes each, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rows {

struct Fixed {
    const unsigned char* buffer;
    std::int64_t length;               // bytes of it
    const std::int64_t *first, *size;  // of each body, where it begins and how long it is
    std::int64_t n, body;              // bodies, and the length that they have to have
    const std::int64_t *numbers, *texts;  // words of numbers (d,) and of whole numbers that stand for texts (k,)
    std::int64_t d, k;
    std::int64_t end_ms;  // times are below
    std::uint64_t seed;   // of the tables of whole numbers: strangers choose them
};

// Where columns go: read (n,), time_ms (n,), numeric (n, d), codes (k, n).
struct FixedColumns {
    bool* read;
    std::int64_t* time_ms;
    double* numeric;
    std::int64_t* codes;
};

// Reads the bodies that fit, have a time and no infinite number. Returns for each text column the different whole numbers
// of these rows in the order in which they come first, to which codes are places.
std::vector<std::vector<std::int32_t>> read_fixed(const Fixed& bodies, const FixedColumns& out);

}  // namespace rows
