#include "server/http/awake_cores.h"

#include <fcntl.h>
#include <unistd.h>

namespace engram::server {
namespace {

constexpr int32_t kNoSleep = 0;
constexpr int32_t kNoBound = -1;

}  // namespace

AwakeCores::AwakeCores(const std::string& device) {
  if (!device.empty()) device_ = ::open(device.c_str(), O_WRONLY | O_CLOEXEC);
}

AwakeCores::~AwakeCores() {
  Release();
  if (available()) ::close(device_);
}

void AwakeCores::Hold() {
  if (held_ || !available()) return;
  Bound(kNoSleep);
  held_ = available();
}

void AwakeCores::Release() {
  if (!held_) return;
  held_ = false;
  Bound(kNoBound);
}

void AwakeCores::Bound(int32_t latency_us) {
  if (::pwrite(device_, &latency_us, sizeof latency_us, 0) == sizeof latency_us) return;
  ::close(device_);  // which takes back what was asked for
  device_ = -1;
}

}  // namespace engram::server
