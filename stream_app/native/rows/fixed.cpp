#include "fixed.h"

#include <cmath>
#include <cstring>

namespace rows {

namespace {

template <class T>
T at(const unsigned char* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Whole numbers to places, in the order in which they come first.
class Places {
public:
    explicit Places(std::uint64_t seed) : seed_(seed), slots_(64, -1) {}

    std::int64_t of(std::int32_t number) {
        if (number == last_ && !numbers.empty()) return last_place_;  // as often as not
        std::size_t slot = hash(number);
        for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1))
            if (numbers[slots_[slot]] == number) break;
        if (slots_[slot] < 0) {
            slots_[slot] = static_cast<std::int32_t>(numbers.size());
            numbers.push_back(number);
            if (2 * numbers.size() > slots_.size()) return grown();
        }
        last_ = number;
        return last_place_ = slots_[slot];
    }

    std::vector<std::int32_t> numbers;

private:
    std::size_t hash(std::int32_t number) const {
        std::uint64_t word = seed_ ^ static_cast<std::uint32_t>(number);
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
        word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
        return static_cast<std::size_t>(word ^ (word >> 31)) & (slots_.size() - 1);
    }
    std::int64_t grown() {
        slots_.assign(2 * slots_.size(), -1);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            std::size_t slot = hash(numbers[i]);
            while (slots_[slot] >= 0) slot = (slot + 1) & (slots_.size() - 1);
            slots_[slot] = static_cast<std::int32_t>(i);
        }
        return static_cast<std::int64_t>(numbers.size()) - 1;
    }

    std::uint64_t seed_;
    std::vector<std::int32_t> slots_;
    std::int32_t last_ = 0;
    std::int64_t last_place_ = 0;
};

// One body; returns whether no number is infinite.
bool numbers_of(const Fixed& bodies, const unsigned char* body, double* numeric) {
    bool finite = true;
    for (std::int64_t j = 0; j < bodies.d; ++j) {
        const float value = at<float>(body + 4 * bodies.numbers[j]);
        finite &= !std::isinf(value);
        numeric[j] = value;
    }
    return finite;
}

}  // namespace

std::vector<std::vector<std::int32_t>> read_fixed(const Fixed& bodies, const FixedColumns& out) {
    std::vector<Places> places(bodies.k, Places(bodies.seed));
    for (std::int64_t i = 0; i < bodies.n; ++i) {
        const std::int64_t first = bodies.first[i];
        const bool fits = bodies.size[i] == bodies.body && first >= 0 && first <= bodies.length - bodies.body;
        const unsigned char* body = bodies.buffer + (fits ? first : 0);
        out.time_ms[i] = fits ? at<std::int64_t>(body) : 0;
        out.read[i] = fits && out.time_ms[i] >= 0 && out.time_ms[i] < bodies.end_ms &&
                      numbers_of(bodies, body, out.numeric + i * bodies.d);
        for (std::int64_t k = 0; k < bodies.k; ++k)
            out.codes[k * bodies.n + i] = out.read[i] ? places[k].of(at<std::int32_t>(body + 4 * bodies.texts[k])) : 0;
    }
    std::vector<std::vector<std::int32_t>> different;
    for (Places& column : places) different.push_back(std::move(column.numbers));
    return different;
}

}  // namespace rows
