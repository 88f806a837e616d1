#include "wal/segment_reader.h"

#include <algorithm>
#include <cstring>

namespace engram::wal {
namespace {

bool AllZero(Bytes bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

GroupHeader LoadGroupHeader(Bytes page) {
  GroupHeader header;
  std::memcpy(&header, page.data(), sizeof header);
  return header;
}

}  // namespace

SegmentReader::SegmentReader(std::unique_ptr<File> file, const SegmentHeader& header,
                             uint64_t read_ahead_bytes)
    : file_(std::move(file)), header_(header), read_ahead_bytes_(read_ahead_bytes) {}

GroupPlace SegmentReader::PlaceAt(uint64_t offset_bytes) const {
  return {.store = StoreTag(header_.store_uuid),
          .segment = header_.segment,
          .epoch = header_.epoch,
          .offset_bytes = offset_bytes,
          .segment_size_bytes = header_.size_bytes};
}

Result<Bytes> SegmentReader::Fetch(uint64_t offset_bytes, uint64_t size_bytes) {
  const bool inside = offset_bytes >= buffer_offset_bytes_ &&
                      offset_bytes + size_bytes <= buffer_offset_bytes_ + buffered_bytes_;
  if (!inside) {
    // Never beyond the segment: a spare of another size may carry anything behind it.
    const uint64_t left = header_.size_bytes - std::min(header_.size_bytes, offset_bytes);
    const uint64_t want = std::min(std::max(size_bytes, read_ahead_bytes_), left);
    if (buffer_.size() < want) buffer_.resize(want);
    buffered_bytes_ = 0;
    ENGRAM_ASSIGN_OR_RETURN(const uint64_t count,
                            file_->ReadAt(offset_bytes, std::span(buffer_).first(want)));
    buffer_offset_bytes_ = offset_bytes;
    buffered_bytes_ = count;
  }
  const uint64_t skip = offset_bytes - buffer_offset_bytes_;
  return Bytes(buffer_).subspan(skip, std::min(size_bytes, buffered_bytes_ - skip));
}

GroupRead SegmentReader::Damaged(std::string reason) const {
  GroupRead read;
  read.state = GroupState::kDamaged;
  read.reason = std::move(reason);
  return read;
}

GroupRead SegmentReader::Classify(Bytes page, const GroupHeader& header, const GroupPlace& place,
                                  const GroupExpectation& expected, std::string reason) const {
  const bool unwritten =
      header_.recycled ? !IsWriteAttempt(header, place, expected) : AllZero(page);
  if (unwritten) return GroupRead{};
  return Damaged(std::move(reason));
}

Result<GroupRead> SegmentReader::ReadGroup(uint64_t offset_bytes,
                                           const GroupExpectation& expected) {
  if (offset_bytes + kPageSizeBytes > header_.size_bytes) {
    GroupRead full;
    full.state = GroupState::kFull;
    return full;
  }
  ENGRAM_ASSIGN_OR_RETURN(const Bytes page, Fetch(offset_bytes, kPageSizeBytes));
  if (page.size() < kPageSizeBytes) {
    return Damaged("file size expected " + std::to_string(header_.size_bytes) + ", actual " +
                   std::to_string(offset_bytes + page.size()));
  }
  const GroupHeader header = LoadGroupHeader(page);
  const GroupPlace place = PlaceAt(offset_bytes);
  std::string reason = CheckGroupHeader(header, place);
  if (reason.empty()) reason = CheckGroupOrder(header, expected);
  if (!reason.empty()) return Classify(page, header, place, expected, std::move(reason));
  return ReadBody(header, offset_bytes);
}

Result<GroupRead> SegmentReader::ReadBody(const GroupHeader& header, uint64_t offset_bytes) {
  const uint64_t size_bytes = GroupSizeOnDisk(header.body_size_bytes);
  ENGRAM_ASSIGN_OR_RETURN(const Bytes group, Fetch(offset_bytes, size_bytes));
  if (group.size() < size_bytes) {
    return Damaged("file size expected " + std::to_string(header_.size_bytes) + ", actual " +
                   std::to_string(offset_bytes + group.size()));
  }
  const Bytes rest = group.subspan(kGroupHeaderSizeBytes);
  std::string reason = CheckGroupBody(header, rest);
  if (!reason.empty()) return Damaged(std::move(reason));
  GroupRead read;
  read.state = GroupState::kValid;
  read.header = header;
  read.body = rest.first(header.body_size_bytes);
  read.end_bytes = offset_bytes + size_bytes;
  return read;
}

Result<std::optional<GroupHeader>> SegmentReader::PeekHeader(uint64_t offset_bytes) {
  std::optional<GroupHeader> none;
  if (offset_bytes + kPageSizeBytes > header_.size_bytes) return none;
  ENGRAM_ASSIGN_OR_RETURN(const Bytes page, Fetch(offset_bytes, kPageSizeBytes));
  if (page.size() < kPageSizeBytes) return none;
  const GroupHeader header = LoadGroupHeader(page);
  if (!CheckGroupHeader(header, PlaceAt(offset_bytes)).empty()) return none;
  return std::optional(header);
}

template <typename Match>
Result<std::optional<SegmentReader::Proof>> SegmentReader::Scan(uint64_t offset_bytes,
                                                                Match match) {
  for (; offset_bytes + kPageSizeBytes <= header_.size_bytes; offset_bytes += kPageSizeBytes) {
    ENGRAM_ASSIGN_OR_RETURN(const Bytes page, Fetch(offset_bytes, kPageSizeBytes));
    if (page.size() < kGroupHeaderSizeBytes) break;
    if (LoadLe<uint32_t>(page.data()) != kGroupMagic) continue;
    const GroupHeader header = LoadGroupHeader(page);
    if (!CheckGroupHeader(header, PlaceAt(offset_bytes)).empty()) continue;
    ENGRAM_ASSIGN_OR_RETURN(const bool found, match(header, offset_bytes));
    if (found) return std::optional<Proof>(Proof{offset_bytes, header});
  }
  return std::optional<Proof>();
}

Result<std::optional<SegmentReader::Proof>> SegmentReader::FindProof(uint64_t offset_bytes,
                                                                     uint64_t lsn) {
  return Scan(offset_bytes, [lsn](const GroupHeader& header, uint64_t) -> Result<bool> {
    return header.first_lsn >= lsn;
  });
}

Result<std::optional<SegmentReader::Proof>> SegmentReader::FindGroup(uint64_t offset_bytes,
                                                                     uint64_t lsn) {
  return Scan(offset_bytes, [this, lsn](const GroupHeader& header, uint64_t at) -> Result<bool> {
    if (header.first_lsn < lsn) return false;
    ENGRAM_ASSIGN_OR_RETURN(const GroupRead read, ReadGroup(at, {header.first_lsn, header.chain}));
    return read.state == GroupState::kValid;
  });
}

Result<bool> SegmentReader::IsTruncated() {
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t size_bytes, file_->Size());
  return size_bytes < header_.size_bytes;
}

}  // namespace engram::wal
