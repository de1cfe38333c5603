#include "reader.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "values.h"

namespace rows {

namespace {

constexpr std::size_t kTextMax = 1024;  // bytes of a text that is known by number
const Byte kNull[] = {'n', 'u', 'l', 'l'};

// The body behind the header that Confluent's serializers write: a zero byte and a schema id, which is never 0.
const Byte* behind_header(const Byte* first, const Byte* last) {
    if (last - first <= 5 || *first != 0 || (first[1] == '{' && first[2] == 0)) return first;
    return (first[1] | first[2] | first[3] | first[4]) != 0 ? first + 5 : first;
}

// Whether a key can stand in JSON as it is.
bool plain(const std::string& name) {
    return std::none_of(name.begin(), name.end(), [](char c) {
        return static_cast<Byte>(c) < 0x20 || c == '"' || c == '\\';
    });
}

}  // namespace

Reader::Reader(Options given, std::uint64_t seed)
    : texts(seed), distinct(given.texts), options(given), tokens_(given.texts) {}

int Reader::key_of(int at, const std::string& name) {
    auto& keys = nodes_[at].keys;
    for (std::size_t i = 0; i < keys.size(); ++i)
        if (keys[i].name == name) return static_cast<int>(i);
    keys.emplace_back();
    keys.back().name = name;
    return static_cast<int>(keys.size()) - 1;
}

int Reader::step(int at, const std::string& name) {
    const int place = key_of(at, name);
    if (nodes_[at].keys[place].child < 0) {
        nodes_[at].keys[place].child = static_cast<int>(nodes_.size());
        nodes_.emplace_back();
    }
    return nodes_[at].keys[place].child;
}

void Reader::leaf(int at, const std::string& name, int field) {
    const int place = key_of(at, name);
    int& there = nodes_[at].keys[place].field;
    if (there >= 0) throw std::invalid_argument("two fields lie in one place");
    there = field;
}

void Reader::add(Field field, const std::string& name, const std::vector<std::string>& path) {
    fields_.push_back(field);
    const int number = static_cast<int>(fields_.size()) - 1;
    leaf(0, name, number);
    if (path.empty()) return;
    int at = 0;
    for (std::size_t i = 0; i + 1 < path.size(); ++i) at = step(at, path[i]);
    leaf(at, path.back(), number);
}

void Reader::ready() {
    for (Node& node : nodes_) {
        node.keys.reserve(node.keys.size() + Node::kLearned);  // so that they stay where they are
        for (std::size_t i = 0; i < node.keys.size(); ++i)
            if (plain(node.keys[i].name)) node.places.emplace(node.keys[i].name, static_cast<int>(i));
    }
}

std::size_t Reader::begin(std::size_t known) {
    if (texts.full() || known > texts.size()) {
        texts.clear();
        known = 0;
    }
    if (texts.size() == 0) texts.code_of({kNull, kNull + 4});  // what is missing is number 0
    for (Distinct& column : distinct) column.begin();
    return known;
}

void Reader::read(const Byte* buffer, const std::int64_t* first, const std::int64_t* size, std::int64_t n,
                  Output out) {
    const int d = options.numbers;
    for (std::int64_t i = 0; i < n; ++i) {
        out.read[i] = false;
        if (size[i] <= 0 || size[i] > options.max_bytes) continue;
        const Byte* body = buffer + first[i];
        out.read[i] = row(body, body + size[i], out.numeric + i * d) && put(i, n, buffer, out);
    }
}

bool Reader::put(std::int64_t i, std::int64_t n, const Byte* buffer, Output out) {
    out.time_ms[i] = time_ms_;
    out.local[i] = local_;
    out.id_first[i] = id_.first ? id_.first - buffer : 0;
    out.id_size[i] = id_.first ? static_cast<std::int64_t>(id_.size()) : -1;
    for (std::size_t j = 0; j < tokens_.size(); ++j) {
        const Token token = tokens_[j];
        if (token.size() > kTextMax) return false;
        const std::int64_t code = token.first ? texts.code_of(token) : 0;
        if (code < 0) return false;
        out.codes[static_cast<std::int64_t>(j) * n + i] = distinct[j].place_of(code);
    }
    return true;
}

bool Reader::row(const Byte* first, const Byte* last, double* numbers) {
    ++row_;
    numbers_ = numbers;
    std::fill(numbers, numbers + options.numbers, std::numeric_limits<double>::quiet_NaN());
    std::fill(tokens_.begin(), tokens_.end(), Token{});
    id_ = Token{};
    timed_ = false;
    Cursor cursor(behind_header(first, last), last);
    cursor.blank();
    if (!cursor.take('{') || !object(0, cursor, 1)) return false;
    cursor.blank();
    return cursor.at == last && timed_;
}

// An object that fields are looked for in; its opening brace is behind.
bool Reader::object(int at, Cursor& cursor, int depth) {
    Node& node = nodes_[at];
    int* expected = &node.first;
    cursor.blank();
    if (cursor.take('}')) return true;
    for (;;) {
        if (!cursor.take('"')) return false;
        bool fine = true;
        const int place = key(node, *expected, cursor, &fine);
        if (!fine) return false;
        cursor.blank();
        if (!cursor.take(':')) return false;
        cursor.blank();
        if (place < 0) {
            if (!cursor.skip(depth)) return false;
        } else {
            *expected = place;
            expected = &node.keys[place].next;
            if (!value(node.keys[place], cursor, depth)) return false;
        }
        cursor.blank();
        if (!cursor.take(',')) return cursor.take('}');
        cursor.blank();
    }
}

// The place of the next key, −1 for one that is not known; mostly it is the one that came last time.
int Reader::key(Node& node, int expected, Cursor& cursor, bool* fine) {
    if (expected >= 0) {
        const std::string& name = node.keys[expected].name;
        const auto size = name.size();
        if (static_cast<std::size_t>(cursor.end - cursor.at) > size && cursor.at[size] == '"' &&
            !std::memcmp(cursor.at, name.data(), size)) {
            cursor.at += size + 1;
            return expected;
        }
    }
    return other(node, cursor, fine);
}

int Reader::other(Node& node, Cursor& cursor, bool* fine) {
    const Byte* first = cursor.at;
    bool escaped = false;
    *fine = cursor.text(&escaped) && !escaped;
    if (!*fine) return -1;
    const std::string_view name(reinterpret_cast<const char*>(first), cursor.at - first - 1);
    const auto found = node.places.find(name);
    if (found != node.places.end()) return found->second;
    if (node.learned == Node::kLearned || name.size() > kTextMax) return -1;
    ++node.learned;
    node.keys.emplace_back();
    node.keys.back().name = name;
    const int place = static_cast<int>(node.keys.size()) - 1;
    node.places.emplace(node.keys.back().name, place);
    return place;
}

bool Reader::value(Key& key, Cursor& cursor, int depth) {
    const Byte begins = cursor.peek();
    if (key.child >= 0) {
        if (key.row == row_) return false;  // there twice
        key.row = row_;
        if (begins == '[') return false;
        if (begins == '{') {
            ++cursor.at;
            return key.field < 0 && depth < kDepthMax && object(key.child, cursor, depth + 1);
        }
    }
    if (key.field < 0) return cursor.skip(depth);
    Field& field = fields_[key.field];
    if (field.row == row_) return false;
    field.row = row_;
    return scalar(field, cursor);
}

bool Reader::scalar(Field& field, Cursor& cursor) {
    const Byte* first = cursor.at;
    switch (cursor.peek()) {
        case '"': return text(field, cursor);
        case 't':
        case 'f':
            if (field.kind == Field::kNumber || field.kind == Field::kTime || !cursor.skip(0)) return false;
            break;
        case 'n':
            if (field.kind == Field::kTime || !cursor.skip(0)) return false;
            break;
        case '{':
        case '[': return false;
        default: return number(field, cursor);
    }
    token(field, first, cursor.at);
    return true;
}

bool Reader::text(Field& field, Cursor& cursor) {
    const Byte* first = cursor.at++;
    bool escaped = false;
    if (field.kind == Field::kNumber || !cursor.text(&escaped)) return false;
    if (field.kind == Field::kTime) {
        timed_ = !options.epoch && !escaped && iso_ms(first + 1, cursor.at - 1, &time_ms_, &local_);
        local_ = local_ && !options.utc;
        return timed_ && (local_ || (time_ms_ >= 0 && time_ms_ < kTimeMaxMs));
    }
    token(field, first, cursor.at);
    return true;
}

bool Reader::number(Field& field, Cursor& cursor) {
    Number found;
    if (!cursor.number(&found)) return false;
    if (field.kind == Field::kTime) {
        local_ = false;
        timed_ = options.epoch && epoch_ms(found, options.times, options.by, &time_ms_);
        return timed_;
    }
    if (field.kind == Field::kNumber) return double_of(found, numbers_ + field.column);
    token(field, found.first, found.last);
    return true;
}

void Reader::token(const Field& field, const Byte* first, const Byte* last) {
    if (field.kind == Field::kText) tokens_[field.column] = {first, last};
    if (field.kind == Field::kId) id_ = {first, last};
}

}  // namespace rows
