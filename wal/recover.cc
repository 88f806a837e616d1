// Recovery: walks the valid prefix of a log and classifies what stops it (docs/format/log.md 4, 5).
#include <algorithm>

#include "wal/log.h"
#include "wal/log_directory.h"
#include "wal/segment_reader.h"

namespace engram::wal {
namespace {

constexpr uint64_t kRecoveryReadAheadBytes = 1u << 20;

std::string At(const std::string& path, uint64_t offset_bytes) {
  return path + " at offset " + std::to_string(offset_bytes) + ": ";
}

std::string LsnRange(uint64_t first, uint64_t last) {
  if (last < first) return "no LSN";
  return "LSN " + std::to_string(first) + " to " + std::to_string(last);
}

Status Corrupt(const std::string& message) {
  return Status::Corruption(message,
                            "restore this space from a backup, or see with `engram space salvage "
                            "--dry-run` exactly what is lost, and go on without it");
}

class Recovery {
 public:
  Recovery(FileSystem& fs, const RecoverOptions& options,
           const std::function<Status(const LogRecord&)>& visit)
      : fs_(fs), options_(options), visit_(visit) {}

  Result<RecoveryResult> Run();

 private:
  bool IsLast(size_t index) const { return index + 1 == listing_.segments.size(); }
  // First LSN of the next segment, if there is one with a good header.
  std::optional<uint64_t> Limit(size_t index) const;
  // Corruption, or with salvage an entry in `lost`.
  Status Lose(LostStretch what);
  Status EnterSegment(size_t index, SegmentHeader* header);
  Status CheckFollows(size_t index, const SegmentHeader& header);
  Status CheckBegin(const SegmentFile& file, const SegmentHeader& header);
  Status WalkGroups(size_t index, const SegmentHeader& header);
  Status Deliver(const GroupRead& read);
  // Who says that the LSN due at `offset` was durable; empty if nobody.
  Result<std::string> ProvedBy(size_t index, SegmentReader& reader, uint64_t offset_bytes);
  // Salvage: goes on behind a corrupt stretch; false if this segment has nothing more.
  Result<bool> Skip(size_t index, SegmentReader& reader, uint64_t* offset_bytes);
  Status EndOfSegment(size_t index, SegmentReader& reader, const GroupRead& read,
                      uint64_t offset_bytes);

  FileSystem& fs_;
  const RecoverOptions& options_;
  const std::function<Status(const LogRecord&)>& visit_;
  LogListing listing_;
  RecoveryResult result_;
  uint64_t expected_lsn_ = 0;
  uint32_t chain_ = 0;
  bool chain_known_ = false;
  uint64_t epoch_ = 0;
  bool last_group_is_clean_shutdown_ = false;
};

std::optional<uint64_t> Recovery::Limit(size_t index) const {
  if (IsLast(index) || !listing_.segments[index + 1].header) return std::nullopt;
  return listing_.segments[index + 1].header->first_lsn;
}

Status Recovery::Lose(LostStretch what) {
  if (!options_.salvage) return Corrupt(what.reason);
  result_.lost.push_back(std::move(what));
  chain_known_ = false;
  return Status::Ok();
}

Result<RecoveryResult> Recovery::Run() {
  ENGRAM_ASSIGN_OR_RETURN(listing_, ListLog(fs_, options_.directory));
  if (listing_.segments.empty()) {
    result_.clean_shutdown = true;
    return std::move(result_);
  }
  for (size_t i = 0; i < listing_.segments.size(); ++i) {
    SegmentHeader header;
    ENGRAM_TRY(EnterSegment(i, &header));
    if (header.segment != 0) ENGRAM_TRY(WalkGroups(i, header));
  }
  result_.last.value = expected_lsn_ == 0 ? 0 : expected_lsn_ - 1;
  if (options_.salvage) result_.last = std::max(result_.last, options_.applied);
  if (result_.first > result_.last) result_.first.value = 0;
  return std::move(result_);
}

// Leaves header->segment 0 if nothing of the segment can be read.
Status Recovery::EnterSegment(size_t index, SegmentHeader* header) {
  const SegmentFile& file = listing_.segments[index];
  result_.end = {.segment = file.number,
                 .epoch = std::max(epoch_, result_.end.epoch),
                 .offset_bytes = kPageSizeBytes,
                 .chain_crc = chain_};
  result_.clean_shutdown = false;
  last_group_is_clean_shutdown_ = false;
  if (index > 0 && file.number != listing_.segments[index - 1].number + 1) {
    ENGRAM_TRY(Lose({.file = file.path,
                     .reason = file.path + ": the segment before it is missing, expected number " +
                               std::to_string(listing_.segments[index - 1].number + 1)}));
  }
  if (!file.header) {
    ENGRAM_TRY(Lose({.file = file.path, .reason = file.header_error.message()}));
    ENGRAM_ASSIGN_OR_RETURN(const auto guess,
                            GuessSegmentHeader(fs_, file, options_.store_uuid, expected_lsn_));
    if (!guess) return Status::Ok();
    *header = *guess;
  } else {
    *header = *file.header;
  }
  if (header->store_uuid != options_.store_uuid) {
    const Status stray =
        Status::Corruption(At(file.path, 16) + "store expected " + options_.store_uuid.ToString() +
                               ", actual " + header->store_uuid.ToString(),
                           "the file belongs to another store; move it away");
    if (!options_.salvage) return stray;
    header->segment = 0;
    return Lose({.file = file.path, .offset_bytes = 16, .reason = stray.message()});
  }
  ENGRAM_TRY(index == 0 || expected_lsn_ == 0 ? CheckBegin(file, *header)
                                              : CheckFollows(index, *header));
  epoch_ = header->epoch;
  chain_ = header->checksum;
  chain_known_ = true;
  result_.end.epoch = epoch_;
  result_.end.chain_crc = chain_;
  return Status::Ok();
}

Status Recovery::CheckBegin(const SegmentFile& file, const SegmentHeader& header) {
  if (header.first_lsn > options_.applied.value + 1) {
    const uint64_t first = options_.applied.value + 1, last = header.first_lsn - 1;
    ENGRAM_TRY(Lose(
        {.file = file.path,
         .offset_bytes = 48,
         .first = {first},
         .last = {last},
         .reason = At(file.path, 48) + "the log begins at LSN " + std::to_string(header.first_lsn) +
                   ", but the store has applied only LSN " +
                   std::to_string(options_.applied.value) + "; lost: " + LsnRange(first, last)}));
  }
  expected_lsn_ = header.first_lsn;
  result_.first.value = header.first_lsn;
  return Status::Ok();
}

Status Recovery::CheckFollows(size_t index, const SegmentHeader& header) {
  const std::string& path = listing_.segments[index].path;
  if (header.first_lsn != expected_lsn_) {
    const std::string message = At(path, 48) + "first LSN expected " +
                                std::to_string(expected_lsn_) + ", actual " +
                                std::to_string(header.first_lsn);
    // With salvage the loss was listed where the segment before stopped.
    if (!options_.salvage || header.first_lsn < expected_lsn_) {
      ENGRAM_TRY(Lose({.file = path, .offset_bytes = 48, .reason = message}));
    }
    expected_lsn_ = std::max(expected_lsn_, header.first_lsn);
    chain_known_ = false;
  }
  if (header.epoch < epoch_) {
    ENGRAM_TRY(Lose({.file = path,
                     .offset_bytes = 40,
                     .reason = At(path, 40) + "epoch expected at least " + std::to_string(epoch_) +
                               ", actual " + std::to_string(header.epoch)}));
  }
  if (!chain_known_) return Status::Ok();
  if (header.previous_epoch != epoch_ || header.previous_chain != chain_) {
    ENGRAM_TRY(Lose({.file = path,
                     .offset_bytes = 56,
                     .reason = At(path, 56) + "previous epoch and chain expected " +
                               std::to_string(epoch_) + " and " + std::to_string(chain_) +
                               ", actual " + std::to_string(header.previous_epoch) + " and " +
                               std::to_string(header.previous_chain)}));
  }
  return Status::Ok();
}

Status Recovery::Deliver(const GroupRead& read) {
  RecordCursor cursor(read.body);
  LogRecord record;
  while (cursor.Next(&record.type, &record.payload)) {
    record.lsn.value = expected_lsn_++;
    if (record.lsn > options_.applied) ENGRAM_TRY(visit_(record));
  }
  chain_ = read.header.header_checksum;
  last_group_is_clean_shutdown_ = (read.header.flags & kGroupFlagCleanShutdown) != 0;
  return Status::Ok();
}

Result<std::string> Recovery::ProvedBy(size_t index, SegmentReader& reader, uint64_t offset_bytes) {
  if (auto limit = Limit(index)) return "the next segment begins at LSN " + std::to_string(*limit);
  ENGRAM_ASSIGN_OR_RETURN(const auto proof,
                          reader.FindProof(offset_bytes + kPageSizeBytes, expected_lsn_));
  if (proof) {
    return "the group at offset " + std::to_string(proof->offset_bytes) + " was written when LSN " +
           std::to_string(proof->header.durable_lsn) + " was durable";
  }
  if (IsLast(index) && options_.applied.value >= expected_lsn_) {
    return "the store has applied LSN " + std::to_string(options_.applied.value);
  }
  return std::string();
}

Status Recovery::WalkGroups(size_t index, const SegmentHeader& header) {
  const std::optional<uint64_t> limit = Limit(index);
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs_.Open(listing_.segments[index].path, OpenMode::kReadOnly));
  // What a killed process left in the page cache is made durable before it is trusted; what a
  // failed flush left there never reached the device and must not be read.
  ENGRAM_TRY(file->Sync());
  file->DropCache();
  SegmentReader reader(std::move(file), header, kRecoveryReadAheadBytes);
  uint64_t offset = kPageSizeBytes;
  while (!limit || expected_lsn_ < *limit) {
    ENGRAM_ASSIGN_OR_RETURN(const GroupRead read,
                            reader.ReadGroup(offset, {expected_lsn_, chain_}));
    if (read.state == GroupState::kValid) {
      ENGRAM_TRY(Deliver(read));
      offset = read.end_bytes;
      continue;
    }
    ENGRAM_ASSIGN_OR_RETURN(const std::string proof, ProvedBy(index, reader, offset));
    if (proof.empty()) return EndOfSegment(index, reader, read, offset);
    if (!options_.salvage) {
      return Corrupt(At(reader.path(), offset) + "no valid group of LSN " +
                     std::to_string(expected_lsn_) + ": " +
                     (read.reason.empty() ? "nothing was written here" : read.reason) + "; but " +
                     proof);
    }
    ENGRAM_ASSIGN_OR_RETURN(const bool more, Skip(index, reader, &offset));
    if (!more) break;
  }
  // A clean-shutdown record may stand between the last record and the next segment.
  if (limit) {
    ENGRAM_ASSIGN_OR_RETURN(const GroupRead read,
                            reader.ReadGroup(offset, {expected_lsn_, chain_}));
    const bool clean = read.state == GroupState::kValid && read.header.record_count == 0;
    if (clean &&
        read.header.header_checksum == listing_.segments[index + 1].header->previous_chain) {
      chain_ = read.header.header_checksum;
    }
  }
  return Status::Ok();
}

Result<bool> Recovery::Skip(size_t index, SegmentReader& reader, uint64_t* offset_bytes) {
  ENGRAM_ASSIGN_OR_RETURN(const auto next,
                          reader.FindGroup(*offset_bytes + kPageSizeBytes, expected_lsn_));
  uint64_t end = next ? next->offset_bytes : reader.header().size_bytes;
  uint64_t resume_lsn = expected_lsn_;
  if (next) {
    resume_lsn = next->header.first_lsn;
    chain_ = next->header.chain;
  } else if (auto limit = Limit(index)) {
    resume_lsn = *limit;
    const uint64_t known_end = listing_.segments[index + 1].header->previous_end_bytes;
    if (known_end > *offset_bytes) end = std::min(end, known_end);
  } else if (options_.applied.value >= expected_lsn_) {
    resume_lsn = options_.applied.value + 1;
  }
  LostStretch lost{.file = reader.path(),
                   .offset_bytes = *offset_bytes,
                   .length_bytes = end - *offset_bytes,
                   .reason = At(reader.path(), *offset_bytes) + "length " +
                             std::to_string(end - *offset_bytes) +
                             " lost: " + LsnRange(expected_lsn_, resume_lsn - 1)};
  if (resume_lsn > expected_lsn_) lost.first = {expected_lsn_}, lost.last = {resume_lsn - 1};
  ENGRAM_TRY(Lose(std::move(lost)));
  expected_lsn_ = resume_lsn;
  *offset_bytes = end;
  result_.end.offset_bytes = end;
  result_.end.chain_crc = chain_;
  return next.has_value();
}

Status Recovery::EndOfSegment(size_t index, SegmentReader& reader, const GroupRead& read,
                              uint64_t offset_bytes) {
  result_.end.offset_bytes = offset_bytes;
  result_.end.chain_crc = chain_;
  if (!IsLast(index)) return Status::Ok();  // the next header is damaged and says so
  ENGRAM_ASSIGN_OR_RETURN(const bool truncated, reader.IsTruncated());
  result_.torn = truncated || read.state == GroupState::kDamaged;
  result_.clean_shutdown = last_group_is_clean_shutdown_ && !result_.torn && result_.lost.empty();
  if (!result_.torn) return Status::Ok();
  const std::string reason =
      read.state == GroupState::kDamaged ? read.reason : "the file is shorter than its header says";
  result_.detail = At(reader.path(), offset_bytes) + "torn after LSN " +
                   std::to_string(expected_lsn_ - 1) + ": " + reason;
  return Status::Ok();
}

}  // namespace

Result<RecoveryResult> Recover(FileSystem& fs, const RecoverOptions& options,
                               const std::function<Status(const LogRecord&)>& visit) {
  return Recovery(fs, options, visit).Run();
}

}  // namespace engram::wal
