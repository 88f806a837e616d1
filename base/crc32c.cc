#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace engram {

uint32_t Crc32cExtend(uint32_t crc, Bytes bytes) {
  if (bytes.empty()) return crc;
  // ISA-L takes and returns the un-inverted register, and does not modify the buffer.
  auto* data = const_cast<unsigned char*>(bytes.data());
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~crc);
}

uint32_t Crc32c(Bytes bytes) { return Crc32cExtend(0, bytes); }

}  // namespace engram
