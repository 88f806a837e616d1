#include "migration/ingest_pipeline.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace engram::migration {
namespace {

struct Range {
  uint64_t first = 0;
  uint64_t last = 0;
};

std::vector<Range> Cut(const PipelineOptions& options, const SourceIndex& index,
                       const WorkList& work) {
  std::vector<Range> out;
  std::vector<RecordRef> refs;
  Range range;
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < work.size(); ++i) {
    uint64_t size = 0;
    index.Contributions(work[i].index_id, &refs);
    for (const RecordRef& ref : refs) size += ref.payload_size_bytes;
    bool full = i - range.first >= options.records_max || bytes + size > options.bytes_max;
    if (full && i > range.first) {
      out.push_back(range);
      range.first = i;
      bytes = 0;
    }
    bytes += size;
    range.last = i + 1;
  }
  if (range.last > range.first) out.push_back(range);
  return out;
}

class Pipeline {
 public:
  Pipeline(const PipelineOptions& options, const SourceIndex& index,
           const BatchBuilder::Options& build, const WorkList& work)
      : index_(index),
        build_(build),
        work_(work),
        ranges_(Cut(options, index, work)),
        in_flight_max_(std::max<uint64_t>(options.batches_max, options.workers + 1)) {}

  Status Run(uint32_t workers, const std::function<Status(IngestBatch&)>& write) {
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < workers; ++i) threads.emplace_back([this] { Work(); });
    Status status = Consume(write);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads) thread.join();
    return status;
  }

 private:
  using BatchPtr = std::unique_ptr<IngestBatch>;

  Status Consume(const std::function<Status(IngestBatch&)>& write) {
    BatchBuilder builder(index_, build_);
    for (uint64_t i = 0; i < ranges_.size(); ++i) {
      ENGRAM_ASSIGN_OR_RETURN(BatchPtr batch, Await(i, &builder));
      ENGRAM_TRY(write(*batch));
      {
        std::lock_guard<std::mutex> lock(mutex_);
        free_.push_back(std::move(batch));
        written_ = i + 1;
      }
      changed_.notify_all();
    }
    return Status::Ok();
  }

  // Batch `i`; fills others on this thread until it is there.
  Result<BatchPtr> Await(uint64_t i, BatchBuilder* builder) {
    while (true) {
      uint64_t taken = 0;
      BatchPtr mine;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return !error_.ok() || ready_.contains(i) || MayTake(); });
        if (!error_.ok()) return error_;
        if (auto found = ready_.find(i); found != ready_.end()) {
          BatchPtr batch = std::move(found->second);
          ready_.erase(found);
          return batch;
        }
        mine = TakeLocked(&taken);
      }
      Fill(builder, taken, std::move(mine));
    }
  }

  void Work() {
    BatchBuilder builder(index_, build_);
    while (true) {
      uint64_t i = 0;
      BatchPtr batch;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || taken_ == ranges_.size() || MayTake(); });
        if (stop_ || taken_ == ranges_.size()) return;
        batch = TakeLocked(&i);
      }
      Fill(&builder, i, std::move(batch));
    }
  }

  void Fill(BatchBuilder* builder, uint64_t i, BatchPtr batch) {
    Status status = builder->Build(work_, ranges_[i].first, ranges_[i].last, batch.get());
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (status.ok()) {
        ready_[i] = std::move(batch);
      } else if (error_.ok()) {
        error_ = status;
        stop_ = true;
      }
    }
    changed_.notify_all();
  }

  // REQUIRES: mutex_ held, for this and the next.
  bool MayTake() const { return taken_ < ranges_.size() && taken_ < written_ + in_flight_max_; }
  BatchPtr TakeLocked(uint64_t* i) {
    *i = taken_++;
    if (free_.empty()) return std::make_unique<IngestBatch>();
    BatchPtr batch = std::move(free_.back());
    free_.pop_back();
    return batch;
  }

  const SourceIndex& index_;
  const BatchBuilder::Options& build_;
  const WorkList& work_;
  const std::vector<Range> ranges_;
  const uint64_t in_flight_max_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  uint64_t taken_ = 0;
  uint64_t written_ = 0;
  bool stop_ = false;
  Status error_;
  std::map<uint64_t, BatchPtr> ready_;
  std::vector<BatchPtr> free_;
};

}  // namespace

Status RunPipeline(const PipelineOptions& options, const SourceIndex& index,
                   const BatchBuilder::Options& build, const WorkList& work,
                   const std::function<Status(IngestBatch&)>& write) {
  return Pipeline(options, index, build, work).Run(options.workers, write);
}

}  // namespace engram::migration
