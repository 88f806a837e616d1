#include "server/api/migration_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/manual_clock.h"

namespace engram::server {
namespace {

using ::testing::HasSubstr;

// Answers what it was given and counts how often it was asked.
class FakeScheduler final : public MigrationScheduler {
 public:
  Result<std::vector<Failure>> SetDualMemoryTypes(bool) override { return std::vector<Failure>(); }
  bool dual_memory_types() const override { return dual; }
  size_t pending_spaces() override { return 0; }
  Status MigrateOnline(const std::optional<std::string>&) override { return Status::Ok(); }
  std::set<std::string> guided_spaces() const override { return {}; }
  Status SetKnobs(const SchedulerKnobs&) override { return Status::Ok(); }
  SchedulerKnobs knobs() const override { return {}; }
  void SetHttpPort(uint16_t) override {}
  void SpaceOpened(const SpaceHandle&) override {}
  void SpaceWritten(const SpaceHandle&) override {}
  void SpaceClosing(ServedSpace&) override {}
  ForegroundLatency& foreground() override { std::abort(); }
  std::vector<SpaceMigration> Spaces(const std::optional<std::string>&) override {
    ++asked;
    return spaces;
  }
  MigrationFigures Figures() override { return {}; }
  void Stop() override {}

  bool dual = false;
  int asked = 0;
  std::vector<SpaceMigration> spaces;
};

class MigrationFeedTest : public ::testing::Test {
 protected:
  MigrationFeedTest() {
    for (const char* name : {"alpha", "beta"}) {
      scheduler_.spaces.emplace_back();
      scheduler_.spaces.back().space = name;
    }
  }
  FakeScheduler scheduler_;
  testing::SteppedClock clock_;
  MigrationFeed feed_{scheduler_, clock_};
};

TEST_F(MigrationFeedTest, AllWhoFollowShareOneLookABeat) {
  EXPECT_EQ(scheduler_.asked, 0) << "nobody follows";
  for (int beat = 1; beat <= 3; ++beat) {
    for (int stream = 0; stream < 40; ++stream) feed_.Latest();
    EXPECT_EQ(scheduler_.asked, beat);
    clock_.Advance(MigrationFeed::kBeatNs);
  }
}

TEST_F(MigrationFeedTest, APartIsNewInTheSnapshotItChangedIn) {
  const auto first = feed_.Latest();
  EXPECT_EQ(first->number, 1u);
  EXPECT_EQ(first->knobs.changed_in, 1u);
  ASSERT_EQ(first->spaces.size(), 2u);
  EXPECT_EQ(first->spaces[0].changed_in, 1u);
  clock_.Advance(MigrationFeed::kBeatNs);
  scheduler_.spaces[1].count = 7;
  const auto second = feed_.Latest();
  EXPECT_EQ(second->number, 2u);
  EXPECT_EQ(second->knobs.changed_in, 1u);
  EXPECT_EQ(second->spaces[0].changed_in, 1u);
  EXPECT_EQ(second->spaces[1].changed_in, 2u);
  EXPECT_THAT(*second->spaces[1].text, HasSubstr("\"count\":7"));
  clock_.Advance(MigrationFeed::kBeatNs);
  scheduler_.dual = true;
  const auto third = feed_.Latest();
  EXPECT_EQ(third->knobs.changed_in, 3u);
  EXPECT_THAT(*third->knobs.text, HasSubstr("\"dual_memory_types\":true"));
  EXPECT_EQ(third->spaces[1].changed_in, 2u);
}

TEST_F(MigrationFeedTest, ASpaceThatComesLaterIsNewAndOneThatGoesIsNotShown) {
  feed_.Latest();
  clock_.Advance(MigrationFeed::kBeatNs);
  scheduler_.spaces[0].space = "gamma";
  const auto second = feed_.Latest();
  ASSERT_EQ(second->spaces.size(), 2u);
  EXPECT_THAT(*second->spaces[0].text, HasSubstr("gamma"));
  EXPECT_EQ(second->spaces[0].changed_in, 2u);
  EXPECT_EQ(second->spaces[1].changed_in, 1u);
}

}  // namespace
}  // namespace engram::server
