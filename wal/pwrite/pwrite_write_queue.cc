#include "wal/pwrite/pwrite_write_queue.h"

#include <deque>

#include "base/check.h"

namespace engram::wal {
namespace {

class PwriteWriteQueue : public WriteQueue {
 public:
  Status Submit(uint64_t token, File& file, uint64_t offset, Bytes bytes) override {
    done_.push_back({token, file.WriteAtDurable(offset, bytes)});
    return Status::Ok();
  }
  Result<Completion> Wait() override {
    ENGRAM_CHECK(!done_.empty());
    Completion completion = std::move(done_.front());
    done_.pop_front();
    return completion;
  }

 private:
  std::deque<Completion> done_;
};

}  // namespace

std::unique_ptr<WriteQueue> NewPwriteWriteQueue() { return std::make_unique<PwriteWriteQueue>(); }

}  // namespace engram::wal
