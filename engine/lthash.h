// Multiset hash over record digests (LtHash): 1024 lanes of u16 added mod 2^16. The lanes of one
// record are the AES-256-CTR keystream of 2048 bytes keyed by its digest, zero IV, little-endian.
// Order and history do not matter; adding and removing cost O(1). docs/format/digest.md.
#ifndef ENGRAM_ENGINE_LTHASH_H_
#define ENGRAM_ENGINE_LTHASH_H_

#include <array>
#include <cstdint>

#include "base/crypto.h"
#include "base/ids.h"

namespace engram::engine {

class LtHash {
 public:
  static constexpr uint32_t kLaneCount = 1024;
  static constexpr uint32_t kSizeBytes = 2 * kLaneCount;

  void Add(const Sha256Digest& digest);
  void Remove(const Sha256Digest& digest);
  void Add(const LtHash& other);
  void Subtract(const LtHash& other);
  bool operator==(const LtHash&) const = default;

  // What is published: SHA-256 of the lanes as 2048 little-endian bytes.
  Sha256Digest Publish() const;
  Bytes bytes() const { return {reinterpret_cast<const uint8_t*>(lanes_.data()), kSizeBytes}; }
  // REQUIRES: bytes.size() == kSizeBytes. Check the size of stored bytes first.
  static LtHash FromBytes(Bytes bytes);

 private:
  alignas(64) std::array<uint16_t, kLaneCount> lanes_{};
};

// Sum of record digests mod 2^256 (little-endian) with a count, for localising a mismatch.
struct RangeSum {
  std::array<uint8_t, 32> sum{};
  uint64_t count = 0;
  void Add(const Sha256Digest& digest);
  void Remove(const Sha256Digest& digest);
  bool operator==(const RangeSum&) const = default;
};
inline constexpr uint64_t kRangeKeyCount = 4096;  // node keys per range
inline uint64_t RangeOf(NodeKey key) { return key.value / kRangeKeyCount; }

// What the sums of edges and bindings are made of. The ordinal (at the source, at the episode) is
// part of it: the order of parallel edges is content.
Sha256Digest EdgeDigest(const Uuid& source, uint64_t ordinal, const Uuid& target, float weight);
Sha256Digest BindingDigest(const Uuid& episode, uint64_t ordinal, const Uuid& concept_node,
                           float strength, float contribution);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_LTHASH_H_
