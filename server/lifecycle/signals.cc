#include "server/lifecycle/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace engram::server {
namespace {

sigset_t ServedSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Result<std::unique_ptr<SignalEvents>> SignalEvents::Block() {
  const sigset_t served = ServedSignals();
  sigset_t previous;
  pthread_sigmask(SIG_BLOCK, &served, &previous);
  std::signal(SIGPIPE, SIG_IGN);
  const int signals = ::signalfd(-1, &served, SFD_CLOEXEC | SFD_NONBLOCK);
  const int stop = signals < 0 ? -1 : ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop < 0) {
    const Status status = Status::FromErrno(errno, "make descriptors for signals");
    if (signals >= 0) ::close(signals);
    pthread_sigmask(SIG_SETMASK, &previous, nullptr);
    return status;
  }
  return std::unique_ptr<SignalEvents>(new SignalEvents(signals, stop, previous));
}

SignalEvents::SignalEvents(int signal_descriptor, int stop_descriptor,
                           const sigset_t& previous_mask)
    : signal_descriptor_(signal_descriptor),
      stop_descriptor_(stop_descriptor),
      previous_mask_(previous_mask) {}

SignalEvents::~SignalEvents() {
  ::close(signal_descriptor_);
  ::close(stop_descriptor_);
  pthread_sigmask(SIG_SETMASK, &previous_mask_, nullptr);
}

SignalEvents::Event SignalEvents::Wait(int64_t timeout_ms) {
  pollfd waiting[2] = {{stop_descriptor_, POLLIN, 0}, {signal_descriptor_, POLLIN, 0}};
  const int64_t longest = std::numeric_limits<int>::max();
  const int ready = ::poll(waiting, 2, static_cast<int>(std::min(timeout_ms, longest)));
  if (ready <= 0) return Event::kTimeout;
  if (waiting[0].revents != 0) return Event::kStop;
  signalfd_siginfo info{};
  if (::read(signal_descriptor_, &info, sizeof info) != sizeof info) return Event::kTimeout;
  return info.ssi_signo == SIGHUP ? Event::kReload : Event::kStop;
}

bool SignalEvents::StopIsPending() const {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  if (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1) return true;
  pollfd stop{stop_descriptor_, POLLIN, 0};
  return ::poll(&stop, 1, 0) == 1;
}

void SignalEvents::RequestStop() {
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then the event is there.
  [[maybe_unused]] const ssize_t written = ::write(stop_descriptor_, &one, sizeof one);
}

void SignalEvents::LetTheNextOneKill() {
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGHUP, SIG_IGN);  // there is nothing left to reload, and the mask ends before us
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_UNBLOCK, &ending, nullptr);
}

}  // namespace engram::server
