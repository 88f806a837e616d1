// The checksum rule all rows share, for the row codecs only. docs/format/store.md.
#ifndef ENGRAM_ENGINE_ROW_CHECKSUM_H_
#define ENGRAM_ENGINE_ROW_CHECKSUM_H_

#include <string>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/result.h"

namespace engram::engine {

inline constexpr size_t kRowCrcSizeBytes = 4;

// crc32c of the row's key followed by its value without the checksum.
inline uint32_t RowCrc(Bytes key, Bytes body) { return Crc32cExtend(Crc32c(key), body); }

// Appends the checksum of out[start..] under `key`.
inline void SealRow(Bytes key, size_t start, std::string* out) {
  PutLe(out, RowCrc(key, AsBytes(std::string_view(*out).substr(start))));
}

// Splits the verified body off a stored value. `what` begins the error message.
Status OpenRow(std::string_view what, Bytes key, Bytes value, Bytes* body);

// kCorruption "<what>: size <actual>, expected <expected>".
Status WrongSize(std::string_view what, size_t expected, size_t actual);
// kCorruption "<what>: <field> <actual>, expected <expected>".
Status WrongField(std::string_view what, std::string_view field, std::string_view expected,
                  uint64_t actual);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_ROW_CHECKSUM_H_
