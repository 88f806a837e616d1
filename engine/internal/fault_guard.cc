#include "engine/internal/fault_guard.h"

#include <csignal>
#include <initializer_list>

namespace engram::engine::internal {

constinit thread_local std::jmp_buf* volatile t_guarded_call = nullptr;

namespace {

struct sigaction g_previous[NSIG];

// A handler that is left by a jump leaves its signal blocked where somebody wraps it (the thread
// sanitizer does): the next fault would be the end.
void Unblock(int number) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, number);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

void OnFault(int number, siginfo_t* info, void* context) {
  if (t_guarded_call != nullptr && info->si_code > 0) {  // a real fault, not one that was sent
    Unblock(number);
    LeaveGuardedCall();
  }
  const struct sigaction& previous = g_previous[number];
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(number, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    return previous.sa_handler(number);
  }
  sigaction(number, &previous, nullptr);
  if (info->si_code <= 0) raise(number);  // else the same instruction faults again
}

bool Install() {
  struct sigaction action = {};
  action.sa_sigaction = OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (int number : {SIGSEGV, SIGBUS}) {
    if (sigaction(number, &action, &g_previous[number]) != 0) return false;
  }
  return true;
}

}  // namespace

void InstallFaultGuard() { [[maybe_unused]] static const bool installed = Install(); }

}  // namespace engram::engine::internal
