// Result<T>: a value or a Status that is not OK; and the two macros that pass errors on.
#ifndef ENGRAM_BASE_RESULT_H_
#define ENGRAM_BASE_RESULT_H_

#include <tl/expected.hpp>
#include <utility>

#include "base/status.h"

namespace engram {

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : rep_(std::move(value)) {}
  // REQUIRES: !status.ok()
  Result(Status status) : rep_(tl::unexpected<Status>(std::move(status))) {}
  template <typename U>
  requires(std::is_convertible_v<U&&, T> && !std::is_convertible_v<U&&, Status> &&
           !std::is_same_v<std::remove_cvref_t<U>, Result>) Result(U&& value)
      : rep_(T(std::forward<U>(value))) {}

  bool ok() const { return rep_.has_value(); }
  Status status() const { return ok() ? Status::Ok() : rep_.error(); }

  T& value() & { return *rep_; }
  const T& value() const& { return *rep_; }
  T&& value() && { return std::move(*rep_); }
  T& operator*() & { return *rep_; }
  const T& operator*() const& { return *rep_; }
  T&& operator*() && { return std::move(*rep_); }
  T* operator->() { return &*rep_; }
  const T* operator->() const { return &*rep_; }

 private:
  tl::expected<T, Status> rep_;
};

}  // namespace engram

// Returns from the enclosing function when `expression` (a Status) is an error.
#define ENGRAM_TRY(expression)                               \
  do {                                                       \
    ::engram::Status engram_try_status_ = (expression);      \
    if (!engram_try_status_.ok()) return engram_try_status_; \
  } while (false)

#define ENGRAM_CONCAT_INNER_(a, b) a##b
#define ENGRAM_CONCAT_(a, b) ENGRAM_CONCAT_INNER_(a, b)
#define ENGRAM_ASSIGN_OR_RETURN_(result, lhs, expression) \
  auto result = (expression);                             \
  if (!result.ok()) return result.status();               \
  lhs = std::move(result).value()
// ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(...)): assigns the value or returns the error.
#define ENGRAM_ASSIGN_OR_RETURN(lhs, expression) \
  ENGRAM_ASSIGN_OR_RETURN_(ENGRAM_CONCAT_(engram_result_, __LINE__), lhs, expression)

#endif  // ENGRAM_BASE_RESULT_H_
