// The writer: leader-follower group commit over the segments of one log.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <new>

#include "base/check.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/mutex.h"
#include "wal/log.h"
#include "wal/log_directory.h"
#include "wal/segment_files.h"
#include "wal/write_queues.h"

namespace engram::wal {
namespace {

// Sealed groups that may wait behind the one being written; a faster appender helps to write.
constexpr size_t kSealedGroupsMax = 2;
constexpr size_t kFreeGroupsMax = 2;
constexpr size_t kWaitSlots = 4;

// Memory that direct writes can start from.
template <typename T>
struct DirectAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{kDirectAlignmentBytes};
  DirectAllocator() = default;
  template <typename U>
  DirectAllocator(const DirectAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kAlignment)); }
  void deallocate(T* p, size_t) { ::operator delete(p, kAlignment); }
  bool operator==(const DirectAllocator&) const = default;
};

// Records that will be written and flushed together, as they stand on disk.
struct Group {
  std::vector<uint8_t, DirectAllocator<uint8_t>> bytes;  // header (filled in last) and body
  uint32_t body_checksum = 0;
  uint32_t record_count = 0;
  uint32_t flags = 0;
  uint64_t first_lsn = 0;
  uint64_t sequence = 0;  // counts groups, for the wait slots
  std::shared_ptr<Segment> segment;
  uint64_t offset_bytes = 0;

  uint64_t body_size_bytes() const { return bytes.size() - kGroupHeaderSizeBytes; }
  uint64_t last_lsn() const { return first_lsn + record_count - 1; }
};

Status BusyNow() { return Status::Busy("the log is not ready for a record at once"); }

class LogWriter : public Log {
 public:
  LogWriter(FileSystem& fs, Logger& logger, const OpenOptions& options, ChosenQueue queue)
      : logger_(logger),
        options_(options),
        io_name_(queue.name),
        io_(std::move(queue.queue)),
        files_(fs, options.directory, options.store_uuid, options.log) {}

  Status Start(FileSystem& fs, const LogListing& listing);
  // After a salvage: a new segment at once, so that the damaged ones can be released.
  Status StartNewSegment() ENGRAM_REQUIRES(mutex_);

  Result<Lsn> Append(uint8_t type, Bytes payload, const AppendOptions& options) override;
  Lsn next_lsn() const override { return {next_lsn_.load(std::memory_order_acquire)}; }
  Status WaitDurable(Lsn lsn) override;
  Lsn durable() const override { return {durable_lsn_.load(std::memory_order_acquire)}; }
  bool latched() const override { return latched_.load(std::memory_order_acquire); }
  Status ReleaseBelow(Lsn lsn) override;
  Status CloseClean() override;
  uint64_t size_bytes() const override;
  std::string_view io_name() const override { return io_name_; }
  Counters counters() const override {
    return {appended_bytes_.load(std::memory_order_relaxed),
            groups_.load(std::memory_order_relaxed), records_.load(std::memory_order_relaxed),
            flush_ns_.load(std::memory_order_relaxed)};
  }

 private:
  void AdoptSegments(const LogListing& listing, uint64_t next_lsn) ENGRAM_REQUIRES(mutex_);

  // Appending.
  Status CheckWritable() const ENGRAM_REQUIRES(mutex_);
  Status MakeRoom(uint64_t record_bytes, const AppendOptions& options) ENGRAM_REQUIRES(mutex_);
  bool FitsOpenGroup(uint64_t record_bytes) const ENGRAM_REQUIRES(mutex_);
  bool FitsSegment(const Segment& segment, uint64_t offset_bytes, uint64_t body_bytes) const;
  void OpenGroup() ENGRAM_REQUIRES(mutex_);
  void SealOpenGroup() ENGRAM_REQUIRES(mutex_);
  void UseNextSegment() ENGRAM_REQUIRES(mutex_);
  Status ReserveSegment(uint64_t group_bytes, bool use_reserve) ENGRAM_REQUIRES(mutex_);
  void AddRecord(uint8_t type, Bytes payload) ENGRAM_REQUIRES(mutex_);

  // Flushing.
  Status FlushAll() ENGRAM_REQUIRES(mutex_);
  void FlushFront() ENGRAM_REQUIRES(mutex_);
  Status WriteGroup(Group& group, uint64_t durable_lsn);
  Status ActivateSegment(const Group& group);
  void SealHeader(Group& group, uint64_t durable_lsn);
  void Latch(const Status& cause) ENGRAM_REQUIRES(mutex_);
  void WaitFor(uint64_t sequence) ENGRAM_REQUIRES(mutex_);
  void WakeAfter(uint64_t sequence) ENGRAM_REQUIRES(mutex_);
  uint64_t SequenceOf(uint64_t lsn) const ENGRAM_REQUIRES(mutex_);
  void Recycle(std::unique_ptr<Group> group) ENGRAM_REQUIRES(mutex_);

  Logger& logger_;
  const OpenOptions options_;
  const std::string_view io_name_;

  std::atomic<uint64_t> next_lsn_{1};
  std::atomic<uint64_t> durable_lsn_{0};
  std::atomic<bool> latched_{false};
  std::atomic<uint64_t> appended_bytes_{0};
  std::atomic<uint64_t> groups_{0};
  std::atomic<uint64_t> records_{0};
  std::atomic<uint64_t> flush_ns_{0};

  mutable Mutex mutex_;
  std::deque<std::unique_ptr<Group>> queue_
      ENGRAM_GUARDED_BY(mutex_);                 // not yet written, oldest first
  bool open_ ENGRAM_GUARDED_BY(mutex_) = false;  // the last of the queue still takes records
  std::vector<std::unique_ptr<Group>> free_groups_ ENGRAM_GUARDED_BY(mutex_);
  uint64_t next_sequence_ ENGRAM_GUARDED_BY(mutex_) = 1;
  std::deque<std::shared_ptr<Segment>> segments_
      ENGRAM_GUARDED_BY(mutex_);  // oldest first; groups go to the last
  bool appending_ ENGRAM_GUARDED_BY(mutex_) =
      false;  // the last segment takes groups, from append_offset_bytes_ on
  uint64_t append_offset_bytes_ ENGRAM_GUARDED_BY(mutex_) =
      0;  // of the open group, or of the next one
  std::unique_ptr<Segment> next_segment_ ENGRAM_GUARDED_BY(mutex_);
  bool wrote_ ENGRAM_GUARDED_BY(mutex_) = false;   // since Open()
  bool closed_ ENGRAM_GUARDED_BY(mutex_) = false;  // CloseClean() was called
  bool full_ ENGRAM_GUARDED_BY(mutex_) = false;    // the last reservation failed: logged once
  Status latch_status_ ENGRAM_GUARDED_BY(mutex_);
  bool flushing_ ENGRAM_GUARDED_BY(mutex_) = false;
  uint64_t flushing_sequence_ ENGRAM_GUARDED_BY(mutex_) = 0;
  std::array<CondVar, kWaitSlots> slots_;
  std::array<uint32_t, kWaitSlots> waiters_ ENGRAM_GUARDED_BY(mutex_) = {};

  // Owned by the thread that set flushing_.
  std::unique_ptr<WriteQueue> io_;
  uint64_t epoch_ = 1;
  uint64_t segment_number_ = 0;  // of the last active segment
  uint64_t previous_epoch_ = 0;
  uint64_t end_offset_bytes_ = 0;
  uint32_t chain_ = 0;

  SegmentFiles files_;  // has its own mutex
};

// ---- Opening ----

Status LogWriter::Start(FileSystem& fs, const LogListing& listing) {
  const RecoveryResult& recovered = options_.recovered;
  const bool empty = listing.segments.empty();
  const uint64_t last = empty ? options_.applied.value : recovered.last.value;
  if (!empty && listing.segments.back().number != recovered.end.segment) {
    return Status::FailedPrecondition(options_.directory + ": the log changed after its recovery");
  }
  if (last < options_.applied.value) {
    return Status::InvalidArgument("the log ends at LSN " + std::to_string(last) +
                                   ", below the applied LSN " +
                                   std::to_string(options_.applied.value));
  }
  // Recovery made the bytes durable that it found, this does the same for the names.
  ENGRAM_TRY(fs.SyncDirectory(options_.directory));
  ENGRAM_TRY(files_.Adopt(listing));
  next_lsn_ = last + 1;
  durable_lsn_ = last;
  if (empty) return Status::Ok();
  MutexLock lock(mutex_);
  AdoptSegments(listing, last + 1);
  segment_number_ = recovered.end.segment;
  previous_epoch_ = recovered.end.epoch;
  end_offset_bytes_ = recovered.end.offset_bytes;
  chain_ = recovered.end.chain_crc;
  epoch_ = recovered.end.epoch + (recovered.clean_shutdown ? 0 : 1);
  if (recovered.clean_shutdown) {
    Segment& segment = *segments_.back();
    segment.size_bytes = listing.segments.back().header->size_bytes;
    ENGRAM_ASSIGN_OR_RETURN(segment.file, fs.Open(segment.path, OpenMode::kReadWriteDirect));
    appending_ = true;
    append_offset_bytes_ = recovered.end.offset_bytes;
  }
  return recovered.lost.empty() ? Status::Ok() : StartNewSegment();
}

void LogWriter::AdoptSegments(const LogListing& listing, uint64_t next_lsn) {
  // Backward: a damaged header (salvage) leaves the first LSN unknown; the next one bounds it.
  for (size_t i = listing.segments.size(); i-- > 0;) {
    const SegmentFile& found = listing.segments[i];
    if (found.header) next_lsn = found.header->first_lsn;
    auto segment = std::make_shared<Segment>();
    segment->first_lsn = next_lsn;
    segment->size_bytes = found.file_size_bytes;
    segment->path = found.path;
    segment->active = true;
    segments_.push_front(std::move(segment));
  }
}

Status LogWriter::StartNewSegment() {
  ENGRAM_TRY(ReserveSegment(kPageSizeBytes, true));
  UseNextSegment();
  OpenGroup();
  queue_.back()->flags = kGroupFlagCleanShutdown;
  wrote_ = true;
  return FlushAll();
}

// ---- Appending ----

Status LogWriter::CheckWritable() const {
  if (latched_) return latch_status_;
  if (closed_) return Status::FailedPrecondition("the log is closed");
  return Status::Ok();
}

Result<Lsn> LogWriter::Append(uint8_t type, Bytes payload, const AppendOptions& options) {
  if (type == 0 || payload.size() > kPayloadSizeBytesMax) {
    return Status::InvalidArgument("log record of type " + std::to_string(type) + " with " +
                                       std::to_string(payload.size()) + " bytes",
                                   "expected a type from 1 to 255 and at most " +
                                       std::to_string(kPayloadSizeBytesMax) + " bytes");
  }
  MutexLock lock(mutex_);
  ENGRAM_TRY(CheckWritable());
  const Status room = MakeRoom(kRecordHeaderSizeBytes + payload.size(), options);
  if (!room.ok()) {
    if (room.code() == StatusCode::kBusy) return room;
    if (room.code() == StatusCode::kFull && !full_) logger_.Warning("log: " + room.message());
    full_ = room.code() == StatusCode::kFull;
    return room;
  }
  if (full_ && !options.use_reserve) {
    full_ = false;
    logger_.Info("log: there is room again");
  }
  AddRecord(type, payload);
  const uint64_t lsn = next_lsn_.load(std::memory_order_relaxed);
  next_lsn_.store(lsn + 1, std::memory_order_release);
  return Lsn{lsn};
}

bool LogWriter::FitsSegment(const Segment& segment, uint64_t offset_bytes,
                            uint64_t body_bytes) const {
  // The last page is kept for the clean-shutdown record.
  return offset_bytes + GroupSizeOnDisk(body_bytes) + kPageSizeBytes <= segment.size_bytes;
}

bool LogWriter::FitsOpenGroup(uint64_t record_bytes) const {
  if (!open_) return false;
  const uint64_t body = queue_.back()->body_size_bytes() + record_bytes;
  const bool alone = queue_.back()->record_count == 0;  // may be larger than a group otherwise is
  return (alone || body <= options_.log.group_size_bytes_max) &&
         FitsSegment(*segments_.back(), append_offset_bytes_, body);
}

// On success there is an open group with a place for the record. May release the lock meanwhile.
Status LogWriter::MakeRoom(uint64_t record_bytes, const AppendOptions& options) {
  if (!options.use_reserve && !files_.has_reserve()) {
    if (!options.wait) return BusyNow();
    // Without the reserve the space that is left belongs to records that may use it.
    mutex_.unlock();
    const Status reserve = files_.EnsureReserve();
    mutex_.lock();
    ENGRAM_TRY(reserve);
    ENGRAM_TRY(CheckWritable());
  }
  while (!FitsOpenGroup(record_bytes)) {
    SealOpenGroup();
    if (queue_.size() > kSealedGroupsMax) {
      if (!options.wait) return BusyNow();
      if (flushing_) {
        WaitFor(flushing_sequence_);
      } else {
        FlushFront();
      }
      ENGRAM_TRY(CheckWritable());
    } else if (appending_ && FitsSegment(*segments_.back(), append_offset_bytes_, record_bytes)) {
      OpenGroup();
    } else if (next_segment_ && FitsSegment(*next_segment_, kPageSizeBytes, record_bytes)) {
      UseNextSegment();
    } else {
      if (!options.wait) return BusyNow();
      ENGRAM_TRY(ReserveSegment(GroupSizeOnDisk(record_bytes), options.use_reserve));
    }
  }
  return Status::Ok();
}

void LogWriter::OpenGroup() {
  auto group = std::make_unique<Group>();
  if (!free_groups_.empty()) {
    group = std::move(free_groups_.back());
    free_groups_.pop_back();
  }
  group->bytes.assign(kGroupHeaderSizeBytes, 0);
  group->body_checksum = 0;
  group->record_count = 0;
  group->flags = 0;
  group->first_lsn = next_lsn_;
  group->sequence = next_sequence_++;
  group->segment = segments_.back();
  group->offset_bytes = append_offset_bytes_;
  queue_.push_back(std::move(group));
  open_ = true;
}

void LogWriter::SealOpenGroup() {
  if (!open_) return;
  append_offset_bytes_ += GroupSizeOnDisk(queue_.back()->body_size_bytes());
  open_ = false;
}

void LogWriter::UseNextSegment() {
  next_segment_->first_lsn = next_lsn_;
  segments_.push_back(std::move(next_segment_));
  append_offset_bytes_ = kPageSizeBytes;
  appending_ = true;
}

Status LogWriter::ReserveSegment(uint64_t group_bytes, bool use_reserve) {
  const LogOptions& sizes = options_.log;
  const uint64_t required = group_bytes + 2 * kPageSizeBytes;
  const uint64_t grown =
      appending_ ? std::min(2 * segments_.back()->size_bytes, sizes.segment_size_bytes_max)
                 : sizes.segment_size_bytes_min;
  mutex_.unlock();
  auto taken = files_.Take({std::max(grown, required), required, use_reserve});
  mutex_.lock();
  if (!taken.ok()) return taken.status();
  next_segment_ = std::move(*taken);
  return CheckWritable();
}

void LogWriter::AddRecord(uint8_t type, Bytes payload) {
  Group& group = *queue_.back();
  const size_t start = group.bytes.size();
  const RecordHeader header{static_cast<uint32_t>(payload.size()), type, {}};
  const auto* header_bytes = reinterpret_cast<const uint8_t*>(&header);
  group.bytes.insert(group.bytes.end(), header_bytes, header_bytes + sizeof header);
  group.bytes.insert(group.bytes.end(), payload.begin(), payload.end());
  group.body_checksum = Crc32cExtend(group.body_checksum, Bytes(group.bytes).subspan(start));
  ++group.record_count;
  wrote_ = true;
}

// ---- Flushing ----

Status LogWriter::WaitDurable(Lsn lsn) {
  if (durable() >= lsn) return Status::Ok();
  MutexLock lock(mutex_);
  if (lsn >= next_lsn()) {
    return Status::InvalidArgument("LSN " + std::to_string(lsn.value) + " was not appended");
  }
  while (durable() < lsn) {
    if (latched_) return latch_status_;
    if (flushing_) {
      WaitFor(SequenceOf(lsn.value));
    } else {
      FlushFront();
    }
  }
  return Status::Ok();
}

uint64_t LogWriter::SequenceOf(uint64_t lsn) const {
  for (const auto& group : queue_) {
    if (lsn >= group->first_lsn && lsn <= group->last_lsn()) return group->sequence;
  }
  return flushing_sequence_;
}

void LogWriter::WaitFor(uint64_t sequence) {
  const size_t slot = sequence % kWaitSlots;
  ++waiters_[slot];
  slots_[slot].Wait(mutex_);
  --waiters_[slot];
}

// Wakes all who wait for this group, and one who waits for a later one: it writes that.
void LogWriter::WakeAfter(uint64_t sequence) {
  slots_[sequence % kWaitSlots].NotifyAll();
  if (latched_) {
    for (auto& slot : slots_) slot.NotifyAll();
    return;
  }
  for (const auto& group : queue_) {
    if (waiters_[group->sequence % kWaitSlots] == 0) continue;
    slots_[group->sequence % kWaitSlots].NotifyOne();
    return;
  }
}

// REQUIRES: !flushing_ and a group in the queue. Releases the lock while it writes.
void LogWriter::FlushFront() {
  ENGRAM_CHECK(!flushing_ && !queue_.empty());
  if (queue_.size() == 1) SealOpenGroup();
  std::unique_ptr<Group> group = std::move(queue_.front());
  queue_.pop_front();
  flushing_ = true;
  flushing_sequence_ = group->sequence;
  const uint64_t durable_lsn = durable_lsn_;
  mutex_.unlock();
  const Status written = WriteGroup(*group, durable_lsn);
  mutex_.lock();
  flushing_ = false;
  if (written.ok()) {
    group->segment->active = true;
    durable_lsn_.store(group->last_lsn(), std::memory_order_release);
  } else {
    Latch(written);
  }
  WakeAfter(group->sequence);
  Recycle(std::move(group));
}

void LogWriter::Recycle(std::unique_ptr<Group> group) {
  group->segment.reset();
  if (free_groups_.size() < kFreeGroupsMax) free_groups_.push_back(std::move(group));
}

void LogWriter::Latch(const Status& cause) {
  latch_status_ = Status::Fatal(
      "the log could not be written (" + cause.message() +
          "): the outcome of the writes in flight is unknown, and no more are accepted",
      "repair the device, then reopen the space: recovery keeps every acknowledged write");
  latched_ = true;
  logger_.Error("log: " + latch_status_.message());
}

Status LogWriter::ActivateSegment(const Group& group) {
  SegmentHeader header;
  header.segment = segment_number_ + 1;
  header.epoch = epoch_;
  header.first_lsn = group.first_lsn;
  header.previous_epoch = previous_epoch_;
  header.previous_end_bytes = end_offset_bytes_;
  header.previous_chain = chain_;
  ENGRAM_TRY(files_.Activate(group.segment.get(), header));
  segment_number_ = header.segment;
  previous_epoch_ = epoch_;
  chain_ = group.segment->chain;
  return Status::Ok();
}

void LogWriter::SealHeader(Group& group, uint64_t durable_lsn) {
  GroupHeader header{};
  header.flags = group.flags;
  header.store = StoreTag(options_.store_uuid);
  header.segment = segment_number_;
  header.epoch = epoch_;
  header.first_lsn = group.first_lsn;
  header.durable_lsn = durable_lsn;
  header.body_size_bytes = static_cast<uint32_t>(group.body_size_bytes());
  header.record_count = group.record_count;
  header.page = static_cast<uint32_t>(group.offset_bytes / kPageSizeBytes);
  header.chain = chain_;
  const size_t used = group.bytes.size();
  group.bytes.resize(RoundUpToPage(used), 0);
  const Bytes padding = Bytes(group.bytes).subspan(used);
  SealGroupHeader(&header, Crc32cExtend(group.body_checksum, padding));
  std::memcpy(group.bytes.data(), &header, sizeof header);
  chain_ = header.header_checksum;
}

Status LogWriter::WriteGroup(Group& group, uint64_t durable_lsn) {
  // The first group of a segment is always the one at its first page.
  const uint64_t begun_ns = Clock::System().MonotonicNs();
  if (group.offset_bytes == kPageSizeBytes) ENGRAM_TRY(ActivateSegment(group));
  SealHeader(group, durable_lsn);
  ENGRAM_TRY(io_->Submit(group.sequence, *group.segment->file, group.offset_bytes, group.bytes));
  ENGRAM_ASSIGN_OR_RETURN(const WriteQueue::Completion completion, io_->Wait());
  ENGRAM_TRY(completion.status);
  end_offset_bytes_ = group.offset_bytes + group.bytes.size();
  appended_bytes_.fetch_add(group.bytes.size(), std::memory_order_relaxed);
  groups_.fetch_add(1, std::memory_order_relaxed);
  records_.fetch_add(group.record_count, std::memory_order_relaxed);
  flush_ns_.fetch_add(Clock::System().MonotonicNs() - begun_ns, std::memory_order_relaxed);
  return Status::Ok();
}

Status LogWriter::FlushAll() {
  while (!latched_ && (flushing_ || !queue_.empty())) {
    if (flushing_) {
      WaitFor(flushing_sequence_);
    } else {
      FlushFront();
    }
  }
  return latch_status_;
}

// ---- The rest ----

Status LogWriter::CloseClean() {
  MutexLock lock(mutex_);
  const bool was_closed = std::exchange(closed_, true);
  ENGRAM_TRY(FlushAll());
  if (was_closed || !wrote_) return Status::Ok();
  OpenGroup();
  queue_.back()->flags = kGroupFlagCleanShutdown;
  return FlushAll();
}

Status LogWriter::ReleaseBelow(Lsn lsn) {
  for (;;) {
    std::shared_ptr<Segment> oldest;
    uint64_t wanted_size_bytes = 0;
    {
      MutexLock lock(mutex_);
      if (latched_) return latch_status_;
      // The last active segment stays: it carries epoch, number and LSN on.
      if (segments_.size() < 2 || !segments_[1]->active) return Status::Ok();
      if (segments_[1]->first_lsn > std::min(lsn.value, durable().value) + 1) return Status::Ok();
      oldest = segments_.front();
      segments_.pop_front();
      // Taking it again costs less than pre-writing a larger one: the log grows only while nothing
      // comes back.
      wanted_size_bytes = segments_.back()->size_bytes / 2;
    }
    bool is_gone = false;
    const Status retired = files_.Retire(*oldest, wanted_size_bytes, &is_gone);
    if (!retired.ok()) {
      MutexLock lock(mutex_);
      if (is_gone) {
        Latch(retired);  // the flush of its folder failed: what a crash leaves is not known
      } else {
        segments_.push_front(std::move(oldest));
      }
      return retired;
    }
  }
}

uint64_t LogWriter::size_bytes() const {
  const uint64_t spare_bytes = files_.spare_bytes();
  MutexLock lock(mutex_);
  uint64_t bytes = spare_bytes + (next_segment_ ? next_segment_->size_bytes : 0);
  for (const auto& segment : segments_) bytes += segment->size_bytes;
  return bytes;
}

}  // namespace

Result<std::unique_ptr<Log>> Log::Open(FileSystem& fs, Logger& logger, const OpenOptions& options) {
  ENGRAM_TRY(ValidateLogOptions(options.log));
  ENGRAM_ASSIGN_OR_RETURN(ChosenQueue queue, ChooseWriteQueue(fs, options.log.io));
  ENGRAM_TRY(CreateDirectories(fs, options.directory));
  ENGRAM_ASSIGN_OR_RETURN(const LogListing listing, ListLog(fs, options.directory));
  auto log = std::make_unique<LogWriter>(fs, logger, options, std::move(queue));
  ENGRAM_TRY(log->Start(fs, listing));
  logger.Info("log: " + options.directory + " open, next LSN " +
              std::to_string(log->next_lsn().value) + ", I/O " + std::string(log->io_name()));
  return std::unique_ptr<Log>(std::move(log));
}

}  // namespace engram::wal
