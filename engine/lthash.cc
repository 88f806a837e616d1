#include "engine/lthash.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace engram::engine {
namespace {

struct Lanes {
  alignas(64) uint16_t values[LtHash::kLaneCount];
};

// The lanes of one digest, valid until the next call on this thread.
const Lanes& LanesOf(const Sha256Digest& digest) {
  thread_local Keystream keystream;
  thread_local Lanes lanes;
  keystream.Generate(digest, {reinterpret_cast<uint8_t*>(lanes.values), LtHash::kSizeBytes});
  return lanes;
}

// Plain loops over restrict pointers: the compiler turns them into vector additions.
void AddLanes(const uint16_t* __restrict from, uint16_t* __restrict to) {
  for (uint32_t i = 0; i < LtHash::kLaneCount; ++i) to[i] = static_cast<uint16_t>(to[i] + from[i]);
}
void SubtractLanes(const uint16_t* __restrict from, uint16_t* __restrict to) {
  for (uint32_t i = 0; i < LtHash::kLaneCount; ++i) to[i] = static_cast<uint16_t>(to[i] - from[i]);
}

constexpr std::string_view kEdgeDomain("engram/edge/1\0", 14);
constexpr std::string_view kBindingDomain("engram/binding/1\0", 17);

void PutFloat(std::string* out, float value) { PutLe(out, std::bit_cast<uint32_t>(value)); }

}  // namespace

void LtHash::Add(const Sha256Digest& digest) { AddLanes(LanesOf(digest).values, lanes_.data()); }
void LtHash::Remove(const Sha256Digest& digest) {
  SubtractLanes(LanesOf(digest).values, lanes_.data());
}
void LtHash::Add(const LtHash& other) {
  const LtHash addend = other;  // `other` may be this
  AddLanes(addend.lanes_.data(), lanes_.data());
}
void LtHash::Subtract(const LtHash& other) {
  const LtHash subtrahend = other;
  SubtractLanes(subtrahend.lanes_.data(), lanes_.data());
}

Sha256Digest LtHash::Publish() const { return Sha256Of(bytes()); }

LtHash LtHash::FromBytes(Bytes bytes) {
  ENGRAM_CHECK(bytes.size() == kSizeBytes);
  LtHash hash;
  std::memcpy(hash.lanes_.data(), bytes.data(), kSizeBytes);
  return hash;
}

void RangeSum::Add(const Sha256Digest& digest) {
  unsigned __int128 carry = 0;
  for (size_t i = 0; i < sum.size(); i += 8) {
    carry += LoadLe<uint64_t>(&sum[i]);
    carry += LoadLe<uint64_t>(&digest[i]);
    StoreLe(&sum[i], static_cast<uint64_t>(carry));
    carry >>= 64;
  }
  ++count;
}

void RangeSum::Remove(const Sha256Digest& digest) {
  uint64_t borrow = 0;
  for (size_t i = 0; i < sum.size(); i += 8) {
    const auto minuend = LoadLe<uint64_t>(&sum[i]);
    const auto subtrahend = static_cast<unsigned __int128>(LoadLe<uint64_t>(&digest[i])) + borrow;
    borrow = subtrahend > minuend ? 1 : 0;
    StoreLe(&sum[i], static_cast<uint64_t>(minuend - subtrahend));
  }
  --count;
}

Sha256Digest EdgeDigest(const Uuid& source, uint64_t ordinal, const Uuid& target, float weight) {
  std::string bytes(kEdgeDomain);
  PutBytes(&bytes, source.bytes);
  PutLe(&bytes, ordinal);
  PutBytes(&bytes, target.bytes);
  PutFloat(&bytes, weight);
  return Sha256Of(AsBytes(bytes));
}

Sha256Digest BindingDigest(const Uuid& episode, uint64_t ordinal, const Uuid& concept_node,
                           float strength, float contribution) {
  std::string bytes(kBindingDomain);
  PutBytes(&bytes, episode.bytes);
  PutLe(&bytes, ordinal);
  PutBytes(&bytes, concept_node.bytes);
  PutFloat(&bytes, strength);
  PutFloat(&bytes, contribution);
  return Sha256Of(AsBytes(bytes));
}

}  // namespace engram::engine
