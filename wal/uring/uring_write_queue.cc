#include "wal/uring/uring_write_queue.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "base/check.h"

namespace engram::wal {
namespace {

constexpr unsigned kRingEntries = 64;

// One write in flight.
struct Operation {
  uint64_t token = 0;
  const File* file = nullptr;  // for the message
  uint64_t size_bytes = 0;
  bool done = false;  // this and the result: under the ring's mutex until waited for
  int result = 0;     // bytes or -errno
};

// The ring of the process. Thread-safe: one waiter at a time reaps for all.
class Ring {
 public:
  // Null and a reason in `*why` if the kernel refuses.
  static std::unique_ptr<Ring> Create(Status* why);
  ~Ring() {
    if (set_up_) io_uring_queue_exit(&ring_);
  }

  // `operation` must live until Wait(operation) returned.
  Status Submit(Operation* operation, int fd, uint64_t offset_bytes, Bytes bytes);
  Status Wait(Operation* operation);

 private:
  Status Probe();
  void Reap(io_uring_cqe* first);

  std::mutex mutex_;  // protects all but the waiting itself
  std::condition_variable reaped_;
  io_uring ring_{};
  bool set_up_ = false;
  bool broken_ = false;  // an entry that could not be submitted is stuck in the ring
  unsigned in_flight_ = 0;
  bool reaping_ = false;
};

Status Refused(const char* what, int error_number) {
  return Status::Unsupported(
      std::string("io_uring is not usable here: ") + what + ": " + std::strerror(error_number),
      "containers often forbid it by seccomp, and kernel.io_uring_disabled does; use --log-io "
      "auto or pwrite, which is as durable");
}

std::unique_ptr<Ring> Ring::Create(Status* why) {
  auto ring = std::make_unique<Ring>();
  if (const int error = io_uring_queue_init(kRingEntries, &ring->ring_, 0); error < 0) {
    *why = Refused("io_uring_setup", -error);
    return nullptr;
  }
  ring->set_up_ = true;
  *why = ring->Probe();
  if (!why->ok()) return nullptr;
  return ring;
}

// A write with RWF_DSYNC to a file in memory: setup can succeed where operations are forbidden.
Status Ring::Probe() {
  const int fd = memfd_create("engram-probe", MFD_CLOEXEC);
  if (fd < 0) return Refused("memfd_create", errno);
  const uint8_t byte = 1;
  Operation operation;
  operation.size_bytes = 1;
  Status status = Submit(&operation, fd, 0, {&byte, 1});
  if (status.ok()) status = Wait(&operation);
  close(fd);
  if (!status.ok()) return Refused(status.message().c_str(), status.os_errno());
  if (operation.result < 0) return Refused("durable write", -operation.result);
  return Status::Ok();
}

Status Ring::Submit(Operation* operation, int fd, uint64_t offset_bytes, Bytes bytes) {
  std::unique_lock lock(mutex_);
  // The completion queue has twice the entries, so it cannot overflow below this bound.
  reaped_.wait(lock, [this] { return in_flight_ < kRingEntries; });
  if (broken_) return Status::Io("io_uring_submit failed before on this ring");
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  ENGRAM_CHECK(sqe != nullptr);
  io_uring_prep_write(sqe, fd, bytes.data(), static_cast<unsigned>(bytes.size()), offset_bytes);
  sqe->rw_flags = RWF_DSYNC;
  io_uring_sqe_set_data(sqe, operation);
  int submitted;
  do {
    submitted = io_uring_submit(&ring_);
  } while (submitted == -EINTR || submitted == -EAGAIN);
  if (submitted < 1) {
    broken_ = true;
    return Status::FromErrno(submitted < 0 ? -submitted : EIO, "io_uring_submit");
  }
  ++in_flight_;
  return Status::Ok();
}

void Ring::Reap(io_uring_cqe* first) {
  io_uring_cqe* cqe = first;
  do {
    auto* operation = static_cast<Operation*>(io_uring_cqe_get_data(cqe));
    operation->result = cqe->res;
    operation->done = true;
    --in_flight_;
    io_uring_cqe_seen(&ring_, cqe);
  } while (io_uring_peek_cqe(&ring_, &cqe) == 0);
}

Status Ring::Wait(Operation* operation) {
  std::unique_lock lock(mutex_);
  while (!operation->done) {
    if (reaping_) {
      reaped_.wait(lock);
      continue;
    }
    reaping_ = true;
    lock.unlock();
    io_uring_cqe* cqe = nullptr;
    const int error = io_uring_wait_cqe(&ring_, &cqe);
    lock.lock();
    reaping_ = false;
    if (error == 0) Reap(cqe);
    reaped_.notify_all();
    // A ring that cannot be waited for leaves its writes with an unknown outcome.
    if (error != 0 && error != -EINTR && error != -EAGAIN) {
      return Status::FromErrno(-error, "io_uring_wait_cqe");
    }
  }
  return Status::Ok();
}

struct SharedRing {
  std::unique_ptr<Ring> ring;
  Status why;
};

SharedRing& Shared() {
  static SharedRing& shared = *[] {
    auto* made = new SharedRing;  // lives as long as the process
    made->ring = Ring::Create(&made->why);
    return made;
  }();
  return shared;
}

class UringWriteQueue : public WriteQueue {
 public:
  explicit UringWriteQueue(Ring& ring) : ring_(ring) {}
  // A write in flight refers to its Operation.
  ~UringWriteQueue() override {
    while (!pending_.empty()) IgnoreError(Wait().status(), "the owner gave up on it");
  }

  Status Submit(uint64_t token, File& file, uint64_t offset, Bytes bytes) override {
    auto operation = std::make_unique<Operation>();
    operation->token = token;
    operation->file = &file;
    operation->size_bytes = bytes.size();
    if (file.native_fd() < 0) return SubmitWithoutRing(std::move(operation), file, offset, bytes);
    ENGRAM_TRY(ring_.Submit(operation.get(), file.native_fd(), offset, bytes));
    pending_.push_back({std::move(operation), true, Status::Ok()});
    return Status::Ok();
  }

  Result<Completion> Wait() override {
    ENGRAM_CHECK(!pending_.empty());
    Pending pending = std::move(pending_.front());
    pending_.pop_front();
    if (pending.on_ring) {
      const Status waited = ring_.Wait(pending.operation.get());
      if (!waited.ok()) {
        // The kernel may still write through it.
        static_cast<void>(pending.operation.release());
        return waited;
      }
      pending.status = StatusOf(*pending.operation);
    }
    return Completion{pending.operation->token, std::move(pending.status)};
  }

 private:
  struct Pending {
    std::unique_ptr<Operation> operation;
    bool on_ring = false;
    Status status;
  };

  Status SubmitWithoutRing(std::unique_ptr<Operation> operation, File& file, uint64_t offset,
                           Bytes bytes) {
    Status status = file.WriteAtDurable(offset, bytes);
    pending_.push_back({std::move(operation), false, std::move(status)});
    return Status::Ok();
  }

  static Status StatusOf(const Operation& operation) {
    const std::string what = "write " + operation.file->path();
    if (operation.result < 0) return Status::FromErrno(-operation.result, what);
    if (static_cast<uint64_t>(operation.result) == operation.size_bytes) return Status::Ok();
    return Status::Io(what + ": short write, expected " + std::to_string(operation.size_bytes) +
                      " bytes, actual " + std::to_string(operation.result));
  }

  Ring& ring_;
  std::deque<Pending> pending_;
};

}  // namespace

Result<std::unique_ptr<WriteQueue>> NewUringWriteQueue() {
  SharedRing& shared = Shared();
  if (!shared.ring) return shared.why;
  return std::unique_ptr<WriteQueue>(std::make_unique<UringWriteQueue>(*shared.ring));
}

}  // namespace engram::wal
