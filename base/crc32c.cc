#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace engram {

uint32_t Crc32cExtend(uint32_t crc, Bytes bytes) {
  constexpr size_t kPartSizeMax = 1u << 30;  // ISA-L takes the size as an int
  while (!bytes.empty()) {
    Bytes part = bytes.first(std::min(bytes.size(), kPartSizeMax));
    // ISA-L takes and returns the un-inverted register, and does not modify the buffer.
    auto* data = const_cast<unsigned char*>(part.data());
    crc = ~crc32_iscsi(data, static_cast<int>(part.size()), ~crc);
    bytes = bytes.subspan(part.size());
  }
  return crc;
}

uint32_t Crc32c(Bytes bytes) { return Crc32cExtend(0, bytes); }

}  // namespace engram
