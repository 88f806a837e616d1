#include "base/coding.h"

#include <gtest/gtest.h>

namespace engram {
namespace {

TEST(Coding, IntegersAreLittleEndianAndKeysBigEndian) {
  std::string out;
  PutLe<uint32_t>(&out, 0x04030201);
  PutBe64(&out, 0x0102030405060708);
  EXPECT_EQ(out, "\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08");
  EXPECT_EQ(LoadLe<uint32_t>(out.data()), 0x04030201u);
  EXPECT_EQ(LoadBe64(out.data() + 4), 0x0102030405060708u);
  PutBytes(&out, AsBytes("ab"));
  EXPECT_EQ(out.substr(12), "ab");
  EXPECT_EQ(AsView(AsBytes("ab")), "ab");
}

TEST(Coding, FloatsKeepTheirBits) {
  std::string out;
  const uint32_t nan_with_payload = 0x7fc12345;
  PutLe<float>(&out, std::bit_cast<float>(nan_with_payload));
  EXPECT_EQ(LoadLe<uint32_t>(out.data()), nan_with_payload);
}

TEST(Coding, BigEndianKeysSortAsNumbers) {
  std::string a, b;
  PutBe64(&a, 255);
  PutBe64(&b, 256);
  EXPECT_LT(a, b);
}

TEST(ByteReader, ReadsForwardAndCountsWhatIsLeft) {
  ByteReader reader(AsBytes(std::string_view("\x01\x02\x00xyz", 6)));
  uint8_t a = 0;
  uint16_t b = 0;
  Bytes rest;
  EXPECT_TRUE(reader.ReadLe(&a));
  EXPECT_TRUE(reader.ReadLe(&b));
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 2);
  EXPECT_EQ(reader.position(), 3u);
  EXPECT_EQ(reader.remaining(), 3u);
  EXPECT_TRUE(reader.ReadBytes(3, &rest));
  EXPECT_EQ(AsView(rest), "xyz");
  EXPECT_TRUE(reader.ReadBytes(0, &rest));
  EXPECT_TRUE(reader.ok());
}

TEST(ByteReader, AShortReadFailsAndSoDoesEveryReadAfterIt) {
  ByteReader reader(AsBytes("abc"));
  uint32_t four = 7;
  uint8_t one = 7;
  EXPECT_FALSE(reader.ReadLe(&four));
  EXPECT_EQ(four, 7u);
  EXPECT_FALSE(reader.ok());
  EXPECT_FALSE(reader.ReadLe(&one));
  EXPECT_EQ(reader.position(), 0u);
}

TEST(ByteReader, AHugeLengthDoesNotWrapAround) {
  ByteReader reader(AsBytes("abc"));
  uint8_t one;
  Bytes out;
  ASSERT_TRUE(reader.ReadLe(&one));
  EXPECT_FALSE(reader.ReadBytes(UINT64_MAX, &out));
  EXPECT_FALSE(reader.ok());
  ByteReader empty({});
  EXPECT_FALSE(empty.ReadBytes(1, &out));
}

}  // namespace
}  // namespace engram
