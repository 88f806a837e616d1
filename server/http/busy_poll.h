// Whether an event loop that has nothing to do looks again at once or goes to sleep. Waking a core
// that sleeps costs more than most requests: while one client asks again as soon as it is answered,
// its loop stays awake for a bounded time. Not with several clients, for there is mostly something
// to do then, nor while a request is at work on the pool: polling would take a core from the client
// in the one case, from the flush in the other.
#ifndef ENGRAM_SERVER_HTTP_BUSY_POLL_H_
#define ENGRAM_SERVER_HTTP_BUSY_POLL_H_

#include <atomic>
#include <cstdint>

namespace engram::server {

// Who is at work in a listener; shared by its loops. Thread-safe; a race costs one decision.
struct CoreUse {
  bool several_cores = false;
  std::atomic<const void*> last_client{nullptr};
  std::atomic<uint32_t> in_a_row{0};  // times that the last client came, and no other
};

// Of one loop: one thread at a time.
class BusyPoll {
 public:
  static constexpr uint32_t kInARow = 8;
  static constexpr uint32_t kSteady = 32;

  // `limit_ns` 0: never. `use` outlives it.
  BusyPoll(CoreUse& use, uint64_t limit_ns) : use_(use), limit_ns_(limit_ns) {}
  BusyPoll(const BusyPoll&) = delete;
  BusyPoll& operator=(const BusyPoll&) = delete;

  bool enabled() const { return limit_ns_ != 0; }
  // There is something to do for `client`, as of now.
  void Works(const void* client, uint64_t now_ns);
  // One client alone has come for a while.
  bool HasOneClient() const {
    return enabled() && use_.in_a_row.load(std::memory_order_relaxed) >= kInARow;
  }
  // It is done elsewhere.
  void HandedOver() { use_.in_a_row.store(0, std::memory_order_relaxed); }
  // Nothing is. True: look again at once. False: sleep. It polls while one client alone comes, if
  // the last wait was shorter than the limit and until this one is not.
  bool LooksAgain(uint64_t now_ns);
  // The one client hardly rests: of its waits so many in a row were short, but for a long one now
  // and then.
  bool IsSteady() const { return HasOneClient() && short_waits_ >= kSteady; }
  // What was done for it took long, so that it gains nothing by being answered at once.
  void TookLong() { short_waits_ = 0; }

 private:
  static constexpr uint64_t kLong = UINT64_MAX;

  CoreUse& use_;
  const uint64_t limit_ns_;
  uint64_t waits_since_ns_ = 0;    // 0: at work
  uint64_t last_wait_ns_ = kLong;  // how long the one before was
  uint32_t short_waits_ = 0;       // of the client, up to twice kSteady; a long one halves them
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_BUSY_POLL_H_
