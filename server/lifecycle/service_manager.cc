#include "server/lifecycle/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>

namespace engram::server {
namespace {

std::string Find(const std::map<std::string, std::string>& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

std::optional<uint64_t> Number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

uint64_t MonotonicMicroseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

ServiceManager::ServiceManager(const std::map<std::string, std::string>& environment)
    : socket_name_(Find(environment, "NOTIFY_SOCKET")) {
  sockaddr_un address{};
  const bool usable = socket_name_.size() > 1 && socket_name_.size() < sizeof address.sun_path &&
                      (socket_name_[0] == '/' || socket_name_[0] == '@');
  if (!usable) return;
  descriptor_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto period_us = Number(Find(environment, "WATCHDOG_USEC"));
  const auto pid = Number(Find(environment, "WATCHDOG_PID"));
  if (!period_us || *period_us == 0 || (pid && *pid != static_cast<uint64_t>(::getpid()))) return;
  watchdog_interval_ms_ = std::max<uint64_t>(*period_us / 2000, 1);
}

ServiceManager::~ServiceManager() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ServiceManager::Ready(std::string_view status) {
  Send("READY=1\nSTATUS=" + std::string(status) + "\nMAINPID=" + std::to_string(::getpid()));
}

void ServiceManager::Reloading() {
  Send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(MonotonicMicroseconds()));
}

void ServiceManager::Stopping() { Send("STOPPING=1"); }

void ServiceManager::Watchdog() { Send("WATCHDOG=1"); }

// A datagram that cannot be sent is dropped: the server does not depend on its observer.
void ServiceManager::Send(const std::string& text) {
  if (descriptor_ < 0) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_name_.data(), socket_name_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_name_.size());
  [[maybe_unused]] const ssize_t sent =
      ::sendto(descriptor_, text.data(), text.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), size);
}

}  // namespace engram::server
