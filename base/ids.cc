#include "base/ids.h"

#include "base/ascii.h"
#include "base/coding.h"
#include "base/crypto.h"
#include "base/utf8.h"

namespace engram {
namespace {

constexpr size_t kSpaceIdSizeMin = 3;
constexpr size_t kSpaceIdSizeMax = 64;

bool IsSpaceIdByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool IsHyphenPosition(size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

}  // namespace

std::string Uuid::ToString() const {
  std::string hex = ToHex(bytes);
  for (size_t i : {8, 13, 18, 23}) hex.insert(i, 1, '-');
  return hex;
}

Result<Uuid> Uuid::Parse(std::string_view text) {
  const Status error = Status::InvalidArgument(
      "not a UUID: expected 36 lowercase hexadecimal characters with hyphens");
  if (text.size() != 36) return error;
  Uuid uuid;
  size_t nibble = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (IsHyphenPosition(i)) {
      if (text[i] != '-') return error;
      continue;
    }
    int value = HexDigit(text[i]);
    if (value < 0) return error;
    uuid.bytes[nibble / 2] |= static_cast<uint8_t>(value << (nibble % 2 == 0 ? 4 : 0));
    ++nibble;
  }
  return uuid;
}

Result<Uuid> Uuid::Random() {
  Uuid uuid;
  ENGRAM_TRY(FillRandom(uuid.bytes));
  uuid.bytes[6] = (uuid.bytes[6] & 0x0f) | 0x40;
  uuid.bytes[8] = (uuid.bytes[8] & 0x3f) | 0x80;
  return uuid;
}

Result<SpaceId> SpaceId::Parse(std::string_view text) {
  const std::string hint = "a space id has 3 to 64 characters of a-z, 0-9, - and _";
  std::string_view name = TrimWhitespace(text);
  if (name.empty()) return Status::InvalidArgument("the space id is empty", hint);
  if (name.size() < kSpaceIdSizeMin || name.size() > kSpaceIdSizeMax) {
    return Status::InvalidArgument(
        "the space id has " + std::to_string(name.size()) + " bytes, expected 3 to 64", hint);
  }
  for (char c : name) {
    if (!IsSpaceIdByte(c)) {
      return Status::InvalidArgument(
          "the space id \"" + std::string(name) + "\" has a character outside a-z, 0-9, - and _",
          hint);
    }
  }
  return SpaceId(std::string(name));
}

}  // namespace engram
