#include "server/graph/in_parallel.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace engram::server {
namespace {

constexpr size_t kThreadsMax = 16;

}  // namespace

void InParallel(size_t count, const std::function<void(size_t index)>& work) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) work(i);
  };
  std::vector<std::thread> others;
  others.reserve(kThreadsMax);
  try {
    while (others.size() + 1 < std::min(count, kThreadsMax)) others.emplace_back(run);
  } catch (const std::system_error&) {
    // Those there are do all of it.
  }
  run();
  for (std::thread& other : others) other.join();
}

}  // namespace engram::server
