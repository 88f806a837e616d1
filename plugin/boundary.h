// What every slot of the table needs: errors that cross without throwing, and input structs of any
// minor version.
#ifndef ENGRAM_PLUGIN_BOUNDARY_H_
#define ENGRAM_PLUGIN_BOUNDARY_H_

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>

#include "base/coding.h"
#include "base/ids.h"
#include "base/result.h"
#include "engram/engram_storage_engine.h"

namespace engram::plugin {

inline std::string_view ToView(engram_se_bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data), bytes.size_bytes};
}
inline engram_se_bytes ToBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// What an error says, as views: delivering it allocates nothing.
struct ErrorText {
  StatusCode code;
  std::string_view message;
  std::string_view hint;
  int os_errno = 0;
};
// Writes to `error` (may be null) as far as its struct_size allows, and returns the code.
engram_se_status DeliverText(const ErrorText& text, engram_se_error* error) noexcept;
engram_se_status Deliver(const Status& status, engram_se_error* error) noexcept;

// Runs the body of a slot, which returns a Status. Nothing is thrown past it.
template <typename Body>
engram_se_status Guarded(engram_se_error* error, Body&& body) noexcept {
  try {
    return Deliver(body(), error);
  } catch (const std::bad_alloc&) {
    return DeliverText({StatusCode::kFatal, "no memory left", "give the process more memory"},
                       error);
  } catch (const std::exception& exception) {
    return DeliverText({StatusCode::kFatal, exception.what(), "report this"}, error);
  } catch (...) {
    return DeliverText({StatusCode::kFatal, "unknown exception", "report this"}, error);
  }
}

// Assigns the LSN of a write, or passes its error on.
inline Status SetLsn(const Result<Lsn>& written, uint64_t* lsn_out) {
  if (!written.ok()) return written.status();
  *lsn_out = written->value;
  return Status::Ok();
}

// A copy of an input struct as this version knows it: what the caller's version lacks is zero.
template <typename Struct>
Struct Taken(const Struct* given) {
  Struct copy{};
  if (given == nullptr) return copy;
  std::memcpy(&copy, given, std::min<size_t>(given->struct_size, sizeof copy));
  copy.struct_size = sizeof copy;
  return copy;
}

// Fills a struct of the caller's as far as it goes; its struct_size stays.
template <typename Struct>
Status Give(Struct filled, Struct* given) {
  if (given == nullptr || given->struct_size < sizeof given->struct_size) {
    return Status::InvalidArgument("no struct to fill was given, or its struct_size is not set",
                                   "set struct_size to the size of the struct");
  }
  filled.struct_size = given->struct_size;
  std::memcpy(given, &filled, std::min<size_t>(given->struct_size, sizeof filled));
  return Status::Ok();
}

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_BOUNDARY_H_
