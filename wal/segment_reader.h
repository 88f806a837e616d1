// Reads one segment through a bounded buffer and says what stands at an offset.
// Not thread-safe. Borrowed bytes live until the next call.
#ifndef ENGRAM_WAL_SEGMENT_READER_H_
#define ENGRAM_WAL_SEGMENT_READER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "wal/log_format.h"

namespace engram::wal {

enum class GroupState {
  kValid,
  kUnwritten,  // never written: zeros, or stale bytes of a file used before
  kFull,       // no further group fits in the segment
  kDamaged,    // was written, or the file is shorter than its header says
};

struct GroupRead {
  GroupState state = GroupState::kUnwritten;
  std::string reason;      // kDamaged: expected and actual
  GroupHeader header;      // kValid
  Bytes body;              // kValid: the records
  uint64_t end_bytes = 0;  // kValid: where the next group starts
};

class SegmentReader {
 public:
  // `read_ahead_bytes` is the least that one read asks for.
  SegmentReader(std::unique_ptr<File> file, const SegmentHeader& header, uint64_t read_ahead_bytes);

  const SegmentHeader& header() const { return header_; }
  const std::string& path() const { return file_->path(); }

  // What stands at `offset_bytes`, where a group with these properties is due.
  Result<GroupRead> ReadGroup(uint64_t offset_bytes, const GroupExpectation& expected);

  // The header at the offset if it passes conditions 2, 3 and 6.
  Result<std::optional<GroupHeader>> PeekHeader(uint64_t offset_bytes);
  // A later header that proves what is due before it: the first at or behind `offset_bytes` whose
  // first LSN is at least `lsn`. Groups are flushed one by one, so it was written after that.
  struct Proof {
    uint64_t offset_bytes = 0;
    GroupHeader header;
  };
  Result<std::optional<Proof>> FindProof(uint64_t offset_bytes, uint64_t lsn);
  // The first group at or behind `offset_bytes` that is valid but for its chain, with a first LSN
  // of at least `lsn`.
  Result<std::optional<Proof>> FindGroup(uint64_t offset_bytes, uint64_t lsn);
  // Forgets what was buffered: the file may have changed.
  void DropBuffer() { buffered_bytes_ = 0; }
  // Whether the file ends before the size its header gives.
  Result<bool> IsTruncated();

 private:
  GroupPlace PlaceAt(uint64_t offset_bytes) const;
  // Bytes at the offset, fewer only at the end of the file.
  Result<Bytes> Fetch(uint64_t offset_bytes, uint64_t size_bytes);
  GroupRead Damaged(std::string reason) const;
  // The page at the offset is no group of this place: never written, or damaged?
  GroupRead Classify(Bytes page, const GroupHeader& header, const GroupPlace& place,
                     const GroupExpectation& expected, std::string reason) const;
  Result<GroupRead> ReadBody(const GroupHeader& header, uint64_t offset_bytes);
  // Calls `match` for each header behind the offset that passes CheckGroupHeader, until it says
  // true.
  template <typename Match>
  Result<std::optional<Proof>> Scan(uint64_t offset_bytes, Match match);

  std::unique_ptr<File> file_;
  const SegmentHeader header_;
  const uint64_t read_ahead_bytes_;
  std::vector<uint8_t> buffer_;
  uint64_t buffer_offset_bytes_ = 0;
  uint64_t buffered_bytes_ = 0;
};

}  // namespace engram::wal

#endif  // ENGRAM_WAL_SEGMENT_READER_H_
