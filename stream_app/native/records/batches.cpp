#include "batches.h"

#include "crc32c.h"

namespace records {
namespace {

constexpr std::int64_t kLogOverhead = 12;    // base offset and length
constexpr std::int64_t kMagicAt = 16;
constexpr std::int64_t kCrcAt = 17;
constexpr std::int64_t kAttributesAt = 21;   // the checksum is of all from here on
constexpr std::int64_t kHeader = 61;
constexpr std::int64_t kOffsetMax = std::int64_t{1} << 62;
constexpr std::int64_t kAppendTime = 0x08;
constexpr std::int64_t kRecordMin = 7;       // bytes of the smallest record: bounds how many there can be

std::uint64_t big_endian(const std::uint8_t* at, int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | at[i];
    return value;
}

std::int64_t int64_at(const std::uint8_t* at) { return static_cast<std::int64_t>(big_endian(at, 8)); }
std::int64_t int32_at(const std::uint8_t* at) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(big_endian(at, 4)));
}

// What is left of a record, or of a batch's records: `ok` turns false at the first thing that does not fit.
class Cursor {
public:
    Cursor(const std::uint8_t* at, const std::uint8_t* end) : at_(at), end_(end) {}

    std::int64_t varint() {
        std::uint64_t value = 0;
        for (int shift = 0; shift < 64 && at_ != end_; shift += 7) {
            const std::uint8_t byte = *at_++;
            if (shift == 63 && byte > 1) break;
            value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
            if (!(byte & 0x80)) return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
        }
        ok = false;
        return 0;
    }
    const std::uint8_t* skip(std::int64_t size) {
        const std::uint8_t* from = at_;
        if (size > end_ - at_) {
            ok = false;
            at_ = end_;
        } else if (size > 0) {
            at_ += size;
        }
        return from;
    }
    std::int64_t left() const { return end_ - at_; }
    const std::uint8_t* at() const { return at_; }

    bool ok = true;

private:
    const std::uint8_t *at_, *end_;
};

struct Record {
    std::int64_t time_delta, offset_delta, value_size;
    const std::uint8_t* value;
};

bool skip_headers(Cursor& in) {
    const std::int64_t headers = in.varint();
    if (headers < 0) return false;
    for (std::int64_t i = 0; i < headers && in.ok; ++i) {
        const std::int64_t name = in.varint();
        if (name < 0) return false;
        in.skip(name);
        in.skip(in.varint());
    }
    return in.ok;
}

bool read(Cursor& batch, Record& record) {
    const std::int64_t length = batch.varint();
    if (!batch.ok || length < 0 || length > batch.left()) return false;
    Cursor in(batch.at(), batch.at() + length);
    batch.skip(length);
    in.skip(1);  // attributes: none are in use
    record.time_delta = in.varint();
    record.offset_delta = in.varint();
    in.skip(in.varint());  // key
    record.value_size = in.varint();
    record.value = in.skip(record.value_size);
    return skip_headers(in) && in.left() == 0;
}

void not_for_us(std::vector<std::int64_t>& table, std::int64_t magic) {
    table.resize(table.size() + kColumns);
    table[table.size() - kColumns + kMagic] = magic;
}

}  // namespace

std::vector<std::int64_t> scan(Bytes bytes, bool check) {
    std::vector<std::int64_t> table;
    for (std::int64_t start = 0; bytes.size - start >= kLogOverhead;) {
        const std::uint8_t* at = bytes.data + start;
        const std::int64_t size = kLogOverhead + int32_at(at + 8);
        if (size > bytes.size - start) break;
        const std::int64_t magic = size > kMagicAt ? static_cast<std::int8_t>(at[kMagicAt]) : -1;
        const std::int64_t base = int64_at(at);
        if (magic != 2 || size < kHeader || base < 0 || base > kOffsetMax || int32_at(at + 23) < 0 ||
            int32_at(at + 57) < 0) {
            not_for_us(table, magic == 2 ? -1 : magic);
            break;
        }
        const bool sound = !check || crc32c(at + kAttributesAt, static_cast<std::size_t>(size - kAttributesAt)) ==
                                         static_cast<std::uint32_t>(big_endian(at + kCrcAt, 4));
        const std::int64_t row[kColumns] = {start + kHeader,
                                            start + size,
                                            magic,
                                            sound,
                                            base,
                                            base + int32_at(at + 23) + 1,
                                            static_cast<std::int64_t>(big_endian(at + kAttributesAt, 2)),
                                            int64_at(at + 43),
                                            int64_at(at + 27),
                                            int64_at(at + 35),
                                            int32_at(at + 57)};
        table.insert(table.end(), row, row + kColumns);
        start += size;
    }
    return table;
}

Unpacked unpack(Bytes bytes, const std::int64_t* heads, std::int64_t n, std::int64_t next, const Columns& out) {
    std::int64_t rows = 0;
    for (const std::int64_t* head = heads; head != heads + n * kColumns; head += kColumns) {
        if (head[kFirst] < 0 || head[kFirst] > head[kEnd] || head[kEnd] > bytes.size)
            return {0, 0, "its bounds are not within the bytes"};
        Cursor batch(bytes.data + head[kFirst], bytes.data + head[kEnd]);
        if (head[kCount] > batch.left() / kRecordMin) return {0, 0, "it has fewer records than it says"};
        const bool appended = head[kAttributes] & kAppendTime;
        std::int64_t least = head[kBase];
        for (std::int64_t i = 0; i < head[kCount]; ++i) {
            Record record;
            if (!read(batch, record)) return {0, 0, "a record in it does not fit its length"};
            std::int64_t offset, time = head[kMaxTime];
            // Brokers take such batches: one beyond would pass over records of others, one that comes back be lost.
            if (__builtin_add_overflow(head[kBase], record.offset_delta, &offset) || offset < least ||
                offset >= head[kNext])
                return {0, 0, "a record in it has an offset that is not its own"};
            least = offset + 1;
            if (!appended && __builtin_add_overflow(head[kBaseTime], record.time_delta, &time))
                return {0, 0, "a record in it has no time"};
            if (offset < next) continue;
            if (rows == out.room) return {0, 0, "it has more records than there is room for"};
            next = offset + 1;
            out.offset[rows] = offset;
            out.time[rows] = time;
            out.first[rows] = record.value_size < 0 ? 0 : record.value - bytes.data;
            out.size[rows++] = record.value_size < 0 ? -1 : record.value_size;
        }
        if (batch.left()) return {0, 0, "bytes are left behind its last record"};
        if (head[kNext] > next) next = head[kNext];
    }
    return {rows, next, nullptr};
}

}  // namespace records
