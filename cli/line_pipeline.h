// Reads lines from a descriptor as they come, parses them on a thread of its own, and hands what
// is ready to the caller's thread in batches: while one batch becomes durable the next is parsed.
#ifndef ENGRAM_CLI_LINE_PIPELINE_H_
#define ENGRAM_CLI_LINE_PIPELINE_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"

namespace engram::cli {

// Delivers each line without its end; the last may lack one. Blocks for input until `stop_fd`
// becomes readable. `on_line` returns false to stop. kIo when reading fails, kInvalidArgument for a
// line above 256 MiB.
Status ReadLines(int input_fd, int stop_fd,
                 const std::function<bool(uint64_t number, std::string_view line)>& on_line);

// A descriptor that is readable once Raise() was called or `other_fd` is.
class StopSignal {
 public:
  explicit StopSignal(int other_fd);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  void Raise();
  int fd() const { return epoll_fd_; }

 private:
  int event_fd_;
  int epoll_fd_;
};

// Item must be movable and have `uint64_t line` and `uint64_t size_bytes`.
template <typename Item>
class LinePipeline {
 public:
  using Parse = std::function<Result<Item>(uint64_t number, std::string_view line)>;
  // Stores a batch in order; an error ends the run.
  using Commit = std::function<Status(std::vector<Item>*)>;

  // Returns the first error: of the commit, else of reading or parsing, after everything before
  // it was committed. Empty lines are skipped. `cancel_fd` readable: ends as at the end of input.
  Status Run(int input_fd, int cancel_fd, const Parse& parse, const Commit& commit) {
    StopSignal stop(cancel_fd);
    std::thread reader([&] { Read(input_fd, stop.fd(), parse); });
    Status committed = CommitAll(commit);
    {
      std::lock_guard lock(mutex_);
      abandoned_ = true;
    }
    stop.Raise();
    changed_.notify_all();
    reader.join();
    return committed.ok() ? read_status_ : committed;
  }

 private:
  static constexpr size_t kQueuedItemsMax = 4096;
  static constexpr uint64_t kQueuedBytesMax = 64u << 20;

  void Read(int input_fd, int stop_fd, const Parse& parse) {
    Status parse_error;
    Status status = ReadLines(input_fd, stop_fd, [&](uint64_t number, std::string_view line) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) return true;
      Result<Item> item = parse(number, line);
      if (!item.ok()) parse_error = item.status();
      return item.ok() && Push(std::move(item).value());
    });
    std::lock_guard lock(mutex_);
    read_status_ = parse_error.ok() ? status : parse_error;
    finished_ = true;
    changed_.notify_all();
  }

  bool Push(Item item) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return abandoned_ || (queue_.size() < kQueuedItemsMax && queued_bytes_ < kQueuedBytesMax);
    });
    if (abandoned_) return false;
    queued_bytes_ += item.size_bytes;
    queue_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }

  Status CommitAll(const Commit& commit) {
    while (true) {
      std::vector<Item> batch;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return finished_ || !queue_.empty(); });
        if (queue_.empty()) return Status::Ok();
        batch.swap(queue_);
        queued_bytes_ = 0;
        changed_.notify_all();
      }
      ENGRAM_TRY(commit(&batch));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Protected by mutex_.
  std::vector<Item> queue_;
  uint64_t queued_bytes_ = 0;
  bool finished_ = false;
  bool abandoned_ = false;
  Status read_status_;  // written before finished_
};

}  // namespace engram::cli

#endif  // ENGRAM_CLI_LINE_PIPELINE_H_
