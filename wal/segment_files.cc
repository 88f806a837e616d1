#include "wal/segment_files.h"

#include <algorithm>

namespace engram::wal {
namespace {

constexpr uint64_t kZeroChunkBytes = 1u << 20;
// The reserve, and what comes back at once when much was applied: pre-writing it again costs more
// than keeping it.
constexpr size_t kSparesMax = 4;

alignas(kDirectAlignmentBytes) constexpr uint8_t kZeros[kZeroChunkBytes] = {};

}  // namespace

SegmentFiles::SegmentFiles(FileSystem& fs, std::string directory, Uuid store_uuid,
                           const LogOptions& options)
    : fs_(fs), directory_(std::move(directory)), store_uuid_(store_uuid), options_(options) {}

Status SegmentFiles::Adopt(const LogListing& listing) {
  MutexLock lock(mutex_);
  for (const std::string& path : listing.temporaries) ENGRAM_TRY(fs_.Unlink(path));
  for (const SpareFile& file : listing.spares) {
    next_serial_ = std::max(next_serial_, file.serial + 1);
    const bool usable = file.size_bytes % kPageSizeBytes == 0 &&
                        file.size_bytes >= options_.segment_size_bytes_min &&
                        file.size_bytes <= kSegmentSizeBytesMax;
    if (usable && spares_.size() < kSparesMax) {
      // What it holds is unknown: as if it had been used.
      Keep({file.path, file.size_bytes, true});
    } else {
      ENGRAM_TRY(fs_.Unlink(file.path));
    }
  }
  return Status::Ok();
}

void SegmentFiles::Keep(Spare spare) {
  spares_.push_back(std::move(spare));
  has_reserve_ = true;
}

std::string SegmentFiles::NextSparePath() { return SparePath(directory_, next_serial_++); }

Status SegmentFiles::CheckRoom(uint64_t size_bytes) const {
  ENGRAM_ASSIGN_OR_RETURN(const DiskSpace space, fs_.Space(directory_));
  if (space.available_bytes >= size_bytes) return Status::Ok();
  return Status::Full("the log needs " + std::to_string(size_bytes) + " bytes in " + directory_ +
                          ", the device has " + std::to_string(space.available_bytes),
                      "free space on the device; writes go on by themselves then, reads and "
                      "deletes go on now");
}

Status SegmentFiles::WriteZeros(const std::string& path, uint64_t size_bytes) {
  ENGRAM_TRY(fs_.Open(path, OpenMode::kCreateExclusive).status());
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs_.Open(path, OpenMode::kReadWriteDirect));
  for (uint64_t at = 0; at < size_bytes; at += kZeroChunkBytes) {
    ENGRAM_TRY(file->WriteAt(at, Bytes(kZeros).first(std::min(kZeroChunkBytes, size_bytes - at))));
  }
  return file->Sync();
}

Result<SegmentFiles::Spare> SegmentFiles::CreateSpare(uint64_t size_bytes) {
  ENGRAM_TRY(CheckRoom(size_bytes));
  const std::string path = NextSparePath();
  const std::string temporary = path + ".tmp";
  Status written = WriteZeros(temporary, size_bytes);
  if (written.ok()) written = fs_.Rename(temporary, path);
  if (!written.ok()) {
    IgnoreError(fs_.Unlink(temporary), "the first error is the one to report");
    return written;
  }
  return Spare{path, size_bytes, false};
}

Status SegmentFiles::EnsureReserve() {
  MutexLock lock(mutex_);
  if (!spares_.empty()) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(auto spare, CreateSpare(options_.segment_size_bytes_min));
  Keep(std::move(spare));
  return Status::Ok();
}

Result<SegmentFiles::Spare> SegmentFiles::FindSpare(const Request& request) {
  const auto largest =
      std::max_element(spares_.begin(), spares_.end(),
                       [](const Spare& a, const Spare& b) { return a.size_bytes < b.size_bytes; });
  const bool fits = largest != spares_.end() && largest->size_bytes >= request.required_bytes;
  const auto take_largest = [&]() ENGRAM_REQUIRES(mutex_) {
    Spare taken = *largest;
    spares_.erase(largest);
    has_reserve_ = !spares_.empty();
    return taken;
  };
  if (fits && spares_.size() > 1) return take_largest();
  Result<Spare> created = CreateSpare(request.preferred_bytes);
  const uint64_t smallest = std::max(request.required_bytes, options_.segment_size_bytes_min);
  const auto full = [&] { return !created.ok() && created.status().code() == StatusCode::kFull; };
  if (full() && smallest < request.preferred_bytes) created = CreateSpare(smallest);
  if (full() && fits && request.use_reserve) return take_largest();
  return created;
}

Result<std::unique_ptr<Segment>> SegmentFiles::Take(const Request& request) {
  MutexLock lock(mutex_);
  ENGRAM_ASSIGN_OR_RETURN(const Spare taken, FindSpare(request));
  auto segment = std::make_unique<Segment>();
  segment->size_bytes = taken.size_bytes;
  segment->recycled = taken.recycled;
  segment->path = taken.path;
  ENGRAM_ASSIGN_OR_RETURN(segment->file, fs_.Open(taken.path, OpenMode::kReadWriteDirect));
  return segment;
}

Status SegmentFiles::Activate(Segment* segment, SegmentHeader header) {
  MutexLock lock(mutex_);
  header.store_uuid = store_uuid_;
  header.size_bytes = segment->size_bytes;
  header.recycled = segment->recycled;
  alignas(kDirectAlignmentBytes) const SegmentHeaderPage page = EncodeSegmentHeader(&header);
  const Bytes bytes(reinterpret_cast<const uint8_t*>(&page), sizeof page);
  ENGRAM_TRY(segment->file->WriteAtDurable(0, bytes));
  const std::string path = SegmentPath(directory_, header.segment);
  ENGRAM_TRY(fs_.Rename(segment->path, path));
  ENGRAM_TRY(fs_.SyncDirectory(directory_));
  segment->chain = header.checksum;
  segment->path = path;
  return Status::Ok();
}

Status SegmentFiles::Retire(const Segment& segment, uint64_t wanted_size_bytes, bool* is_gone) {
  MutexLock lock(mutex_);
  *is_gone = false;
  const bool recycle = segment.size_bytes >= wanted_size_bytes && spares_.size() < kSparesMax;
  if (recycle) {
    const std::string path = NextSparePath();
    ENGRAM_TRY(fs_.Rename(segment.path, path));
    Keep({path, segment.size_bytes, true});
  } else {
    ENGRAM_TRY(fs_.Unlink(segment.path));
  }
  *is_gone = true;
  // One by one, so that a crash never leaves a gap between the segments that remain.
  return fs_.SyncDirectory(directory_);
}

uint64_t SegmentFiles::spare_bytes() const {
  MutexLock lock(mutex_);
  uint64_t bytes = 0;
  for (const Spare& spare : spares_) bytes += spare.size_bytes;
  return bytes;
}

}  // namespace engram::wal
