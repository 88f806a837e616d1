// Tells systemd what the server is doing: one datagram per change to the socket it names
// (sd_notify(3)). Without such a socket every call does nothing.
#ifndef ENGRAM_SERVER_LIFECYCLE_SERVICE_MANAGER_H_
#define ENGRAM_SERVER_LIFECYCLE_SERVICE_MANAGER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace engram::server {

// Belongs to one thread.
class ServiceManager {
 public:
  // NOTIFY_SOCKET, a path or "@" and an abstract name; WATCHDOG_USEC and WATCHDOG_PID.
  explicit ServiceManager(const std::map<std::string, std::string>& environment);
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  void Ready(std::string_view status);
  void Reloading();  // Ready() follows when it is done
  void Stopping();
  void Watchdog();
  // How often Watchdog() is to be called: half of what systemd waits for. nullopt: it does not.
  std::optional<uint64_t> watchdog_interval_ms() const { return watchdog_interval_ms_; }

 private:
  void Send(const std::string& text);
  std::string socket_name_;
  int descriptor_ = -1;
  std::optional<uint64_t> watchdog_interval_ms_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_LIFECYCLE_SERVICE_MANAGER_H_
