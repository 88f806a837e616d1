// Upstream Engram's log: record headers, payload layouts E0-E3 and M, delete, checkpoint
// (engram-formats.md sections 2, 3, 8). Decodes and encodes; re-encoding gives the source bytes.
// This is the converter's decoder. Verification has its own (migration/audit_decoder.h) and must
// never use this one.
#ifndef ENGRAM_COMPAT_UPSTREAM_CODEC_H_
#define ENGRAM_COMPAT_UPSTREAM_CODEC_H_

#include <optional>
#include <string>

#include "base/coding.h"
#include "base/result.h"
#include "engine/record.h"

namespace engram::compat {

inline constexpr uint32_t kUpstreamMagic = 0xDEADBEEF;
inline constexpr uint32_t kUpstreamHeaderSizeBytes = 64;

// Persisted by upstream.
enum class UpstreamType : uint32_t {
  kEpisodeStore = 1,
  kMemoryUpdate = 2,
  kMemoryDelete = 3,
  kConsolidation = 4,
  kCheckpoint = 5,
  kCompactionMarker = 6,
};

struct UpstreamHeader {
  uint64_t sequence = 0;
  uint64_t timestamp_ns = 0;
  uint32_t type = 0;
  uint32_t payload_size_bytes = 0;
  uint32_t payload_crc = 0;
};

enum class HeaderCheck { kOk, kNoMagic, kBadChecksum };
// REQUIRES: bytes.size() >= 64. The last 8 bytes are covered by nothing and not looked at.
HeaderCheck CheckUpstreamHeader(Bytes bytes, UpstreamHeader* out);
// Appends header (both checksums computed) and payload.
void EncodeUpstreamRecord(uint64_t sequence, uint64_t timestamp_ns, uint32_t type, Bytes payload,
                          std::string* out);

// The payload of type 1 and 2 as one upstream record. Embedding bytes are borrowed from the
// payload.
struct UpstreamRecord {
  engine::Memory memory;  // activation as the payload has it: 0 for an Episode (it has none)
  Bytes embedding;        // 3072 bytes
};
// Tries E3, E2, E1, E0 (type 1) or M (type 2), demanding exact consumption, valid UTF-8, writer
// grammar times, 768 floats. `out` is overwritten, its capacity reused. kInvalidArgument says why
// nothing fits. Does not compute embedding_sha256.
Status DecodeUpstreamPayload(uint32_t type, Bytes payload, UpstreamRecord* out);
// Only the id (for indexing); the payload may still fail to decode.
Result<std::string_view> PeekUpstreamId(uint32_t type, Bytes payload);
// Encodes by memory.layout (E0-E3, M). Absent fields that the layout needs are kInvalidArgument.
Status EncodeUpstreamPayload(const engine::Memory& memory, Bytes embedding, std::string* out);

}  // namespace engram::compat

#endif  // ENGRAM_COMPAT_UPSTREAM_CODEC_H_
