// CRC-32C (Castagnoli): reflected 0x82F63B78, init and final XOR all ones. "123456789" gives
// 0xE3069283. Implemented by ISA-L with run-time CPU dispatch.
#ifndef ENGRAM_BASE_CRC32C_H_
#define ENGRAM_BASE_CRC32C_H_

#include <cstdint>

#include "base/coding.h"

namespace engram {

uint32_t Crc32c(Bytes bytes);
// Continues `crc` (a value returned by Crc32c or Crc32cExtend) over more bytes.
uint32_t Crc32cExtend(uint32_t crc, Bytes bytes);

}  // namespace engram

#endif  // ENGRAM_BASE_CRC32C_H_
