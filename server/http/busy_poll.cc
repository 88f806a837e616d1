#include "server/http/busy_poll.h"

#include <algorithm>

namespace engram::server {

void BusyPoll::Works(const void* client, uint64_t now_ns) {
  if (use_.last_client.load(std::memory_order_relaxed) != client) {
    use_.last_client.store(client, std::memory_order_relaxed);
    use_.in_a_row.store(0, std::memory_order_relaxed);
    short_waits_ = 0;
  } else if (use_.in_a_row.load(std::memory_order_relaxed) < kInARow) {
    use_.in_a_row.fetch_add(1, std::memory_order_relaxed);
  }
  if (waits_since_ns_ == 0) return;
  last_wait_ns_ = now_ns - std::min(now_ns, waits_since_ns_);
  waits_since_ns_ = 0;
  short_waits_ =
      last_wait_ns_ < limit_ns_ ? std::min(short_waits_ + 1, 2 * kSteady) : short_waits_ / 2;
}

bool BusyPoll::LooksAgain(uint64_t now_ns) {
  if (waits_since_ns_ == 0) waits_since_ns_ = now_ns;
  return use_.several_cores && use_.in_a_row.load(std::memory_order_relaxed) >= kInARow &&
         last_wait_ns_ < limit_ns_ && now_ns - waits_since_ns_ < limit_ns_;
}

}  // namespace engram::server
