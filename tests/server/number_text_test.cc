#include "server/api/number_text.h"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace engram::server {
namespace {

using Random = std::mt19937_64;

std::string Printed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// The C library's answer, which is the nearest float: alone, and in an array with so much behind it
// that eight bytes at once can be read.
void ExpectNearest(const std::string& text) {
  const float expected = std::strtof(text.c_str(), nullptr);
  const auto parsed = ParseFloat(text);
  std::vector<float> floats;
  const bool is_array = ParseFloatArray("[" + text + ", 0.12345678901234567890]", &floats);
  if (std::isinf(expected)) {
    EXPECT_FALSE(parsed.has_value()) << text;
    EXPECT_FALSE(is_array) << text;
    return;
  }
  ASSERT_TRUE(parsed.has_value()) << text;
  EXPECT_EQ(std::bit_cast<uint32_t>(*parsed), std::bit_cast<uint32_t>(expected)) << text;
  ASSERT_TRUE(is_array) << text;
  ASSERT_EQ(floats.size(), 2u) << text;
  EXPECT_EQ(std::bit_cast<uint32_t>(floats[0]), std::bit_cast<uint32_t>(expected)) << text;
}

TEST(NumberTextTest, NumbersAsClientsPrintThemAreRoundedOnce) {
  Random random(1);
  std::normal_distribution<double> normal(0, 0.04);
  for (int i = 0; i < 200'000; ++i) {
    const double value = normal(random);
    for (const char* format : {"%.7g", "%.9g", "%.17g", "%.8f", "%.20f", "%.6e"}) {
      ExpectNearest(Printed(format, value));
    }
  }
}

TEST(NumberTextTest, EveryFloatComesBackFromItsShortestText) {
  Random random(2);
  for (int i = 0; i < 500'000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isfinite(value)) continue;
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    const auto parsed = ParseFloat({text, static_cast<size_t>(end - text)});
    ASSERT_TRUE(parsed.has_value()) << std::string(text, end);
    ASSERT_EQ(std::bit_cast<uint32_t>(*parsed), std::bit_cast<uint32_t>(value));
  }
}

// Half way between two floats, and as little beside it as a few digits more can say: rounding to a
// double first would lose the side.
TEST(NumberTextTest, WhatLiesBesideTheMiddleOfTwoFloatsGoesToItsSide) {
  Random random(3);
  for (int i = 0; i < 100'000; ++i) {
    const uint32_t exponent = 100 + static_cast<uint32_t>(random() % 60);
    const float low =
        std::bit_cast<float>(exponent << 23 | static_cast<uint32_t>(random() & 0x7fffff));
    const float high = std::nextafter(low, std::numeric_limits<float>::infinity());
    const double middle = (double{low} + double{high}) / 2;
    const std::string text = Printed("%.60f", middle);  // all of its digits
    ExpectNearest(text);
    ExpectNearest(text + "1");
    ExpectNearest("-" + text + "000000000000000000001");
    for (const char* format : {"%.15g", "%.16g", "%.17g", "%.18g", "%.19g", "%.20g"}) {
      ExpectNearest(Printed(format, middle));
    }
  }
}

TEST(NumberTextTest, RandomDigitsAndExponentsAreRoundedOnce) {
  Random random(4);
  for (int i = 0; i < 500'000; ++i) {
    std::string text = random() % 2 == 0 ? "-" : "";
    text += std::to_string(random() >> (random() % 64));
    if (random() % 2 == 0) {
      text += "." + std::string(random() % 12, '0') + std::to_string(random() >> (random() % 64));
    }
    if (random() % 2 == 0) {
      text +=
          (random() % 2 == 0 ? "e" : "E") + std::to_string(static_cast<int>(random() % 120) - 60);
    }
    ExpectNearest(text);
  }
}

TEST(NumberTextTest, TheEndsOfTheRange) {
  for (const char* text : {"0",
                           "-0",
                           "0.0",
                           "-0e5",
                           "0e99999",
                           "1e-46",
                           "7.0064923216240853e-46",
                           "7.0064923216240854e-46",
                           "1.4e-45",
                           "1.1754943508222875e-38",
                           "1.1754942807573643e-38",
                           "3.4028234663852886e38",
                           "3.4028235677973365e38",
                           "3.4028235677973366e38",
                           "1e39",
                           "340282346638528859811704183484516925440",
                           "1e-99999",
                           "-1e99999",
                           "1e999999999999999",
                           "16777217",
                           "33554433",
                           "9007199254740993",
                           "18446744073709551615",
                           "18446744073709551616",
                           "99999999999999999999",
                           "0.00000000000000000000000000000000000000000000001"}) {
    ExpectNearest(text);
  }
  EXPECT_EQ(ParseFloat("1e39").error(), NumberFault::kRange);
  EXPECT_TRUE(std::signbit(*ParseFloat("-0")));
}

TEST(NumberTextTest, WhatIsNoNumberOfTheGrammarIsRefused) {
  for (const char* text : {"",
                           "-",
                           "+1",
                           "01",
                           "-01",
                           "00",
                           ".5",
                           "1.",
                           "-.5",
                           "1e",
                           "1e+",
                           "e5",
                           "1.e5",
                           "1e5.5",
                           "0x10",
                           "NaN",
                           "Infinity",
                           "1 ",
                           " 1",
                           "1_000",
                           "1,5",
                           "--1",
                           "12345678.",
                           "12345678x",
                           "1234567:",
                           "1234567/",
                           "0.1234567:",
                           "1e1e1",
                           "12345678\x01",
                           "1\xb2"
                           "34567890"}) {
    EXPECT_FALSE(IsJsonNumber(text)) << text;
    const auto parsed = ParseFloat(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error(), NumberFault::kSyntax) << text;
  }
  for (const char* text :
       {"0", "-0", "10", "0.5", "1e5", "1E+05", "123456789012345678901234567890", "-0.00e-00"}) {
    EXPECT_TRUE(IsJsonNumber(text)) << text;
  }
}

TEST(NumberTextTest, AnArrayIsTheNumbersInIt) {
  Random random(4);
  std::normal_distribution<double> normal(0, 0.04);
  for (const char* between : {",", ", ", " ,\n\t"}) {
    std::string text = "[";
    std::vector<float> expected;
    for (int i = 0; i < 1000; ++i) {
      const std::string number = Printed(i % 3 == 0 ? "%.25g" : "%.7g", normal(random));
      expected.push_back(*ParseFloat(number));
      text += (i == 0 ? "" : between) + number;
    }
    std::vector<float> floats;
    ASSERT_TRUE(ParseFloatArray(text + "]", &floats));
    EXPECT_EQ(floats, expected);
  }
  std::vector<float> none;
  EXPECT_TRUE(ParseFloatArray(" [ ] ", &none));
  EXPECT_TRUE(none.empty());
}

TEST(NumberTextTest, WhatIsNoArrayOfNumbersIsRefused) {
  for (const char* text :
       {"",           "[",      "]",       "[1",     "1]",      "[1,]",   "[,1]", "[1 2]", "[1]]",
        "[[1]]",      "[1]1",   "[01]",    "[1.]",   "[.5]",    "[+1]",   "[1e]", "[-]",   "[NaN]",
        "[Infinity]", "[null]", "[\"1\"]", "[1e39]", "[-1e39]", "[1,,2]", "{}"}) {
    std::vector<float> floats;
    EXPECT_FALSE(ParseFloatArray(text, &floats)) << text;
  }
  for (const char* number :
       {"0.", "0.e5", "0.5e", "0.5e+", "0.1234567:", "0.12345678:", "0.1234567/", "0.12\xb2",
        "00.5", "-", "-.5", "0.5-", "0.5.5", "0,5e", "0.\xb0"}) {
    std::vector<float> floats;
    const std::string text = "[" + std::string(number) + ", 0.12345678901234567890]";
    EXPECT_FALSE(ParseFloatArray(text, &floats)) << text;
  }
}

}  // namespace
}  // namespace engram::server
