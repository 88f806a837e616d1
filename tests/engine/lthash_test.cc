#include "engine/lthash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/testing/record_generator.h"

namespace engram::engine {
namespace {

using engram::testing::RecordGenerator;

Sha256Digest DigestOf(std::string_view text) { return Sha256Of(AsBytes(text)); }
std::string Published(const LtHash& hash) { return ToHex(hash.Publish()); }

std::vector<Sha256Digest> RandomDigests(uint64_t seed, size_t count) {
  RecordGenerator random(seed);
  std::vector<Sha256Digest> digests(count);
  for (Sha256Digest& digest : digests) {
    for (size_t i = 0; i < digest.size(); i += 8) StoreLe(&digest[i], random.Bits());
  }
  return digests;
}

// The expected values were computed with Python's cryptography and hashlib.
TEST(LtHashTest, EmptySumIsTheHashOfZeros) {
  EXPECT_EQ(Published(LtHash()),
            "e5a00aa9991ac8a5ee3109844d84a55583bd20572ad3ffcd42792f3c36b183ad");
}

TEST(LtHashTest, LanesAreTheKeystreamOfTheDigest) {
  LtHash hash;
  hash.Add(DigestOf("a"));
  EXPECT_EQ(ToHex(hash.bytes().first(16)), "3ea02d42ae653a06bafc3a023e2e16bb");
  EXPECT_EQ(Published(hash), "f3fa2116e38c077aa8db876a3a68df904145b0cd3522b13fc9c0fd0baae4e6b5");
}

TEST(LtHashTest, CountsRepetitions) {
  LtHash hash;
  for (const char* text : {"b", "a", "b"}) hash.Add(DigestOf(text));
  EXPECT_EQ(Published(hash), "3b8c70add7569971494dd09fc95f3b04334d923198f81ac588e1dca6b1046c6a");
  hash.Remove(DigestOf("b"));
  LtHash once;
  once.Add(DigestOf("a"));
  once.Add(DigestOf("b"));
  EXPECT_EQ(hash, once);
}

TEST(LtHashTest, OrderAndHistoryDoNotMatter) {
  std::vector<Sha256Digest> digests = RandomDigests(1, 200);
  LtHash expected;
  for (const auto& digest : digests) expected.Add(digest);
  for (uint64_t seed = 2; seed < 12; ++seed) {
    RecordGenerator random(seed);
    for (size_t i = digests.size() - 1; i > 0; --i) {
      std::swap(digests[i], digests[random.Below(i + 1)]);
    }
    const std::vector<Sha256Digest> passing = RandomDigests(seed, 50);
    LtHash hash;
    for (size_t i = 0; i < digests.size(); ++i) {
      if (i < passing.size()) hash.Add(passing[i]);
      hash.Add(digests[i]);
    }
    for (const auto& digest : passing) hash.Remove(digest);
    ASSERT_EQ(hash, expected);
  }
}

TEST(LtHashTest, RemovingBeforeAddingWrapsAndComesBack) {
  LtHash hash;
  hash.Remove(DigestOf("a"));
  EXPECT_NE(hash, LtHash());
  hash.Add(DigestOf("a"));
  EXPECT_EQ(hash, LtHash());
}

TEST(LtHashTest, SumOfSumsIsTheSumOfAll) {
  const std::vector<Sha256Digest> digests = RandomDigests(3, 60);
  LtHash all, parts[3], sum;
  for (size_t i = 0; i < digests.size(); ++i) {
    all.Add(digests[i]);
    parts[i % 3].Add(digests[i]);
  }
  for (const LtHash& part : parts) sum.Add(part);
  EXPECT_EQ(sum, all);
  sum.Subtract(parts[0]);
  sum.Subtract(parts[1]);
  EXPECT_EQ(sum, parts[2]);
}

TEST(LtHashTest, ASumMayBeAddedToItself) {
  LtHash hash, twice;
  hash.Add(DigestOf("a"));
  twice.Add(DigestOf("a"));
  twice.Add(DigestOf("a"));
  hash.Add(hash);
  EXPECT_EQ(hash, twice);
  hash.Subtract(hash);
  EXPECT_EQ(hash, LtHash());
}

TEST(LtHashTest, AnyOneBitOfADigestChangesTheSum) {
  const Sha256Digest base = DigestOf("a");
  LtHash expected;
  expected.Add(base);
  for (size_t bit = 0; bit < 256; ++bit) {
    Sha256Digest changed = base;
    changed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    LtHash hash;
    hash.Add(changed);
    ASSERT_NE(hash, expected) << "bit " << bit;
  }
}

TEST(LtHashTest, BytesRoundTrip) {
  LtHash hash;
  for (const auto& digest : RandomDigests(4, 5)) hash.Add(digest);
  EXPECT_EQ(LtHash::FromBytes(hash.bytes()), hash);
}

TEST(RangeSumTest, IsASumOfLittleEndianNumbers) {
  RangeSum sum;
  sum.Add(DigestOf("a"));
  sum.Add(DigestOf("b"));
  sum.Add(DigestOf("b"));
  EXPECT_EQ(ToHex(sum.sum), "46de5140ca8d6f5f61d5d07d63e63fb7bd01e5f92425a806506854e35a284af5");
  EXPECT_EQ(sum.count, 3u);
}

TEST(RangeSumTest, CarriesAndBorrowsThroughAllWords) {
  Sha256Digest ones, one{};
  ones.fill(0xff);
  one[0] = 1;
  RangeSum sum;
  sum.Add(ones);
  sum.Add(one);
  EXPECT_EQ(sum.sum, Sha256Digest{});  // 2^256 wraps
  sum.Remove(one);
  EXPECT_EQ(sum.sum, ones);
  sum.Remove(ones);
  EXPECT_EQ(sum, RangeSum());
}

TEST(RangeSumTest, AddAndRemoveInAnyOrderCancel) {
  const std::vector<Sha256Digest> digests = RandomDigests(5, 500);
  RangeSum sum;
  for (const auto& digest : digests) sum.Add(digest);
  for (auto it = digests.rbegin(); it != digests.rend(); ++it) sum.Remove(*it);
  EXPECT_EQ(sum, RangeSum());
}

TEST(RangeSumTest, RangesHold4096Keys) {
  EXPECT_EQ(RangeOf(NodeKey{1}), 0u);
  EXPECT_EQ(RangeOf(NodeKey{4095}), 0u);
  EXPECT_EQ(RangeOf(NodeKey{4096}), 1u);
}

Uuid UuidFrom(uint8_t first) {
  Uuid uuid;
  std::iota(uuid.bytes.begin(), uuid.bytes.end(), first);
  return uuid;
}

TEST(EdgeDigestTest, GoldenValues) {
  EXPECT_EQ(ToHex(EdgeDigest(UuidFrom(0), 7, UuidFrom(16), 0.5f)),
            "9158252a634d92bfcaa65c14600a55ebdf5691023abaf59df16c0570ee774499");
  EXPECT_EQ(ToHex(BindingDigest(UuidFrom(0), 7, UuidFrom(16), 0.5f, 0.25f)),
            "ce91f1f320553c5d97f8b334e0cadb07893aaeb9d016dde885c52691942c42bb");
}

TEST(EdgeDigestTest, EveryPartCounts) {
  const Uuid a = UuidFrom(0), b = UuidFrom(16);
  const Sha256Digest edge = EdgeDigest(a, 7, b, 0.0f);
  EXPECT_NE(edge, EdgeDigest(b, 7, a, 0.0f));
  EXPECT_NE(edge, EdgeDigest(a, 8, b, 0.0f));
  EXPECT_NE(edge, EdgeDigest(a, 7, b, -0.0f));
  const Sha256Digest binding = BindingDigest(a, 7, b, 0.5f, 0.25f);
  EXPECT_NE(binding, BindingDigest(b, 7, a, 0.5f, 0.25f));
  EXPECT_NE(binding, BindingDigest(a, 6, b, 0.5f, 0.25f));
  EXPECT_NE(binding, BindingDigest(a, 7, b, 0.25f, 0.5f));
}

}  // namespace
}  // namespace engram::engine
