#include "base/status.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace engram {
namespace internal {

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant violated: %s\n", file, line, expression);
  std::abort();
}

}  // namespace internal

namespace {

const std::string kEmpty;

StatusCode CodeFromErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
      return StatusCode::kNotFound;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return StatusCode::kFull;
    case EAGAIN:
    case EBUSY:
      return StatusCode::kBusy;
    default:
      return StatusCode::kIo;
  }
}

const char* HintFromErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
      return "check that the path exists";
    case ENOSPC:
    case EDQUOT:
      return "free space on the device, then run the command again";
    case EACCES:
    case EPERM:
      return "check the owner and the mode of the file and of its folder";
    case EROFS:
      return "the file system is read-only: choose a writable --data-root";
    default:
      return "";
  }
}

}  // namespace

std::string_view StatusCodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "OK";
    case StatusCode::kNotFound:
      return "NOT_FOUND";
    case StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case StatusCode::kFull:
      return "FULL";
    case StatusCode::kBusy:
      return "BUSY";
    case StatusCode::kCorruption:
      return "CORRUPTION";
    case StatusCode::kIo:
      return "IO";
    case StatusCode::kUnsupported:
      return "UNSUPPORTED";
    case StatusCode::kFatal:
      return "FATAL";
    case StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case StatusCode::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

Status::Status(StatusCode code, std::string message, std::string hint)
    : rep_(new Rep{code, 0, std::move(message), std::move(hint)}) {
  ENGRAM_CHECK(code != StatusCode::kOk);
}

Status::Status(const Status& other) : rep_(other.rep_ ? new Rep(*other.rep_) : nullptr) {}

Status& Status::operator=(const Status& other) {
  if (this != &other) rep_.reset(other.rep_ ? new Rep(*other.rep_) : nullptr);
  return *this;
}

#define ENGRAM_DEFINE_STATUS_FACTORY_(Name)                                  \
  Status Status::Name(std::string message, std::string hint) {               \
    return Status(StatusCode::k##Name, std::move(message), std::move(hint)); \
  }
ENGRAM_DEFINE_STATUS_FACTORY_(NotFound)
ENGRAM_DEFINE_STATUS_FACTORY_(InvalidArgument)
ENGRAM_DEFINE_STATUS_FACTORY_(Full)
ENGRAM_DEFINE_STATUS_FACTORY_(Busy)
ENGRAM_DEFINE_STATUS_FACTORY_(Corruption)
ENGRAM_DEFINE_STATUS_FACTORY_(Io)
ENGRAM_DEFINE_STATUS_FACTORY_(Unsupported)
ENGRAM_DEFINE_STATUS_FACTORY_(Fatal)
ENGRAM_DEFINE_STATUS_FACTORY_(FailedPrecondition)
ENGRAM_DEFINE_STATUS_FACTORY_(Cancelled)
#undef ENGRAM_DEFINE_STATUS_FACTORY_

Status Status::FromErrno(int error_number, std::string_view what) {
  Status status(CodeFromErrno(error_number), std::string(what) + ": " + std::strerror(error_number),
                HintFromErrno(error_number));
  status.rep_->os_errno = error_number;
  return status;
}

const std::string& Status::message() const { return rep_ ? rep_->message : kEmpty; }
const std::string& Status::hint() const { return rep_ ? rep_->hint : kEmpty; }

Status Status::WithHint(std::string hint) const {
  Status copy = *this;
  if (copy.rep_) copy.rep_->hint = std::move(hint);
  return copy;
}

Status Status::WithContext(std::string_view context) const {
  Status copy = *this;
  if (copy.rep_) copy.rep_->message = std::string(context) + ": " + copy.rep_->message;
  return copy;
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  return std::string(StatusCodeName(code())) + ": " + message();
}

}  // namespace engram
