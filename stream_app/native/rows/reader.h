// Reads the bodies that are plainly as they should be into columns; the others are left.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "interner.h"
#include "json.h"

namespace rows {

// Where the value of a field goes.
struct Field {
    enum Kind { kTime = 't', kNumber = 'n', kText = 'x', kId = 'i' };
    Kind kind;
    int column;             // of the numbers or of the texts
    std::int64_t row = -1;  // in which it was seen last
};

// A key that objects at one place have.
struct Key {
    std::string name;
    int field = -1;
    int child = -1;  // the node of the object behind it, where a path leads on
    int next = -1;   // the key that followed it last time
    std::int64_t row = -1;
};

struct Node {
    static constexpr std::size_t kLearned = 256;  // keys of no use to us, known so that they are passed over faster
    std::vector<Key> keys;
    std::unordered_map<std::string_view, int> places;
    int first = -1;
    std::size_t learned = 0;
};

struct Options {
    bool epoch = false;
    std::uint64_t times = 1;  // what makes milliseconds of times in numbers: times, divided by
    std::uint64_t by = 1;
    bool utc = true;  // times that name no zone are those of UTC
    std::int64_t max_bytes = 0;
    int numbers = 0;
    int texts = 0;
};

// What a batch is read into; see module.cpp.
struct Output {
    bool* read;
    bool* local;
    std::int64_t* time_ms;
    double* numeric;
    std::int64_t* codes;
    std::int64_t* id_first;
    std::int64_t* id_size;
};

class Reader {
public:
    Reader(Options options, std::uint64_t seed);

    // A field, which lies under a name at the top of a body or, where that is not there, at the end of a path, if any.
    // Raises std::invalid_argument where another one lies there.
    void add(Field field, const std::string& name, const std::vector<std::string>& path);
    // To be called when all fields are there.
    void ready();

    // Before each batch: forgets the texts where they are too many. Takes how many the caller knows, and says how many
    // of these are still the same: all or none.
    std::size_t begin(std::size_t known);
    void read(const Byte* buffer, const std::int64_t* first, const std::int64_t* size, std::int64_t n, Output out);

    Interner texts;
    std::vector<Distinct> distinct;
    const Options options;

private:
    int key_of(int node, const std::string& name);
    int step(int node, const std::string& name);
    void leaf(int node, const std::string& name, int field);
    bool row(const Byte* first, const Byte* last, double* numbers);
    bool object(int node, Cursor& cursor, int depth);
    int key(Node& node, int expected, Cursor& cursor, bool* fine);
    int other(Node& node, Cursor& cursor, bool* fine);
    bool value(Key& key, Cursor& cursor, int depth);
    bool scalar(Field& field, Cursor& cursor);
    bool text(Field& field, Cursor& cursor);
    bool number(Field& field, Cursor& cursor);
    bool put(std::int64_t i, std::int64_t n, const Byte* buffer, Output out);
    void token(const Field& field, const Byte* first, const Byte* last);

    std::vector<Node> nodes_{1};
    std::vector<Field> fields_;
    std::vector<Token> tokens_;
    double* numbers_ = nullptr;
    Token id_;
    std::int64_t row_ = 0;
    std::int64_t time_ms_ = 0;
    bool local_ = false;
    bool timed_ = false;
};

}  // namespace rows
