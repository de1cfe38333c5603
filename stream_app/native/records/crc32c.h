// CRC-32C (Castagnoli), as Kafka's record batches carry it: by the processor's own instruction, else by tables.
#pragma once

#include <cstddef>
#include <cstdint>

namespace records {

std::uint32_t crc32c(const std::uint8_t* data, std::size_t size);

// The same by tables alone.
std::uint32_t crc32c_portable(const std::uint8_t* data, std::size_t size);

}  // namespace records
