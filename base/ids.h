// Identities that must not mix. Lsn 0 and NodeKey 0 mean "none".
#ifndef ENGRAM_BASE_IDS_H_
#define ENGRAM_BASE_IDS_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace engram {

// Log sequence number of one space: dense, starts at 1.
struct Lsn {
  uint64_t value = 0;
  auto operator<=>(const Lsn&) const = default;
};

// Dense key of a node in one space, fixed in the log record that creates it; never reused.
struct NodeKey {
  uint64_t value = 0;
  auto operator<=>(const NodeKey&) const = default;
};

// Key of one immutable embedding row; never reused.
struct VectorKey {
  uint64_t value = 0;
  auto operator<=>(const VectorKey&) const = default;
};

// 16 bytes in RFC 4122 order.
struct Uuid {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const Uuid&) const = default;
  std::string ToString() const;  // 36 lowercase characters with hyphens
  // Accepts only the 36-character lowercase hyphenated form.
  static Result<Uuid> Parse(std::string_view text);
  // Random (version 4), from the operating system.
  static Result<Uuid> Random();
};

// A validated space name: 3 to 64 bytes of a-z 0-9 - _ (upstream's rule, engram-formats.md 1.3).
class SpaceId {
 public:
  // Trims outer whitespace as upstream does, then validates; kInvalidArgument says which rule
  // broke.
  static Result<SpaceId> Parse(std::string_view text);
  const std::string& str() const { return name_; }
  auto operator<=>(const SpaceId&) const = default;

 private:
  explicit SpaceId(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

}  // namespace engram

#endif  // ENGRAM_BASE_IDS_H_
