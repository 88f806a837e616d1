#include "cli/signals.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace engram::cli {
namespace {

// A handler can reach nothing but globals.
std::atomic<bool> g_cancelled{false};
int g_wake_fd = -1;

void OnSignal(int) {
  const int saved_errno = errno;
  g_cancelled.store(true);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(g_wake_fd, &one, sizeof one);
  errno = saved_errno;
}

}  // namespace

void InstallSignalHandlers() {
  g_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file at the limit of `ulimit -f` is an error of that write
}

const std::atomic<bool>& CancelFlag() { return g_cancelled; }
int CancelDescriptor() { return g_wake_fd; }

}  // namespace engram::cli
