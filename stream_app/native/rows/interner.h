// Texts as numbers: each different text has the next one, for as long as there is room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "json.h"

namespace rows {

struct Token {
    const Byte* first = nullptr;
    const Byte* last = nullptr;
    std::size_t size() const { return static_cast<std::size_t>(last - first); }
};

// Not to be foreseen by who does not know the seed.
inline std::uint64_t hash_of(const Byte* at, std::size_t size, std::uint64_t seed) {
    constexpr std::uint64_t k = 0x9e3779b97f4a7c15;
    std::uint64_t h = seed ^ (size * k), w;
    for (; size >= 8; at += 8, size -= 8) {
        std::memcpy(&w, at, 8);
        h = (h ^ w) * k;
        h ^= h >> 29;
    }
    w = 0;
    std::memcpy(&w, at, size);
    h = (h ^ w ^ seed) * k;
    h ^= h >> 32;
    h *= k;
    return h ^ (h >> 29);
}

class Interner {
public:
    static constexpr std::size_t kTexts = std::size_t{1} << 18, kBytes = std::size_t{1} << 25;

    explicit Interner(std::uint64_t seed) : seed_(seed) { clear(); }

    std::size_t size() const { return entries_.size(); }
    bool full() const { return entries_.size() > kTexts || held_.size() > kBytes; }
    const char* bytes(std::size_t code) const { return held_.data() + entries_[code].first; }
    std::size_t size_of(std::size_t code) const { return entries_[code].size; }

    void clear() {
        entries_.clear();
        held_.clear();
        slots_.assign(1024, Slot{});
    }

    // The number of a text; −1 where too many others have a hash like its own.
    std::int64_t code_of(Token token) {
        const std::uint64_t hash = hash_of(token.first, token.size(), seed_);
        const auto tag = static_cast<std::uint32_t>(hash >> 32);
        const std::size_t mask = slots_.size() - 1;
        for (std::size_t i = 0; i < kProbes; ++i) {
            Slot& slot = slots_[(hash + i) & mask];
            if (slot.next == 0) return added(token, hash, &slot);
            if (slot.tag == tag && is(entries_[slot.next - 1], token)) return slot.next - 1;
        }
        return -1;
    }

private:
    static constexpr std::size_t kProbes = 64;
    struct Slot {
        std::uint32_t tag = 0;
        std::uint32_t next = 0;  // the number and one; 0 is empty
    };
    struct Entry {
        std::size_t first, size;
        std::uint64_t hash;
    };

    bool is(const Entry& entry, Token token) const {
        return entry.size == token.size() && !std::memcmp(held_.data() + entry.first, token.first, entry.size);
    }

    std::int64_t added(Token token, std::uint64_t hash, Slot* slot) {
        entries_.push_back({held_.size(), token.size(), hash});
        held_.append(reinterpret_cast<const char*>(token.first), token.size());
        *slot = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(entries_.size())};
        if (entries_.size() * 2 > slots_.size()) grow();
        return static_cast<std::int64_t>(entries_.size()) - 1;
    }

    void grow() {
        std::vector<Slot> wider(slots_.size() * 2);
        const std::size_t mask = wider.size() - 1;
        for (std::size_t code = 0; code < entries_.size(); ++code) {
            std::size_t i = entries_[code].hash & mask;
            while (wider[i].next != 0) i = (i + 1) & mask;
            wider[i] = {static_cast<std::uint32_t>(entries_[code].hash >> 32), static_cast<std::uint32_t>(code + 1)};
        }
        slots_.swap(wider);
    }

    std::uint64_t seed_;
    std::vector<Entry> entries_;
    std::string held_;
    std::vector<Slot> slots_;
};

// The texts of a batch in one column, in the order in which they come first.
class Distinct {
public:
    void begin() {
        ++batch_;
        codes.clear();
    }

    // The place among those of the batch of a text that has a number.
    std::int64_t place_of(std::int64_t code) {
        const auto i = static_cast<std::size_t>(code);
        if (i >= seen_.size()) seen_.resize(i * 2 + 64);
        Seen& seen = seen_[i];
        if (seen.batch != batch_) {
            seen = {batch_, static_cast<std::int64_t>(codes.size())};
            codes.push_back(code);
        }
        return seen.place;
    }

    std::vector<std::int64_t> codes;

private:
    struct Seen {
        std::uint64_t batch = 0;
        std::int64_t place = 0;
    };
    std::vector<Seen> seen_;
    std::uint64_t batch_ = 0;
};

}  // namespace rows
