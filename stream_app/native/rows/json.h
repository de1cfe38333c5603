// JSON as RFC 8259 has it, in UTF-8, walked over in place. Every step stays within the bounds; false: it is not so.
#pragma once

#include <cstdint>
#include <cstring>

namespace rows {

using Byte = unsigned char;

// A number as it is written: digits × 10^exponent, where `exact`, is all there is of it.
struct Number {
    const Byte* first;
    const Byte* last;
    std::uint64_t digits = 0;
    int exponent = 0;
    bool negative = false;
    bool whole = true;  // without point and exponent
    bool exact = true;
};

constexpr int kDepthMax = 64;  // of objects and lists within each other

class Cursor {
public:
    Cursor(const Byte* first, const Byte* last) : at(first), end(last) {}

    const Byte* at;
    const Byte* const end;

    Byte peek() const { return at < end ? *at : Byte{0}; }

    bool take(Byte wanted) {
        if (at == end || *at != wanted) return false;
        ++at;
        return true;
    }

    void blank() {
        while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
    }

    bool word(const char* text, std::size_t size) {
        if (static_cast<std::size_t>(end - at) < size || std::memcmp(at, text, size) != 0) return false;
        at += size;
        return true;
    }

    // The rest of a text, its closing quote too; the opening one is behind.
    bool text(bool* escaped) {
        for (;;) {
            while (end - at >= 8 && !remarkable(at)) at += 8;
            while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\') ++at;
            if (at == end) return false;
            if (*at == '"') {
                ++at;
                return true;
            }
            if (*at == '\\') {
                *escaped = true;
                if (!escape()) return false;
            } else if (!character()) {
                return false;
            }
        }
    }

    bool number(Number* number) {
        number->first = at;
        number->negative = take('-');
        if (!digit()) return false;
        int significant = 0;
        if (*at == '0') {
            ++at;
        } else {
            for (; digit(); ++at) add(number, &significant, 0);
        }
        if (take('.')) {
            number->whole = false;
            if (!digit()) return false;
            for (; digit(); ++at) add(number, &significant, -1);
        }
        if (at < end && (*at == 'e' || *at == 'E')) {
            ++at;
            number->whole = false;
            const bool smaller = peek() == '-';
            if (smaller || peek() == '+') ++at;
            if (!digit()) return false;
            int size = 0;
            for (; digit(); ++at)
                if (size < 100'000) size = size * 10 + (*at - '0');
            number->exponent += smaller ? -size : size;
        }
        number->last = at;
        return true;
    }

    // Any value, passed over.
    bool skip(int depth) {
        bool escaped = false;
        Number unused;
        switch (peek()) {
            case '"': ++at; return text(&escaped);
            case '{': ++at; return members(depth, true);
            case '[': ++at; return members(depth, false);
            case 't': return word("true", 4);
            case 'f': return word("false", 5);
            case 'n': return word("null", 4);
            default: return number(&unused);
        }
    }

private:
    bool digit() const { return at < end && *at >= '0' && *at <= '9'; }

    void add(Number* number, int* significant, int place) const {
        if (*significant == 19) {  // more would not fit
            number->exact = false;
            return;
        }
        number->digits = number->digits * 10 + static_cast<std::uint64_t>(*at - '0');
        *significant += number->digits != 0;
        number->exponent += place;
    }

    // Whether one of the next eight bytes is a quote, a backslash, a control character or of a longer character.
    static bool remarkable(const Byte* bytes) {
        constexpr std::uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
        std::uint64_t w;
        std::memcpy(&w, bytes, 8);
        const std::uint64_t quote = w ^ (ones * '"'), backslash = w ^ (ones * '\\');
        const std::uint64_t found =
            ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((w - ones * 0x20) & ~w) | w;
        return (found & high) != 0;
    }

    // What follows a backslash.
    bool escape() {
        if (end - at < 2) return false;
        const Byte which = at[1];
        at += 2;
        if (which != 'u') return which != 0 && std::strchr("\"\\/bfnrt", which) != nullptr;
        if (end - at < 4) return false;
        for (int i = 0; i < 4; ++i, ++at) {
            const Byte lower = *at | 0x20;
            if (!(*at >= '0' && *at <= '9') && !(lower >= 'a' && lower <= 'f')) return false;
        }
        return true;
    }

    // One character of two to four bytes, written as short as it can be, and none of the halves.
    bool character() {
        const Byte lead = *at;
        const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || end - at <= more) return false;
        const Byte low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        const Byte top = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (at[1] < low || at[1] > top) return false;
        for (int i = 2; i <= more; ++i)
            if ((at[i] & 0xc0) != 0x80) return false;
        at += more + 1;
        return true;
    }

    // What an object or a list holds, to its end; its beginning is behind.
    bool members(int depth, bool named) {
        const Byte close = named ? '}' : ']';
        if (depth >= kDepthMax) return false;
        blank();
        if (take(close)) return true;
        for (;;) {
            bool escaped = false;
            if (named) {
                if (!take('"') || !text(&escaped)) return false;
                blank();
                if (!take(':')) return false;
                blank();
            }
            if (!skip(depth + 1)) return false;
            blank();
            if (!take(',')) return take(close);
            blank();
        }
    }
};

}  // namespace rows
