#include "crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace records {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;
constexpr int kSlices = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

constexpr Tables make_tables() {
    Tables tables{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kPolynomial : 0);
        tables[0][i] = crc;
    }
    for (int slice = 1; slice < kSlices; ++slice)
        for (std::uint32_t i = 0; i < 256; ++i) {
            const std::uint32_t before = tables[slice - 1][i];
            tables[slice][i] = (before >> 8) ^ tables[0][before & 0xFF];
        }
    return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t byte_by_byte(std::uint32_t crc, const std::uint8_t* data, std::size_t size) {
    for (; size; ++data, --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *data) & 0xFF];
    return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(const std::uint8_t* data, std::size_t size) {
    std::uint64_t crc = 0xFFFFFFFF;
    for (; size >= 8; data += 8, size -= 8) {
        std::uint64_t word;
        std::memcpy(&word, data, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    return ~byte_by_byte(static_cast<std::uint32_t>(crc), data, size);
}

bool has_instruction() { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
std::uint32_t by_instruction(const std::uint8_t* data, std::size_t size) {
    std::uint32_t crc = 0xFFFFFFFF;
    for (; size >= 8; data += 8, size -= 8) {
        std::uint64_t word;
        std::memcpy(&word, data, 8);
        crc = __crc32cd(crc, word);
    }
    return ~byte_by_byte(crc, data, size);
}

bool has_instruction() { return true; }
#else
std::uint32_t by_instruction(const std::uint8_t* data, std::size_t size) { return crc32c_portable(data, size); }

bool has_instruction() { return false; }
#endif

}  // namespace

std::uint32_t crc32c_portable(const std::uint8_t* data, std::size_t size) {
    std::uint32_t crc = 0xFFFFFFFF;
    for (; size >= 8; data += 8, size -= 8) {
        std::uint32_t mixed = 0;
        for (int slice = 0; slice < 4; ++slice) {
            mixed ^= kTables[7 - slice][((crc >> (8 * slice)) & 0xFF) ^ data[slice]];
            mixed ^= kTables[3 - slice][data[4 + slice]];
        }
        crc = mixed;
    }
    return ~byte_by_byte(crc, data, size);
}

std::uint32_t crc32c(const std::uint8_t* data, std::size_t size) {
    static const bool instruction = has_instruction();
    return instruction ? by_instruction(data, size) : crc32c_portable(data, size);
}

}  // namespace records
