// Follows a log that is being written, rotated and recycled. Every step checks that what it reads
// continues its position (store, epoch, segment, LSN, chain) before it delivers anything.
#include <algorithm>
#include <optional>

#include "wal/log.h"
#include "wal/log_directory.h"
#include "wal/segment_reader.h"

namespace engram::wal {
namespace {

constexpr uint64_t kTailReadAheadBytes = 1u << 16;

class LogTailer : public Tailer {
 public:
  LogTailer(FileSystem& fs, std::string directory, const TailPosition& position)
      : fs_(fs), directory_(std::move(directory)), position_(position) {}

  // Finds the position's segment; a log without segments is found later.
  Status Locate();

  Result<uint64_t> Poll(Lsn visible, uint64_t records_max,
                        const std::function<Status(const LogRecord&)>& visit) override;
  TailPosition position() const override { return position_; }

 private:
  Status Gone(const std::string& why) const;
  Status LocateByLsn(const LogListing& listing);
  Status PassOver(Lsn next);
  Status LocateBySegment(const LogListing& listing);
  Status CheckStore(const SegmentHeader& header);
  Status OpenSegment(const SegmentHeader& header);
  Status EnterSegment(const SegmentHeader& header);
  bool Continues(const SegmentHeader& header) const;

  Result<GroupRead> ReadGroup();
  Status Deliver(const GroupRead& group, Lsn visible, uint64_t records_max, uint64_t* delivered,
                 const std::function<Status(const LogRecord&)>& visit);
  // There is no valid group at the position: true if the position moved on or there is one now.
  Result<bool> Advance(const GroupRead& read, Lsn visible);
  // Empty if there is no such segment any more.
  Result<std::optional<SegmentHeader>> HeaderOf(uint64_t number);
  // Why nothing follows, when the log has gone on: recycled, or damaged.
  Status Discontinuity(const std::string& reason);

  FileSystem& fs_;
  const std::string directory_;
  TailPosition position_;
  std::unique_ptr<SegmentReader> reader_;  // null: not located yet
};

Status LogTailer::Gone(const std::string& why) const {
  return Status::FailedPrecondition(
      directory_ + " no longer holds LSN " + std::to_string(position_.next.value) + ": " + why,
      "scan the store instead, then follow the log from a new position");
}

// ---- Finding the position ----

Status LogTailer::Locate() {
  ENGRAM_ASSIGN_OR_RETURN(const LogListing listing, ListLog(fs_, directory_));
  return position_.segment == 0 ? LocateByLsn(listing) : LocateBySegment(listing);
}

Status LogTailer::CheckStore(const SegmentHeader& header) {
  if (position_.store_uuid == Uuid{}) position_.store_uuid = header.store_uuid;
  if (header.store_uuid == position_.store_uuid) return Status::Ok();
  return Gone("it belongs to store " + header.store_uuid.ToString() + ", not " +
              position_.store_uuid.ToString());
}

Status LogTailer::LocateByLsn(const LogListing& listing) {
  const SegmentFile* found = nullptr;
  for (const SegmentFile& file : listing.segments) {
    if (!file.header) return file.header_error;
    if (!found || file.header->first_lsn <= position_.next.value) found = &file;
  }
  if (!found) return Status::Ok();
  ENGRAM_TRY(CheckStore(*found->header));
  if (position_.next.value == 0) position_.next.value = found->header->first_lsn;
  if (found->header->first_lsn > position_.next.value) {
    return Gone("it begins at LSN " + std::to_string(found->header->first_lsn));
  }
  const Lsn wanted = position_.next;
  position_.next.value = found->header->first_lsn;
  ENGRAM_TRY(EnterSegment(*found->header));
  return PassOver(wanted);
}

// Goes on to the group that holds `next`, or to the end of what is there.
Status LogTailer::PassOver(Lsn next) {
  while (reader_ && position_.next < next) {
    ENGRAM_ASSIGN_OR_RETURN(const GroupRead read, ReadGroup());
    if (read.state != GroupState::kValid) break;
    const uint64_t behind = read.header.first_lsn + read.header.record_count;
    if (behind > next.value) {
      position_.next = next;
      break;
    }
    position_.next.value = behind;
    position_.offset_bytes = read.end_bytes;
    position_.chain_crc = read.header.header_checksum;
  }
  return Status::Ok();
}

Status LogTailer::LocateBySegment(const LogListing& listing) {
  for (const SegmentFile& file : listing.segments) {
    if (file.number != position_.segment && file.number != position_.segment + 1) continue;
    if (!file.header) return file.header_error;
    ENGRAM_TRY(CheckStore(*file.header));
    if (file.number == position_.segment) {
      if (file.header->epoch != position_.epoch) return Gone("its epoch changed");
      return OpenSegment(*file.header);
    }
    // All records of the position's own segment were delivered before it was released.
    if (Continues(*file.header)) return EnterSegment(*file.header);
  }
  return Gone("its segment was released");
}

Status LogTailer::OpenSegment(const SegmentHeader& header) {
  if (position_.offset_bytes % kPageSizeBytes != 0 || position_.offset_bytes < kPageSizeBytes ||
      position_.offset_bytes > header.size_bytes) {
    return Gone("offset " + std::to_string(position_.offset_bytes) + " is no place of a group");
  }
  auto file = fs_.Open(SegmentPath(directory_, header.segment), OpenMode::kReadOnly);
  if (!file.ok() && file.status().code() == StatusCode::kNotFound) {
    return Gone("its segment was released");
  }
  if (!file.ok()) return file.status();
  reader_ = std::make_unique<SegmentReader>(std::move(*file), header, kTailReadAheadBytes);
  return Status::Ok();
}

Status LogTailer::EnterSegment(const SegmentHeader& header) {
  position_.segment = header.segment;
  position_.epoch = header.epoch;
  position_.offset_bytes = kPageSizeBytes;
  position_.chain_crc = header.checksum;
  return OpenSegment(header);
}

bool LogTailer::Continues(const SegmentHeader& header) const {
  return header.store_uuid == position_.store_uuid && header.segment == position_.segment + 1 &&
         header.first_lsn == position_.next.value && header.previous_epoch == position_.epoch &&
         header.previous_chain == position_.chain_crc;
}

// ---- Reading ----

// The group at the position may have been delivered in part: then it begins below `next`.
Result<GroupRead> LogTailer::ReadGroup() {
  GroupExpectation expected{position_.next.value, position_.chain_crc};
  ENGRAM_ASSIGN_OR_RETURN(const auto header, reader_->PeekHeader(position_.offset_bytes));
  if (header && header->first_lsn < expected.first_lsn &&
      expected.first_lsn - header->first_lsn < header->record_count) {
    expected.first_lsn = header->first_lsn;
  }
  return reader_->ReadGroup(position_.offset_bytes, expected);
}

Result<uint64_t> LogTailer::Poll(Lsn visible, uint64_t records_max,
                                 const std::function<Status(const LogRecord&)>& visit) {
  uint64_t delivered = 0;
  if (reader_) reader_->DropBuffer();
  while (delivered < records_max && position_.next <= visible) {
    if (!reader_) ENGRAM_TRY(Locate());
    if (!reader_ || position_.next > visible) break;
    ENGRAM_ASSIGN_OR_RETURN(const GroupRead read, ReadGroup());
    if (read.state == GroupState::kValid) {
      ENGRAM_TRY(Deliver(read, visible, records_max, &delivered, visit));
      continue;
    }
    ENGRAM_ASSIGN_OR_RETURN(const bool more, Advance(read, visible));
    if (!more) break;
  }
  return delivered;
}

Status LogTailer::Deliver(const GroupRead& group, Lsn visible, uint64_t records_max,
                          uint64_t* delivered,
                          const std::function<Status(const LogRecord&)>& visit) {
  RecordCursor cursor(group.body);
  LogRecord record;
  record.lsn.value = group.header.first_lsn;
  for (; cursor.Next(&record.type, &record.payload); ++record.lsn.value) {
    if (record.lsn < position_.next) continue;
    if (record.lsn > visible || *delivered == records_max) return Status::Ok();
    ENGRAM_TRY(visit(record));
    position_.next.value = record.lsn.value + 1;
    ++*delivered;
  }
  position_.offset_bytes = group.end_bytes;
  position_.chain_crc = group.header.header_checksum;
  return Status::Ok();
}

// ---- When the segment has no more ----

Result<std::optional<SegmentHeader>> LogTailer::HeaderOf(uint64_t number) {
  Result<SegmentHeader> header = Status::NotFound("");
  // Twice: the file may be released and written anew while its header is read.
  for (int attempt = 0; attempt < 2 && !header.ok(); ++attempt) {
    auto file = fs_.Open(SegmentPath(directory_, number), OpenMode::kReadOnly);
    if (!file.ok() && file.status().code() == StatusCode::kNotFound) {
      return std::optional<SegmentHeader>();
    }
    if (!file.ok()) return file.status();
    header = ReadSegmentHeader(**file);
  }
  if (!header.ok()) return header.status();
  if (header->segment != number) return std::optional<SegmentHeader>();
  return std::optional(*header);
}

Status LogTailer::Discontinuity(const std::string& reason) {
  ENGRAM_ASSIGN_OR_RETURN(const auto own, HeaderOf(position_.segment));
  if (!own || own->checksum != reader_->header().checksum) return Gone("its segment was released");
  return Status::Corruption(reader_->path() + " at offset " +
                                std::to_string(position_.offset_bytes) +
                                ": no valid group of LSN " + std::to_string(position_.next.value) +
                                ": " + (reason.empty() ? "nothing was written here" : reason),
                            "see with `engram space salvage --dry-run` exactly what is lost");
}

Result<bool> LogTailer::Advance(const GroupRead& read, Lsn visible) {
  ENGRAM_ASSIGN_OR_RETURN(const auto next, HeaderOf(position_.segment + 1));
  // What proves that the log went on may have come after the first look: look again.
  reader_->DropBuffer();
  ENGRAM_ASSIGN_OR_RETURN(const GroupRead again, ReadGroup());
  if (again.state == GroupState::kValid) return true;
  if (next) {
    if (Continues(*next)) {
      ENGRAM_TRY(EnterSegment(*next));
      return true;
    }
    if (next->first_lsn <= position_.next.value) return Gone("the log was rewritten");
    return Discontinuity(read.reason);
  }
  ENGRAM_ASSIGN_OR_RETURN(const auto own, HeaderOf(position_.segment));
  if (!own || own->checksum != reader_->header().checksum) return Gone("its segment was released");
  // A finite bound is a durable LSN: its record must be there.
  if (visible.value != UINT64_MAX) return Discontinuity(again.reason);
  if (again.state != GroupState::kDamaged) return false;
  ENGRAM_ASSIGN_OR_RETURN(
      const auto proof,
      reader_->FindProof(position_.offset_bytes + kPageSizeBytes, position_.next.value));
  if (!proof) return false;
  reader_->DropBuffer();
  ENGRAM_ASSIGN_OR_RETURN(const GroupRead last, ReadGroup());
  if (last.state == GroupState::kValid) return true;
  return Discontinuity(last.reason);
}

}  // namespace

Result<std::unique_ptr<Tailer>> Tailer::Open(FileSystem& fs, const std::string& directory,
                                             const TailPosition& position) {
  auto tailer = std::make_unique<LogTailer>(fs, directory, position);
  ENGRAM_TRY(tailer->Locate());
  return std::unique_ptr<Tailer>(std::move(tailer));
}

}  // namespace engram::wal
