// Numbers and times of JSON as Python and msgspec read them. False: it is left to them.
#pragma once

#include <cfloat>
#include <charconv>
#include <cstdint>

#include "json.h"

namespace rows {

constexpr std::uint64_t kExact = std::uint64_t{1} << 53;  // every whole number up to it is a double
constexpr std::int64_t kTimeMaxMs = 32'503'680'000'000;   // the year 3000

// Powers of ten that are doubles.
constexpr double kTens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kTensMax = 22;

// The double that is nearest to a number; one beyond all doubles, or that many doubles lie beside, is left.
inline bool double_of(const Number& number, double* value) {
    if (number.whole) {
        if (!number.exact || number.digits > kExact) return false;
        const auto size = static_cast<std::int64_t>(number.digits);
        *value = static_cast<double>(number.negative ? -size : size);  // -0 is a whole number, and 0
        return true;
    }
    const int exponent = number.exponent;
    // One rounding of two exact numbers is the nearest, where doubles are computed with as doubles.
    if (FLT_EVAL_METHOD == 0 && number.exact && number.digits <= kExact && exponent >= -kTensMax &&
        exponent <= kTensMax) {
        const double size = static_cast<double>(number.digits);
        const double found = exponent < 0 ? size / kTens[-exponent] : size * kTens[exponent];
        *value = number.negative ? -found : found;
        return true;
    }
#if defined(__cpp_lib_to_chars)
    const auto* first = reinterpret_cast<const char*>(number.first);
    const auto* last = reinterpret_cast<const char*>(number.last);
    const auto done = std::from_chars(first, last, *value);
    return done.ec == std::errc() && done.ptr == last;
#else
    return false;
#endif
}

// A time since the epoch: the number, times, divided by, in whole milliseconds.
inline bool epoch_ms(const Number& number, std::uint64_t times, std::uint64_t by, std::int64_t* ms) {
    if (number.negative || !number.exact) return false;
    if (number.whole) {
        if (number.digits / by >= static_cast<std::uint64_t>(kTimeMaxMs)) return false;
        *ms = static_cast<std::int64_t>(number.digits / by * times);
        return *ms < kTimeMaxMs;
    }
    double value;
    if (!double_of(number, &value)) return false;
    value = value * static_cast<double>(times) / static_cast<double>(by);
    if (!(value < static_cast<double>(kTimeMaxMs))) return false;
    *ms = static_cast<std::int64_t>(value);
    return true;
}

// Digits of a fixed number; false where there are others.
inline bool fixed(const Byte* at, int count, int* value) {
    int found = 0;
    for (int i = 0; i < count; ++i) {
        if (at[i] < '0' || at[i] > '9') return false;
        found = found * 10 + (at[i] - '0');
    }
    *value = found;
    return true;
}

// Days from 1970-01-01 to a day of the Gregorian calendar (Howard Hinnant's formula); false where there is no such day.
inline bool days_of(int year, int month, int day, std::int64_t* days) {
    static constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12 || day < 1) return false;
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + (month == 2 && leap)) return false;
    const int y = month <= 2 ? year - 1 : year;
    const int era = y / 400, of_era = y % 400;
    const int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    *days = std::int64_t{era} * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
    return true;
}

inline bool clock_of(const Byte* at, int* seconds) {
    int hour, minute;
    if (at[2] != ':' || !fixed(at, 2, &hour) || !fixed(at + 3, 2, &minute) || hour > 23 || minute > 59) return false;
    *seconds = hour * 3600 + minute * 60;
    return true;
}

// A date, or a date and a time to the minute or finer, with "Z", with an offset or with neither (`*local`).
inline bool iso_ms(const Byte* at, const Byte* end, std::int64_t* ms, bool* local) {
    int year, month, day, seconds = 0, fraction = 0, offset = 0;
    std::int64_t days;
    if (end - at < 10 || at[4] != '-' || at[7] != '-') return false;
    if (!fixed(at, 4, &year) || !fixed(at + 5, 2, &month) || !fixed(at + 8, 2, &day)) return false;
    if (!days_of(year, month, day, &days)) return false;
    at += 10;
    *local = at == end;
    if (!*local) {
        if (end - at < 6 || (*at != 'T' && *at != ' ') || !clock_of(at + 1, &seconds)) return false;
        at += 6;
        int second = 0;
        if (end - at >= 3 && *at == ':') {
            if (!fixed(at + 1, 2, &second) || second > 59) return false;
            at += 3;
            if (at < end && (*at == '.' || *at == ',')) {
                int count = 0;
                for (++at; at < end && *at >= '0' && *at <= '9' && count < 9; ++at, ++count)
                    if (count < 3) fraction = fraction * 10 + (*at - '0');
                if (count == 0) return false;
                for (; count < 3; ++count) fraction *= 10;
            }
        }
        seconds += second;
        *local = at == end;
        if (end - at == 1 && *at == 'Z') {
            ++at;
        } else if (end - at == 6 && (*at == '+' || *at == '-')) {
            if (!clock_of(at + 1, &offset)) return false;
            if (*at == '-') offset = -offset;
            at += 6;
        }
    }
    *ms = (days * 86'400 + seconds - offset) * 1000 + fraction;
    return at == end;
}

}  // namespace rows
