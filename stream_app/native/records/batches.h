// Kafka's record batches, format v2, as columns: where each batch lies, and offset, time and body of its records.
//
// All of it comes from a network: every length is checked against what is there before it is followed.
#pragma once

#include <cstdint>
#include <vector>

namespace records {

// A row of the table that `scan` makes, one for each batch; the same order as `Head` in record_batches.py.
enum Head : int {
    kFirst,       // where its records begin in the bytes
    kEnd,         // where they end
    kMagic,       // 2; any other number: not for this reader, and nothing behind it was looked at
    kSound,       // 1 where the checksum is right, or was not asked for
    kBase,        // offset of its first record
    kNext,        // the offset after its last one, whether compaction has left that or not
    kAttributes,  // codec, kind of time, transactional, control
    kProducer,
    kBaseTime,
    kMaxTime,
    kCount,
    kColumns
};

struct Bytes {
    const std::uint8_t* data;
    std::int64_t size;
};

// Where the columns of the records go: `room` places each.
struct Columns {
    std::int64_t *offset, *time, *first, *size;
    std::int64_t room;
};

struct Unpacked {
    std::int64_t rows;  // written
    std::int64_t next;  // offset to read on from
    const char* fault;  // why a batch cannot be read, else null; nothing counts then
};

// The whole batches of a fetch; what is left at its end is part of one.
std::vector<std::int64_t> scan(Bytes bytes, bool check);

// The records at or above the offset `next` of n batches whose payloads lie in `bytes` without compression.
Unpacked unpack(Bytes bytes, const std::int64_t* heads, std::int64_t n, std::int64_t next, const Columns& columns);

}  // namespace records
