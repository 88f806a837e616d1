#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "base/coding.h"
#include "server/metrics/families.h"
#include "server/metrics/health.h"
#include "server/metrics/monotonic.h"
#include "server/metrics/server_metrics.h"
#include "server/metrics/windowed_stats.h"
#include "server/migration/online_register.h"
#include "server/migration/source_findings.h"
#include "server/migration/upstream_sources.h"
#include "tests/testing/temp_dir.h"

namespace engram::server {
namespace {

using prometheus::MetricType;
using ::testing::HasSubstr;

constexpr uint64_t kSecond = 1'000'000'000;

TEST(FamiliesTest, HistogramBucketsAreCumulativeAndEndAtInfinity) {
  Families families;
  families.Declare("h_seconds", MetricType::Histogram, "help");
  const std::array<double, 2> bounds = {0.1, 1};
  const std::array<uint64_t, 3> counts = {3, 2, 1};
  families.Histogram("h_seconds", bounds, counts, 4.5, {{"space", "a\"b\\c\nd"}});
  const std::string text = families.Text();
  EXPECT_THAT(text, HasSubstr("# TYPE h_seconds histogram"));
  EXPECT_THAT(text, HasSubstr(R"(h_seconds_bucket{space="a\"b\\c\nd",le="0.1"} 3)"));
  EXPECT_THAT(text, HasSubstr(R"(le="1"} 5)"));
  EXPECT_THAT(text, HasSubstr(R"(le="+Inf"} 6)"));
  EXPECT_THAT(text, HasSubstr(R"(h_seconds_count{space="a\"b\\c\nd"} 6)"));
}

TEST(FamiliesTest, SummariesHaveExactQuantiles) {
  Families families;
  families.Declare("s_seconds", MetricType::Summary, "help");
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  families.Summary("s_seconds", values, {0.5, 0.99}, 1000, 7);
  const std::string text = families.Text();
  EXPECT_THAT(text, HasSubstr("s_seconds{quantile=\"0.5\"} 50\n"));
  EXPECT_THAT(text, HasSubstr("s_seconds{quantile=\"0.99\"} 99\n"));
  EXPECT_THAT(text, HasSubstr("s_seconds_count 1000\n"));
}

TEST(MonotonicTest, ATotalThatBeginsAgainGoesOnRising) {
  Monotonic total;
  EXPECT_EQ(total.At(1, 10), 10u);
  EXPECT_EQ(total.At(1, 15), 15u);
  EXPECT_EQ(total.At(2, 0), 15u);
  EXPECT_EQ(total.At(2, 4), 19u);
  EXPECT_EQ(total.At(2, 3), 19u);
  EXPECT_EQ(total.total(), 19u);
}

TEST(WindowedStatsTest, AWindowHoldsItsSecondsAlone) {
  WindowedStats stats;
  for (uint64_t second = 1000; second < 1400; ++second) {
    for (uint64_t i = 1; i <= 10; ++i) stats.Record(second * kSecond, i * 1'000'000, i != 10);
  }
  const uint64_t now = 1399 * kSecond;
  EXPECT_EQ(stats.Last(now, 1).count, 10u);
  EXPECT_EQ(stats.Last(now, 10).count, 100u);
  EXPECT_EQ(stats.Last(now, 300).count, 3000u);
  const auto minute = stats.Last(now, 60);
  EXPECT_EQ(minute.failed, 60u);
  EXPECT_NEAR(minute.mean, 0.0055, 1e-9);
  EXPECT_NEAR(minute.p50, 0.005, 0.001);
  EXPECT_NEAR(minute.p99, 0.010, 0.001);
  EXPECT_DOUBLE_EQ(minute.min, 0.001);
  EXPECT_DOUBLE_EQ(minute.max, 0.010);
  EXPECT_EQ(stats.Last(now + 400 * kSecond, 300).count, 0u);
}

Health StatusOf(const HealthInputs& inputs, const std::string& name) {
  for (const HealthCheck& check : EvaluateHealth(inputs)) {
    if (check.name == name) return check.status;
  }
  ADD_FAILURE() << "no check " << name;
  return Health::kHealthy;
}

TEST(HealthTest, EachInputMovesItsOwnCheck) {
  HealthInputs good;
  good.disk_total_bytes = uint64_t{100} << 30;
  good.disk_available_bytes = uint64_t{50} << 30;
  EXPECT_EQ(WorstOf(EvaluateHealth(good)), Health::kHealthy);
  HealthInputs bad = good;
  bad.disk_available_bytes = uint64_t{3} << 30;
  EXPECT_EQ(StatusOf(bad, "disk"), Health::kDegraded);
  bad.disk_available_bytes = 1 << 20;
  EXPECT_EQ(StatusOf(bad, "disk"), Health::kUnhealthy);
  bad = good;
  bad.requests_last_minute = 1000;
  bad.error_ratio = 0.02;
  EXPECT_EQ(StatusOf(bad, "errors"), Health::kDegraded);
  bad = good;
  bad.p99_seconds = 2;
  EXPECT_EQ(StatusOf(bad, "latency"), Health::kDegraded);
  bad = good;
  bad.wal_lag_seconds = 11;
  EXPECT_EQ(StatusOf(bad, "log"), Health::kDegraded);
  bad = good;
  bad.failing_spaces = {"broken"};
  EXPECT_EQ(StatusOf(bad, "spaces"), Health::kUnhealthy);
  bad = good;
  bad.failing_migrations = {"broken: why"};
  EXPECT_EQ(StatusOf(bad, "migration"), Health::kDegraded);
  bad = good;
  bad.damaged_sources = {"half: 1 damaged place"};
  EXPECT_EQ(StatusOf(bad, "upstream"), Health::kDegraded);
}

TEST(HealthTest, FailedRequestsDegradeAndNeverMoreThanThat) {
  HealthInputs inputs;
  inputs.error_ratio = 1;
  inputs.requests_last_minute = 19;
  EXPECT_EQ(StatusOf(inputs, "errors"), Health::kHealthy) << "too few to say anything";
  inputs.requests_last_minute = 20;
  EXPECT_EQ(StatusOf(inputs, "errors"), Health::kDegraded);
}

TEST(HealthTest, WhatIsNotThereAndNotThereYetIsNoFailure) {
  EXPECT_TRUE(IsFailure(500));
  EXPECT_FALSE(IsFailure(501));
  EXPECT_FALSE(IsFailure(503));
  EXPECT_FALSE(IsFailure(404));
}

TEST(HealthTest, HistoryCountsInARow) {
  HealthHistory history;
  HealthInputs bad;
  bad.failing_spaces = {"broken"};
  for (int run = 1; run <= 3; ++run) {
    auto checks = EvaluateHealth(bad);
    history.Record(run, &checks);
    for (const HealthCheck& check : checks) {
      const bool fails = check.name == "spaces";
      EXPECT_EQ(check.consecutive_failures, fails ? run : 0u) << check.name;
      EXPECT_EQ(check.consecutive_successes, fails ? 0u : run) << check.name;
    }
  }
  auto checks = EvaluateHealth({});
  history.Record(10, &checks);
  for (const HealthCheck& check : checks) {
    if (check.name != "spaces") continue;
    EXPECT_EQ(check.consecutive_failures, 0u);
    EXPECT_DOUBLE_EQ(check.last_failure_seconds_ago, 7);
    EXPECT_DOUBLE_EQ(check.last_run_seconds_ago, 7);
  }
}

class FilesTest : public ::testing::Test {
 protected:
  void Touch(const std::string& path) {
    FileSystem& fs = FileSystem::Posix();
    const std::string full = JoinPath(root_.path(), path);
    ASSERT_TRUE(CreateDirectories(fs, ParentPath(full)).ok());
    ASSERT_TRUE(ReplaceFileDurably(fs, full, AsBytes("x")).ok());
  }
  std::map<std::string, std::string> Sources() {
    const auto found = FindUpstreamSources(FileSystem::Posix(), root_.path(), "default");
    EXPECT_TRUE(found.ok());
    std::map<std::string, std::string> sources;
    for (const UpstreamSource& source : *found) sources[source.space] = source.directory;
    return sources;
  }
  testing::TempDir root_;
};

TEST_F(FilesTest, UpstreamSpacesAreFoundByTheirLogs) {
  Touch("alpha/wal/wal-0000.log");
  Touch("archived/wal/.archive-1/wal-0001.log");
  Touch("nologs/wal/readme.txt");
  Touch("ours/dual/STORE");
  Touch("Not A Space/wal/wal-0000.log");
  const auto sources = Sources();
  EXPECT_EQ(sources.size(), 2u);
  EXPECT_EQ(sources.at("alpha"), JoinPath(root_.path(), "alpha/wal"));
  EXPECT_EQ(sources.at("archived"), JoinPath(root_.path(), "archived/wal"));
}

TEST_F(FilesTest, TheLegacyLogGoesToTheDefaultSpaceWithItsOwnBehindIt) {
  Touch("default/wal/wal-0001.log");
  EXPECT_EQ(Sources().at("default"), JoinPath(root_.path(), "default/wal"));
  Touch("wal/wal-0000.log");
  EXPECT_EQ(Sources().at("default"), root_.path());
}

TEST_F(FilesTest, ADataRootThatIsNotThereHasNoSources) {
  const auto found =
      FindUpstreamSources(FileSystem::Posix(), JoinPath(root_.path(), "none"), "default");
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->empty());
}

nlohmann::json ReportOf(size_t damaged, size_t quarantined) {
  nlohmann::json source = {{"records", 50}, {"other_types", 2}};
  source["damaged"] = source["quarantined"] = nlohmann::json::array();
  for (size_t i = 0; i < damaged; ++i) {
    source["damaged"].push_back(
        {{"file", "wal-0.log"}, {"offset", i}, {"length", 10}, {"kind", "torn tail"}});
  }
  for (size_t i = 0; i < quarantined; ++i) {
    source["quarantined"].push_back({{"file", "wal-1.log"}, {"offset", i}, {"reason", "why"}});
  }
  return {{"ok", true}, {"source", source}};
}

TEST(SourceFindingsTest, AReportIsCountedWholeAndListedWithinABound) {
  const auto findings = FindingsOf(ReportOf(150, 3).dump());
  ASSERT_TRUE(findings.has_value());
  EXPECT_EQ(findings->damaged, 150u);
  EXPECT_EQ(findings->damaged_bytes, 1500u);
  EXPECT_EQ(findings->quarantined, 3u);
  EXPECT_EQ(findings->records, 50u);
  EXPECT_EQ(findings->other_types, 2u);
  EXPECT_EQ(findings->places.size(), SourceFindings::kPlacesMax);
  EXPECT_FALSE(findings->clean());
  EXPECT_TRUE(FindingsOf(ReportOf(0, 0).dump())->clean());
}

TEST(SourceFindingsTest, ASourceThatWasNotReadSaysNothing) {
  EXPECT_FALSE(FindingsOf(R"({"ok": true, "source": null})").has_value());
  EXPECT_FALSE(FindingsOf("no JSON").has_value());
}

TEST_F(FilesTest, FindingsOutliveTheProcessUntilTheirSourceIsGone) {
  FileSystem& fs = FileSystem::Posix();
  auto first = FindingsRegister::Load(fs, root_.path());
  ASSERT_TRUE(first.Set("ill", *FindingsOf(ReportOf(2, 1).dump())).ok());
  ASSERT_TRUE(first.Set("gone", *FindingsOf(ReportOf(1, 0).dump())).ok());
  auto second = FindingsRegister::Load(fs, root_.path());
  EXPECT_EQ(ToJson(second.spaces().at("ill")), ToJson(first.spaces().at("ill")));
  EXPECT_EQ(second.spaces().at("ill").places.at(2).what, "why");
  ASSERT_TRUE(second.Retain({"ill"}).ok());
  EXPECT_EQ(FindingsRegister::Load(fs, root_.path()).spaces().size(), 1u);
  const std::string path = JoinPath(root_.path(), ".engram/upstream-findings.json");
  ASSERT_TRUE(ReplaceFileDurably(fs, path, AsBytes("no JSON")).ok());
  EXPECT_TRUE(FindingsRegister::Load(fs, root_.path()).spaces().empty());
}

TEST_F(FilesTest, TheRegisterKeepsWhatItWasTold) {
  FileSystem& fs = FileSystem::Posix();
  auto first = OnlineRegister::Load(fs, root_.path());
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(first->spaces().empty());
  ASSERT_TRUE(first->Set({"alpha", "beta"}).ok());
  EXPECT_EQ(OnlineRegister::Load(fs, root_.path())->spaces(),
            (std::set<std::string>{"alpha", "beta"}));
  ASSERT_TRUE(first->Set({}).ok());
  EXPECT_TRUE(OnlineRegister::Load(fs, root_.path())->spaces().empty());
}

TEST_F(FilesTest, ARegisterThatIsNoneIsRefusedAndNamed) {
  FileSystem& fs = FileSystem::Posix();
  for (const char* text : {"", "[]", "{\"version\": 2, \"spaces\": []}", "{\"version\": 1}",
                           "{\"version\": 1, \"spaces\": [1]}"}) {
    const std::string path = JoinPath(root_.path(), ".engram/online-migration.json");
    ASSERT_TRUE(CreateDirectories(fs, ParentPath(path)).ok());
    ASSERT_TRUE(ReplaceFileDurably(fs, path, AsBytes(text)).ok());
    const auto loaded = OnlineRegister::Load(fs, root_.path());
    ASSERT_FALSE(loaded.ok()) << text;
    EXPECT_THAT(loaded.status().message(), HasSubstr("online-migration.json")) << text;
  }
}

}  // namespace
}  // namespace engram::server
