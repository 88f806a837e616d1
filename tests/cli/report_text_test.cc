#include "cli/report_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace engram::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report Space(const std::string& name) {
  return {{"space", name},
          {"mode", "dual"},
          {"phase", "complete"},
          {"converted", 1000u},
          {"remaining_old", 0u},
          {"quarantined", 0u},
          {"rate", 0.0},
          {"eta_seconds", 0},
          {"throttle", {{"reason", nullptr}, {"since", nullptr}}},
          {"error", nullptr},
          {"paused", false},
          {"rate_limit", 0u}};
}

Report StatusReport(std::vector<Report> spaces) {
  return {{"ok", true},
          {"spaces", std::move(spaces)},
          {"knobs", {{"paused", false}, {"rate_limit", 5000u}, {"history_scan", true}}}};
}

TEST(StatusTextTest, ASpaceUnderWayShowsItsRateItsEtaAndWhatHoldsItBack) {
  Report space = Space("production");
  space["phase"] = "backfill";
  space["remaining_old"] = 246432u;
  space["rate"] = 4832.4;
  space["eta_seconds"] = 51.0;
  space["throttle"] = {{"reason", "rate_limit"}, {"since", "2026-01-15T10:45:23Z"}};
  EXPECT_EQ(StatusText(StatusReport({space})),
            "migrator: not paused | rate limit 5,000 nodes/s\n"
            "space production\n"
            "  mode dual | phase backfill | converted 1,000 | still old 246,432 | quarantined 0\n"
            "  rate 4,832 nodes/s | ETA 51 seconds | held back: rate_limit since "
            "2026-01-15T10:45:23Z");
  space["eta_seconds"] = nullptr;
  EXPECT_THAT(StatusText(StatusReport({space})), HasSubstr("ETA unknown"));
}

TEST(StatusTextTest, APauseAndTheLimitsAreReadBackAlsoFromAControlBlock) {
  Report report = StatusReport({});
  report["knobs"] = {{"paused", true}, {"rate_limit", 0u}, {"history_scan", false}};
  EXPECT_THAT(StatusText(report),
              HasSubstr("migrator: paused | no rate limit | no history scan\n"));
  Report space = Space("a");
  space["paused"] = true;
  space["rate_limit"] = 7u;
  EXPECT_THAT(StatusText({{"spaces", Report::array({space})}}),
              HasSubstr("\n  paused | rate limit 7 nodes/s"));
}

TEST(StatusTextTest, AFailureSaysWhy) {
  Report space = Space("a");
  space["phase"] = "failed";
  space["error"] = "wal-1.log was rewritten";
  EXPECT_THAT(StatusText(StatusReport({space})), HasSubstr("\n  error: wal-1.log was rewritten"));
}

TEST(StatusTextTest, OfManySpacesThoseAtRestAreTakenTogether) {
  std::vector<Report> spaces;
  for (int i = 0; i < 200; ++i) spaces.push_back(Space("space-" + std::to_string(i)));
  spaces[7]["phase"] = "backfill";
  spaces[9]["quarantined"] = 2u;
  const std::string text = StatusText(StatusReport(spaces));
  EXPECT_THAT(text, HasSubstr("space space-7\n"));
  EXPECT_THAT(text, HasSubstr("space space-9\n"));
  EXPECT_THAT(text, Not(HasSubstr("space space-8\n")));
  EXPECT_THAT(text, HasSubstr("198 more spaces: mode dual | phase complete | converted 198,000 | "
                              "still old 0\n"));
}

}  // namespace
}  // namespace engram::cli
