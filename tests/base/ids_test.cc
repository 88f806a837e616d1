#include "base/ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace engram {
namespace {

using ::testing::HasSubstr;

constexpr char kText[] = "01234567-89ab-4def-8123-456789abcdef";

TEST(Uuid, TextAndBytesAreInOneOrder) {
  auto uuid = Uuid::Parse(kText);
  ASSERT_TRUE(uuid.ok());
  EXPECT_EQ(uuid->bytes[0], 0x01);
  EXPECT_EQ(uuid->bytes[6], 0x4d);
  EXPECT_EQ(uuid->bytes[15], 0xef);
  EXPECT_EQ(uuid->ToString(), kText);
}

TEST(Uuid, OnlyTheLowercaseHyphenatedFormIsAccepted) {
  for (std::string text :
       {"", "0123456789ab4def8123456789abcdef", "{01234567-89ab-4def-8123-456789abcdef}",
        "01234567-89AB-4def-8123-456789abcdef", "01234567-89ab-4def-8123-456789abcdeg",
        "0123456-789ab-4def-8123-456789abcdef", "01234567-89ab-4def-8123-456789abcdef ",
        "01234567-89ab-4def-8123-456789abcde"}) {
    EXPECT_EQ(Uuid::Parse(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(Uuid, RandomIsVersion4AndDoesNotRepeat) {
  auto a = Uuid::Random();
  auto b = Uuid::Random();
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(*a, *b);
  EXPECT_EQ(a->bytes[6] >> 4, 4);
  EXPECT_EQ(a->bytes[8] >> 6, 2);
  EXPECT_EQ(*Uuid::Parse(a->ToString()), *a);
}

TEST(SpaceId, TheAlphabetIsLowercaseDigitsHyphenUnderscoreAtAnyPosition) {
  for (std::string name : {"default", "---", "___", "0ab", "a-b_c-9"}) {
    EXPECT_EQ(SpaceId::Parse(name)->str(), name);
  }
  for (std::string name : {"Default", "a.b", "..a", "a/b", "a b", "caf\xc3\xa9", "abc\xff"}) {
    Status status = SpaceId::Parse(name).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(status.message(), HasSubstr("outside a-z")) << name;
    EXPECT_NE(status.hint(), "");
  }
  EXPECT_FALSE(SpaceId::Parse(std::string("abc\0", 4)).ok());
}

TEST(SpaceId, TheLengthIs3To64Bytes) {
  EXPECT_FALSE(SpaceId::Parse("ab").ok());
  EXPECT_TRUE(SpaceId::Parse("abc").ok());
  EXPECT_TRUE(SpaceId::Parse(std::string(64, 'a')).ok());
  EXPECT_THAT(SpaceId::Parse(std::string(65, 'a')).status().message(), HasSubstr("65 bytes"));
}

TEST(SpaceId, OuterUnicodeWhitespaceIsTrimmed) {
  EXPECT_EQ(SpaceId::Parse(" \t\r\n\v\f default \n")->str(), "default");
  EXPECT_EQ(SpaceId::Parse("\xC2\x85\xC2\xA0"
                           "abc\xE3\x80\x80\xE2\x80\xA8")
                ->str(),
            "abc");
  EXPECT_FALSE(SpaceId::Parse("a\xC2\xA0"
                              "bc")
                   .ok());
}

TEST(SpaceId, RulesAreCheckedInUpstreamsOrder) {
  EXPECT_THAT(SpaceId::Parse("  ").status().message(), HasSubstr("empty"));
  EXPECT_THAT(SpaceId::Parse("").status().message(), HasSubstr("empty"));
  EXPECT_THAT(SpaceId::Parse(std::string(70, '\xc3')).status().message(), HasSubstr("70 bytes"));
}

}  // namespace
}  // namespace engram
