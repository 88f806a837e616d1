#include "base/rfc3339.h"

#include <gtest/gtest.h>

namespace engram {
namespace {

std::string Normalized(std::string_view text) {
  const auto time = ParseTime(text);
  return time ? FormatTime(time->unix_seconds, time->nanos) : "refused";
}

TEST(Rfc3339, WhatUpstreamWritesComesBackAsItIs) {
  for (const char* text :
       {"2025-10-21T18:29:18.951310Z", "1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z", "2024-02-29T23:59:60Z", "2016-12-31T23:59:60.500Z",
        "1969-12-31T23:59:59.001Z", "2000-02-29T00:00:00.000001Z", "1900-02-28T12:00:00Z"}) {
    EXPECT_EQ(Normalized(text), text);
  }
}

TEST(Rfc3339, OffsetsBecomeUtcAndFractionsTheShortestForm) {
  EXPECT_EQ(Normalized("2025-01-01T00:30:00+01:00"), "2024-12-31T23:30:00Z");
  EXPECT_EQ(Normalized("2025-01-01 00:30:00.1-00:30"), "2025-01-01T01:00:00.100Z");
  EXPECT_EQ(Normalized("2025-01-01t00:30:00.1234567891z"), "2025-01-01T00:30:00.123456789Z");
  EXPECT_EQ(Normalized("2025-01-01T00:30:00.1000Z"), "2025-01-01T00:30:00.100Z");
}

TEST(Rfc3339, WhatIsNoTimeIsRefused) {
  for (const char* text : {"",
                           "2025",
                           "2025-01-01",
                           "2025-01-01T00:00:00",
                           "2025-13-01T00:00:00Z",
                           "2025-02-29T00:00:00Z",
                           "1900-02-29T00:00:00Z",
                           "2025-00-01T00:00:00Z",
                           "2025-01-00T00:00:00Z",
                           "2025-01-01T24:00:00Z",
                           "2025-01-01T00:60:00Z",
                           "2025-01-01T00:00:61Z",
                           "2025-01-01T00:00:00.Z",
                           "2025-01-01T00:00:00Z ",
                           "2025-01-01T00:00:00+1:00",
                           "2025-01-01T00:00:00+24:00",
                           "2025-01-01T00:00:00+00:60",
                           "0000-01-01T00:00:00+00:01",
                           "9999-12-31T23:59:59-00:01",
                           "+2025-01-01T00:00:00Z"}) {
    EXPECT_EQ(Normalized(text), "refused") << text;
  }
}

TEST(Rfc3339, TheEpochAndItsNeighboursHaveTheirSeconds) {
  EXPECT_EQ(ParseTime("1970-01-01T00:00:01Z")->unix_seconds, 1);
  EXPECT_EQ(ParseTime("2025-11-21T18:57:13Z")->unix_seconds, 1763751433);
  EXPECT_EQ(ParseTime("0000-01-01T00:00:00Z")->unix_seconds, -62167219200);
}

}  // namespace
}  // namespace engram
