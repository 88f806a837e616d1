#include <gtest/gtest.h>

#include <set>

#include "base/crc32c.h"
#include "base/crypto.h"
#include "base/sha256_batch.h"

namespace engram {
namespace {

TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xE3069283u);
  EXPECT_EQ(Crc32c(AsBytes("Hello world!")), 0x7B98E751u);
  EXPECT_EQ(Crc32c({}), 0u);
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\0'))), 0x8A9136AAu);    // RFC 3720 B.4
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\xff'))), 0x62A8AB43u);  // RFC 3720 B.4
}

TEST(Crc32c, ExtendingInAnyPartsEqualsTheWhole) {
  const std::string text = "every way to cut these bytes in two gives one checksum";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    uint32_t first = Crc32c(AsBytes(text.substr(0, cut)));
    EXPECT_EQ(Crc32cExtend(first, AsBytes(text.substr(cut))), Crc32c(AsBytes(text))) << cut;
  }
}

// Short and long inputs take different ways.
TEST(Crc32c, TheSizesBetweenTwoWaysGiveTheChecksumOfTheirParts) {
  std::string text;
  for (int i = 0; i < 600; ++i) text.push_back(static_cast<char>(i * 37 + i / 7));
  for (size_t size = 0; size <= text.size(); ++size) {
    uint32_t by_byte = 0;
    for (size_t i = 0; i < size; ++i) {
      by_byte = Crc32cExtend(by_byte, AsBytes(text).subspan(i, 1));
    }
    ASSERT_EQ(Crc32c(AsBytes(text).first(size)), by_byte) << size;
    for (size_t cut : {size / 3, size - std::min<size_t>(size, 5)}) {
      const uint32_t first = Crc32c(AsBytes(text).first(cut));
      ASSERT_EQ(Crc32cExtend(first, AsBytes(text).subspan(cut, size - cut)), by_byte) << size;
    }
  }
}

TEST(Crc32c, EverySingleBitFlipIsSeen) {
  std::string text(64, 'q');
  const uint32_t good = Crc32c(AsBytes(text));
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    text[bit / 8] ^= static_cast<char>(1 << bit % 8);
    EXPECT_NE(Crc32c(AsBytes(text)), good);
    text[bit / 8] ^= static_cast<char>(1 << bit % 8);
  }
}

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(ToHex(Sha256Of({})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha256Of(AsBytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256Of(AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, OneObjectHashesManyMessagesInParts) {
  Sha256 sha256;
  for (int i = 0; i < 3; ++i) {
    sha256.Reset();
    sha256.Update(AsBytes("a"));
    sha256.Update(AsBytes("bc"));
    EXPECT_EQ(sha256.Finish(), Sha256Of(AsBytes("abc")));
  }
  EXPECT_EQ(sha256.Hash(AsBytes("abc")), Sha256Of(AsBytes("abc")));
}

// Sizes around those of blocks, of padding and of the largest message that goes beside others.
TEST(Sha256Batch, EveryNumberAndSizeOfMessagesGivesTheDigestsOfSha256) {
  std::string bytes;
  for (size_t i = 0; i < 70000; ++i) bytes.push_back(static_cast<char>(i * 131 + i / 251));
  std::vector<size_t> sizes = {3072, 16383, 16384, 16385, 65535, 65536, 70000};
  for (size_t size = 0; size < 260; ++size) sizes.push_back(size);
  Sha256Batch batch;
  for (size_t count : {0, 1, 5, 6, 7, 16, 17, 64, 300, 1000}) {
    std::vector<Bytes> messages;
    std::vector<Sha256Digest> digests(count);
    for (size_t i = 0; i < count; ++i) {
      const size_t size = sizes[(i * 7 + count) % sizes.size()];
      const size_t offset = std::min(i % 64, bytes.size() - size);
      messages.push_back(AsBytes(bytes).subspan(offset, size));
      batch.Add(messages.back(), &digests[i]);
    }
    batch.Finish();
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(digests[i], Sha256Of(messages[i])) << count << " messages, number " << i;
    }
  }
}

TEST(Sha256Batch, WhatIsWrittenIntoItsBufferIsHashedBesideTheRest) {
  Sha256Batch batch;
  for (int round = 0; round < 2; ++round) {
    const std::string outside(3072, 'o');
    std::vector<std::string> written;
    std::vector<Sha256Digest> digests(40), others(40);
    for (size_t i = 0; i < digests.size(); ++i) {
      written.push_back(std::string(i * 37, static_cast<char>('a' + i % 26)));
      *batch.buffer() += written.back();
      batch.AddBuffered(&digests[i]);
      batch.Add(AsBytes(outside), &others[i]);
    }
    batch.Finish();
    for (size_t i = 0; i < digests.size(); ++i) {
      ASSERT_EQ(digests[i], Sha256Of(AsBytes(written[i]))) << i;
      ASSERT_EQ(others[i], Sha256Of(AsBytes(outside))) << i;
    }
  }
}

TEST(Sha256, HexIsParsedBackAndNothingElseIs) {
  const Sha256Digest digest = Sha256Of(AsBytes("abc"));
  const std::string hex = ToHex(digest);
  EXPECT_EQ(*ParseSha256Hex(hex), digest);
  EXPECT_EQ(ParseSha256Hex(hex.substr(1)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(ParseSha256Hex("").ok());
  EXPECT_FALSE(ParseSha256Hex(hex + "00").ok());
  std::string upper = hex;
  upper[0] = 'B';
  EXPECT_FALSE(ParseSha256Hex(upper).ok());
  std::string foreign = hex;
  foreign[63] = 'g';
  EXPECT_FALSE(ParseSha256Hex(foreign).ok());
}

// NIST SP 800-38A has no zero-IV vector, so the first block is checked as AES-256 of the zero
// block under the zero key (FIPS 197 known-answer tests), the second as AES-256 of block 1.
TEST(Keystream, KnownAnswerForTheZeroKey) {
  Keystream keystream;
  uint8_t out[32];
  keystream.Generate(Sha256Digest{}, out);
  EXPECT_EQ(ToHex(out), "dc95c078a2408989ad48a21492842087530f8afbc74536b9a963b4f1c4cb738b");
}

TEST(Keystream, DependsOnTheKeyAloneAndNotOnHistory) {
  Keystream keystream;
  uint8_t first[100], second[100], other[100];
  keystream.Generate(Sha256Of(AsBytes("a")), first);
  keystream.Generate(Sha256Of(AsBytes("b")), other);
  keystream.Generate(Sha256Of(AsBytes("a")), second);
  EXPECT_EQ(ToHex(first), ToHex(second));
  EXPECT_NE(ToHex(first), ToHex(other));
}

TEST(FillRandom, DoesNotRepeat) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    uint8_t bytes[16];
    ASSERT_TRUE(FillRandom(bytes).ok());
    seen.insert(ToHex(bytes));
  }
  EXPECT_EQ(seen.size(), 100u);
}

}  // namespace
}  // namespace engram
