// The signals of a server as events: SIGTERM and SIGINT end it, SIGHUP makes it read its
// configuration again.
#ifndef ENGRAM_SERVER_LIFECYCLE_SIGNALS_H_
#define ENGRAM_SERVER_LIFECYCLE_SIGNALS_H_

#include <csignal>
#include <cstdint>
#include <memory>

#include "base/result.h"

namespace engram::server {

class SignalEvents {
 public:
  enum class Event { kStop, kReload, kTimeout };

  // Blocks the signals in the calling thread, and so in all threads it makes from now on: call it
  // before the first. SIGPIPE is ignored: a client that goes is a failed write.
  static Result<std::unique_ptr<SignalEvents>> Block();
  ~SignalEvents();  // the thread's signals are as they were
  SignalEvents(const SignalEvents&) = delete;
  SignalEvents& operator=(const SignalEvents&) = delete;

  // On the thread that blocked. Negative: no timeout.
  Event Wait(int64_t timeout_ms);
  // Whether Wait() would return kStop now or behind a reload. On the thread that blocked.
  bool StopIsPending() const;
  // From any thread: Wait() returns kStop.
  void RequestStop();
  // The next SIGTERM or SIGINT ends the process at once, for a shutdown that hangs; SIGHUP is
  // ignored.
  void LetTheNextOneKill();

 private:
  SignalEvents(int signal_descriptor, int stop_descriptor, const sigset_t& previous_mask);
  const int signal_descriptor_;
  const int stop_descriptor_;
  sigset_t previous_mask_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_LIFECYCLE_SIGNALS_H_
