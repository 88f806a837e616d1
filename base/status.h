// The result of a fallible call. A Status names what the caller can do about it; OK is one null
// pointer. A message meant for a user says what was wrong, the hint says what to do.
#ifndef ENGRAM_BASE_STATUS_H_
#define ENGRAM_BASE_STATUS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace engram {

// Shared with the C ABI (engram_se_status): values are never reused or renumbered.
enum class StatusCode : int32_t {
  kOk = 0,
  kNotFound = 1,            // what was named does not exist
  kInvalidArgument = 2,     // the caller's input is wrong
  kFull = 3,                // no space on the device or in the map; may clear itself
  kBusy = 4,                // another process or handle holds it; try later
  kCorruption = 5,          // stored bytes fail their check; the message names file and offset
  kIo = 6,                  // the operating system reported an error
  kUnsupported = 7,         // unknown version, missing feature
  kFatal = 8,               // the handle is latched and must be reopened
  kFailedPrecondition = 9,  // right call, wrong state (finalized, ingest pending, ...)
  kCancelled = 10,          // interrupted on request; state is checkpointed
};

// "NOT_FOUND", "CORRUPTION", ...: the names used in JSON errors.
std::string_view StatusCodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(StatusCode code, std::string message, std::string hint = "");
  Status(const Status& other);
  Status& operator=(const Status& other);
  Status(Status&&) = default;
  Status& operator=(Status&&) = default;

  static Status Ok() { return Status(); }
  static Status NotFound(std::string message, std::string hint = "");
  static Status InvalidArgument(std::string message, std::string hint = "");
  static Status Full(std::string message, std::string hint = "");
  static Status Busy(std::string message, std::string hint = "");
  static Status Corruption(std::string message, std::string hint = "");
  static Status Io(std::string message, std::string hint = "");
  static Status Unsupported(std::string message, std::string hint = "");
  static Status Fatal(std::string message, std::string hint = "");
  static Status FailedPrecondition(std::string message, std::string hint = "");
  static Status Cancelled(std::string message, std::string hint = "");
  // Maps errno: ENOENT -> kNotFound, ENOSPC/EDQUOT -> kFull, EAGAIN/EBUSY -> kBusy, EACCES/EPERM/
  // EROFS and the rest -> kIo. `what` names the operation and the file: "open /x/STORE".
  static Status FromErrno(int error_number, std::string_view what);

  bool ok() const { return rep_ == nullptr; }
  StatusCode code() const { return rep_ ? rep_->code : StatusCode::kOk; }
  const std::string& message() const;
  const std::string& hint() const;
  int os_errno() const { return rep_ ? rep_->os_errno : 0; }
  Status WithHint(std::string hint) const;
  // The same error with "context: " before its message.
  Status WithContext(std::string_view context) const;
  std::string ToString() const;  // "CORRUPTION: message"

 private:
  struct Rep {
    StatusCode code;
    int os_errno = 0;
    std::string message;
    std::string hint;
  };
  std::unique_ptr<Rep> rep_;
};

// Drops an error on purpose and says why.
inline void IgnoreError(const Status&, const char* /*reason*/) {}

}  // namespace engram

#endif  // ENGRAM_BASE_STATUS_H_
