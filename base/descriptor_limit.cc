#include "base/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace engram {

void RaiseDescriptorLimit() {
  constexpr rlim_t kDescriptorsWanted = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kDescriptorsWanted) return;
  limit.rlim_cur = std::min(limit.rlim_max, kDescriptorsWanted);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace engram
