#include "engine/record.h"

#include <algorithm>

namespace engram::engine {
namespace {

// docs/format/store.md: fixed for ever, as every node key of every store depends on it.
constexpr uint8_t kUuidNamespace[16] = {0x8d, 0x2f, 0x1b, 0x5c, 0x4e, 0x07, 0x4a, 0x93,
                                        0xb6, 0x70, 0x25, 0xe9, 0xc1, 0x3d, 0x5a, 0x48};
constexpr size_t kUuidTextSizeBytes = 36;
constexpr uint8_t kUuidVersionHashed = 8;

bool TakesItsOwnUuid(std::string_view id, Uuid* out) {
  if (id.size() != kUuidTextSizeBytes) return false;
  Result<Uuid> parsed = Uuid::Parse(id);
  if (!parsed.ok() || parsed->bytes[6] >> 4 == kUuidVersionHashed) return false;
  *out = *parsed;
  return true;
}

}  // namespace

std::string_view LayoutName(Layout layout) {
  switch (layout) {
    case Layout::kNone:
      return "";
    case Layout::kE0:
      return "E0";
    case Layout::kE1:
      return "E1";
    case Layout::kE2:
      return "E2";
    case Layout::kE3:
      return "E3";
    case Layout::kM:
      return "M";
  }
  return "";
}

Uuid NodeUuid(const SpaceId& space, std::string_view id) {
  Uuid uuid;
  if (TakesItsOwnUuid(id, &uuid)) return uuid;
  thread_local Sha256 sha256;
  static constexpr uint8_t kSeparator[1] = {0};
  sha256.Reset();
  sha256.Update(kUuidNamespace);
  sha256.Update(AsBytes(space.str()));
  sha256.Update(kSeparator);
  sha256.Update(AsBytes(id));
  const Sha256Digest digest = sha256.Finish();
  std::copy_n(digest.begin(), uuid.bytes.size(), uuid.bytes.begin());
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | kUuidVersionHashed << 4);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

Tier TierOf(float activation) {
  if (activation >= 0.7f) return Tier::kHot;
  if (activation >= 0.3f) return Tier::kWarm;
  return Tier::kCold;  // NaN compares false twice
}

std::string_view TierName(Tier tier) {
  switch (tier) {
    case Tier::kHot:
      return "hot";
    case Tier::kWarm:
      return "warm";
    case Tier::kCold:
      return "cold";
  }
  return "";
}

}  // namespace engram::engine
