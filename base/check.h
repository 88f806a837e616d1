// Invariant checks for programmer errors; they stay on in release. Bytes from disk or from
// clients are never checked this way: they produce a Status.
#ifndef ENGRAM_BASE_CHECK_H_
#define ENGRAM_BASE_CHECK_H_

namespace engram::internal {
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);
}  // namespace engram::internal

// Aborts with the expression and its place when `condition` is false.
#define ENGRAM_CHECK(condition)                                        \
  do {                                                                 \
    if (!(condition)) [[unlikely]]                                     \
      ::engram::internal::CheckFailed(#condition, __FILE__, __LINE__); \
  } while (false)

#endif  // ENGRAM_BASE_CHECK_H_
