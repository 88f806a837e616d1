// A store lives in memory-mapped files. Damage in them, a file that was cut under the map, a device
// that fails: all of that is a signal, and would end a process that serves other stores as well.
// Inside a guarded call it is a result.
//
// The guard takes SIGSEGV and SIGBUS of the whole process the first time it is used; what does not
// come from a guarded call goes on to whoever had them before.
#ifndef ENGRAM_ENGINE_INTERNAL_FAULT_GUARD_H_
#define ENGRAM_ENGINE_INTERNAL_FAULT_GUARD_H_

#include <csetjmp>

namespace engram::engine::internal {

// Once per process; further calls cost nothing.
void InstallFaultGuard();

// Where a fault of this thread leads; null outside of guarded calls.
extern constinit thread_local std::jmp_buf* volatile t_guarded_call;

// Leaves the guarded call of this thread as a fault does; returns if there is none.
inline void LeaveGuardedCall() {
  if (t_guarded_call != nullptr) std::longjmp(*t_guarded_call, 1);
}

// Whether `call` came to its end. REQUIRES: InstallFaultGuard(); `call` holds nothing that has to
// be given back (C code without locks, stores into a map).
template <typename Call>
bool RunGuarded(Call call) {
  std::jmp_buf here;
  std::jmp_buf* volatile* const slot = &t_guarded_call;  // found once: a plugin asks the loader
  std::jmp_buf* const outer = *slot;
  if (setjmp(here) != 0) {
    *slot = outer;
    return false;
  }
  *slot = &here;
  call();
  *slot = outer;
  return true;
}

}  // namespace engram::engine::internal

#endif  // ENGRAM_ENGINE_INTERNAL_FAULT_GUARD_H_
