#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/record.h"
#include "tests/testing/record_generator.h"

namespace engram::engine {
namespace {

using engram::testing::RecordGenerator;

struct Sample {
  int64_t seconds;
  uint32_t nanos;
  const char* text;
};
constexpr Sample kSamples[] = {
    {1763751433, 0, "2025-11-21T18:57:13Z"},
    {1763751433, 120000000, "2025-11-21T18:57:13.120Z"},
    {1763751433, 123456000, "2025-11-21T18:57:13.123456Z"},
    {1763751433, 123456789, "2025-11-21T18:57:13.123456789Z"},
    {-1, 999999999, "1969-12-31T23:59:59.999999999Z"},
    {253402300800, 0, "+10000-01-01T00:00:00Z"},
    {1483228799, 1500000000, "2016-12-31T23:59:60.500Z"},
    {1483228799, 1000000000, "2016-12-31T23:59:60Z"},
    {59, 1000000001, "1970-01-01T00:00:60.000000001Z"},
    {-62167219200, 0, "0000-01-01T00:00:00Z"},
    {-62167219201, 0, "-0001-12-31T23:59:59Z"},
    {253402300799, 999999999, "9999-12-31T23:59:59.999999999Z"},
    {8210266876799, 1, "+262142-12-31T23:59:59.000000001Z"},
    {-8334601228800, 1000, "-262143-01-01T00:00:00.000001Z"},
    {951782400, 0, "2000-02-29T00:00:00Z"},
    {0, 1000000, "1970-01-01T00:00:00.001Z"},
};

TEST(TimestampTest, SamplesOfTheWriterRoundTrip) {
  for (const Sample& sample : kSamples) {
    const Timestamp time{sample.seconds, sample.nanos};
    EXPECT_EQ(FormatTimestamp(time), sample.text);
    auto parsed = ParseTimestamp(sample.text);
    ASSERT_TRUE(parsed.ok()) << sample.text;
    EXPECT_EQ(*parsed, time) << sample.text;
  }
}

TEST(TimestampTest, WhatTheWriterNeverWritesIsRefused) {
  const char* const kRefused[] = {
      "",
      "Z",
      "2025-11-21",
      "2025-11-21T18:57:13",
      "2025-11-21 18:57:13Z",
      "2025-11-21t18:57:13Z",
      "2025-11-21T18:57:13z",
      "2025-11-21T18:57:13 UTC",
      "2025-11-21T18:57:13+00:00",
      "2025-11-21T18:57:13Z ",
      " 2025-11-21T18:57:13Z",
      "2025-11-21T18:57:13.Z",
      "2025-11-21T18:57:13.1Z",
      "2025-11-21T18:57:13.12Z",
      "2025-11-21T18:57:13.1234Z",
      "2025-11-21T18:57:13.000Z",
      "2025-11-21T18:57:13.120000Z",
      "2025-11-21T18:57:13.123456000Z",
      "2025-11-21T18:57:13.000000000Z",
      "2025-11-21T18:57:13.1234567890Z",
      "2025-11-21T18:57:13,123Z",
      "2025-11-21T18:57:61Z",
      "2025-11-21T18:60:13Z",
      "2025-11-21T24:00:00Z",
      "2025-13-21T18:57:13Z",
      "2025-00-21T18:57:13Z",
      "2025-11-00T18:57:13Z",
      "2025-11-31T18:57:13Z",
      "2025-02-29T18:57:13Z",
      "1900-02-29T00:00:00Z",
      "+2025-11-21T18:57:13Z",
      "-0000-01-01T00:00:00Z",
      "+0000-01-01T00:00:00Z",
      "10000-01-01T00:00:00Z",
      "+010000-01-01T00:00:00Z",
      "-00001-01-01T00:00:00Z",
      "-001-01-01T00:00:00Z",
      "+1000000-01-01T00:00:00Z",
      "+99999999999999999999-01-01T00:00:00Z",
      "+-2025-11-21T18:57:13Z",
      "-+2025-11-21T18:57:13Z",
      "2025-1-21T18:57:13Z",
      "2O25-11-21T18:57:13Z",
      "2025-11-21T18:57:1:Z",
      "2025-11-21T18:57:13.12\xc3Z",
  };
  for (const char* text : kRefused) {
    auto parsed = ParseTimestamp(text);
    EXPECT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
    EXPECT_FALSE(parsed.status().hint().empty());
  }
  EXPECT_FALSE(ParseTimestamp(std::string_view("2025-11-21T18:57:13Z\0", 21)).ok());
}

TEST(TimestampTest, EveryTimeOfTheWriterRoundTrips) {
  RecordGenerator random(11);
  for (int i = 0; i < 300000; ++i) {
    const Timestamp time = random.Time();
    const std::string text = FormatTimestamp(time);
    auto parsed = ParseTimestamp(text);
    ASSERT_TRUE(parsed.ok()) << text;
    ASSERT_EQ(*parsed, time) << text;
  }
}

// Whatever is accepted is exactly what the writer would print for it.
TEST(TimestampTest, MutatedTextsAreRefusedOrCanonical) {
  RecordGenerator random(12);
  int accepted = 0;
  for (int i = 0; i < 300000; ++i) {
    std::string text = FormatTimestamp(random.Time());
    static constexpr char kAlphabet[] = "0123456789-+:.TZ";
    text[random.Below(text.size())] = kAlphabet[random.Below(16)];
    if (random.OneIn(4)) text.erase(random.Below(text.size()), 1);
    auto parsed = ParseTimestamp(text);
    if (!parsed.ok()) continue;
    ++accepted;
    ASSERT_EQ(FormatTimestamp(*parsed), text);
  }
  EXPECT_GT(accepted, 10000);
}

TEST(TimestampTest, AgreesWithTheCalendarOfTheCLibrary) {
  RecordGenerator random(13);
  for (int i = 0; i < 100000; ++i) {
    const auto seconds =
        static_cast<time_t>(random.Below(253402300800 + 62167219200)) - 62167219200;
    std::tm tm;
    ASSERT_NE(gmtime_r(&seconds, &tm), nullptr);
    char expected[64];
    std::snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                  tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    ASSERT_EQ(FormatTimestamp({seconds, 0}), expected);
  }
}

TEST(TimestampTest, EveryValueHasATextWithinTheBound) {
  for (const int64_t seconds : {INT64_MIN, INT64_MIN + 1, INT64_MAX, int64_t{0}}) {
    for (const uint32_t nanos : {0u, 999999999u, 1999999999u, UINT32_MAX}) {
      EXPECT_LE(FormatTimestamp({seconds, nanos}).size(), kTimestampSizeBytesMax);
    }
  }
}

void CollectTimes(const nlohmann::json& value, std::set<std::string>* times) {
  static const std::set<std::string> kKeys = {"when", "last_recall", "last_access", "created_at"};
  if (value.is_array()) {
    for (const auto& element : value) CollectTimes(element, times);
  }
  if (!value.is_object()) return;
  for (const auto& [key, member] : value.items()) {
    if (member.is_string() && kKeys.contains(key)) times->insert(member.get<std::string>());
    if (member.is_structured()) CollectTimes(member, times);
  }
}

TEST(TimestampTest, EveryTimeThatUpstreamServersWroteRoundTrips) {
  std::set<std::string> times;
  const std::filesystem::path root = std::string(ENGRAM_SOURCE_DIR) + "/tests/fixtures";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (!entry.path().filename().string().ends_with("manifest.json")) continue;
    std::ifstream in(entry.path());
    CollectTimes(nlohmann::json::parse(in), &times);
  }
  ASSERT_GT(times.size(), 100u);
  for (const std::string& text : times) {
    auto parsed = ParseTimestamp(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(FormatTimestamp(*parsed), text);
  }
}

}  // namespace
}  // namespace engram::engine
