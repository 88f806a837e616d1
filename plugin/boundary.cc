#include "plugin/boundary.h"

#include <cstddef>
#include <span>

namespace engram::plugin {
namespace {

// As much of `text` as fits with its NUL, cut between characters.
void CopyText(std::string_view text, std::span<char> out) {
  size_t size = std::min(text.size(), out.size() - 1);
  const auto continues = [&](size_t at) { return (text[at] & 0xC0) == 0x80; };
  while (size > 0 && size < text.size() && continues(size)) --size;
  std::memcpy(out.data(), text.data(), size);
  out[size] = '\0';
}

bool Covers(const engram_se_error& error, size_t end) { return error.struct_size >= end; }

}  // namespace

engram_se_status DeliverText(const ErrorText& text, engram_se_error* error) noexcept {
  const auto code = static_cast<engram_se_status>(text.code);
  if (error == nullptr || code == ENGRAM_SE_OK) return code;
  if (!Covers(*error, offsetof(engram_se_error, message) + sizeof error->message)) return code;
  error->status = code;
  error->os_errno = text.os_errno;
  error->engine_code = 0;
  error->offset_bytes = ENGRAM_SE_UNKNOWN_OFFSET;
  CopyText(text.message, error->message);
  if (Covers(*error, offsetof(engram_se_error, hint) + sizeof error->hint)) {
    CopyText(text.hint, error->hint);
  }
  return code;
}

engram_se_status Deliver(const Status& status, engram_se_error* error) noexcept {
  return DeliverText({status.code(), status.message(), status.hint(), status.os_errno()}, error);
}

}  // namespace engram::plugin
