// The bytes of a log segment: docs/format/log.md is the description, this is its transcription.
// Decoders here are pure; what they return has been verified.
#ifndef ENGRAM_WAL_LOG_FORMAT_H_
#define ENGRAM_WAL_LOG_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "base/coding.h"
#include "base/ids.h"
#include "base/result.h"

namespace engram::wal {

inline constexpr uint64_t kPageSizeBytes = 4096;
inline constexpr uint32_t kLogVersion = 1;
inline constexpr uint64_t kSegmentMagic = 0x0a474f4c52474e45;  // "ENGRLOG\n"
inline constexpr uint32_t kGroupMagic = 0x50524745;            // "EGRP"
inline constexpr uint32_t kSegmentFlagRecycled = 1;
inline constexpr uint32_t kGroupFlagCleanShutdown = 1;
// Header page, one page of records, the page kept for the clean-shutdown record.
inline constexpr uint64_t kSegmentSizeBytesMin = 3 * kPageSizeBytes;
inline constexpr uint64_t kSegmentSizeBytesMax = 1u << 30;
inline constexpr uint64_t kPayloadSizeBytesMax = 1u << 24;
inline constexpr uint64_t kGroupBodySizeBytesMax = 1u << 25;

struct SegmentHeaderPage {
  uint64_t magic;
  uint32_t version;
  uint32_t flags;
  std::array<uint8_t, 16> store_uuid;
  uint64_t segment;
  uint64_t epoch;
  uint64_t first_lsn;
  uint64_t previous_epoch;
  uint64_t previous_end_bytes;
  uint64_t size_bytes;
  uint32_t previous_chain;
  std::array<uint8_t, 4008> zeros;
  uint32_t checksum;
};
static_assert(sizeof(SegmentHeaderPage) == kPageSizeBytes);
static_assert(offsetof(SegmentHeaderPage, store_uuid) == 16);
static_assert(offsetof(SegmentHeaderPage, segment) == 32);
static_assert(offsetof(SegmentHeaderPage, size_bytes) == 72);
static_assert(offsetof(SegmentHeaderPage, previous_chain) == 80);
static_assert(offsetof(SegmentHeaderPage, zeros) == 84);
static_assert(offsetof(SegmentHeaderPage, checksum) == 4092);
static_assert(std::is_trivially_copyable_v<SegmentHeaderPage>);
static_assert(std::has_unique_object_representations_v<SegmentHeaderPage>);

struct GroupHeader {
  uint32_t magic = 0;
  uint32_t flags = 0;
  uint64_t store = 0;
  uint64_t segment = 0;
  uint64_t epoch = 0;
  uint64_t first_lsn = 0;
  uint64_t durable_lsn = 0;
  uint32_t body_size_bytes = 0;
  uint32_t record_count = 0;
  uint32_t page = 0;
  uint32_t chain = 0;
  uint32_t body_checksum = 0;
  uint32_t header_checksum = 0;
};
static_assert(sizeof(GroupHeader) == 72);
static_assert(offsetof(GroupHeader, first_lsn) == 32);
static_assert(offsetof(GroupHeader, body_size_bytes) == 48);
static_assert(offsetof(GroupHeader, header_checksum) == 68);
static_assert(std::is_trivially_copyable_v<GroupHeader>);
static_assert(std::has_unique_object_representations_v<GroupHeader>);
inline constexpr uint64_t kGroupHeaderSizeBytes = sizeof(GroupHeader);

struct RecordHeader {
  uint32_t payload_size_bytes;
  uint8_t type;
  std::array<uint8_t, 3> zeros;
};
static_assert(sizeof(RecordHeader) == 8);
static_assert(std::has_unique_object_representations_v<RecordHeader>);
inline constexpr uint64_t kRecordHeaderSizeBytes = sizeof(RecordHeader);

constexpr uint64_t RoundUpToPage(uint64_t bytes) {
  return (bytes + kPageSizeBytes - 1) / kPageSizeBytes * kPageSizeBytes;
}
// First 8 bytes of the uuid: what a group carries of it.
uint64_t StoreTag(const Uuid& store_uuid);

// A verified segment header.
struct SegmentHeader {
  Uuid store_uuid;
  uint64_t segment = 0;
  uint64_t epoch = 0;
  uint64_t first_lsn = 0;
  uint64_t previous_epoch = 0;
  uint64_t previous_end_bytes = 0;
  uint64_t size_bytes = 0;
  uint32_t previous_chain = 0;
  bool recycled = false;
  uint32_t checksum = 0;  // set by the decoder: the chain value of the first group
};
// The page to write; returns its checksum in `header->checksum` too.
SegmentHeaderPage EncodeSegmentHeader(SegmentHeader* header);
// `page` may be short. kCorruption (expected, actual; the caller adds file and offset), or
// kUnsupported for a version or flag this program does not know.
Result<SegmentHeader> DecodeSegmentHeader(Bytes page);

// What a valid group at one place must carry.
struct GroupPlace {
  uint64_t store = 0;
  uint64_t segment = 0;
  uint64_t epoch = 0;
  uint64_t offset_bytes = 0;
  uint64_t segment_size_bytes = 0;
};
struct GroupExpectation {
  uint64_t first_lsn = 0;
  uint32_t chain = 0;
};

// Fills in magic and both checksums; `body_and_padding` is what follows the header on disk.
void SealGroupHeader(GroupHeader* header, Bytes body_and_padding);
void SealGroupHeader(GroupHeader* header, uint32_t body_checksum);
// Conditions 2, 3 and 6 of the format, that is: the header proves its durable LSN. Empty if they
// hold, else what was expected and what is there.
std::string CheckGroupHeader(const GroupHeader& header, const GroupPlace& place);
// Conditions 4 and 5.
std::string CheckGroupOrder(const GroupHeader& header, const GroupExpectation& expected);
// Conditions 7 and 8. `body_and_padding` has the size that the header implies.
std::string CheckGroupBody(const GroupHeader& header, Bytes body_and_padding);
// Whether these bytes are an attempt to write this very group, good or bad: at least two of segment
// number, first LSN and chain have the expected values. A stale group has none of them.
bool IsWriteAttempt(const GroupHeader& header, const GroupPlace& place,
                    const GroupExpectation& expected);

// Bytes of a group on disk, header and padding included.
inline uint64_t GroupSizeOnDisk(uint64_t body_size_bytes) {
  return RoundUpToPage(kGroupHeaderSizeBytes + body_size_bytes);
}

// Reads the records of a verified body one after the other.
class RecordCursor {
 public:
  explicit RecordCursor(Bytes body) : rest_(body) {}
  // False at the end of the body, and when the bytes are no record (then `damaged()`).
  bool Next(uint8_t* type, Bytes* payload);
  bool damaged() const { return damaged_; }

 private:
  Bytes rest_;
  bool damaged_ = false;
};

}  // namespace engram::wal

#endif  // ENGRAM_WAL_LOG_FORMAT_H_
