#include "server/graph/space_registry.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/server/engine_fixture.h"

namespace engram::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Must;

class SpaceRegistryTest : public ::testing::Test {
 protected:
  SpaceRegistry& Registry(SpaceRegistry::Options options = {}) {
    options.data_root = root_.path();
    registry_ = std::make_unique<SpaceRegistry>(testing::OpenEngine(root_.path()),
                                                std::move(options), Logger::Null());
    return *registry_;
  }
  void LeaveUpstreamLog(const std::string& folder) {
    std::filesystem::create_directories(root_.Join(folder));
    std::ofstream(root_.Join(folder + "/wal-0000000000000001.log"));
  }
  bool HasStore(const std::string& space) const {
    return std::filesystem::exists(root_.Join(space + "/dual/STORE"));
  }

  engram::testing::TempDir root_ = engram::testing::TempDir::InMemory();
  // What the callbacks were told; they live as long as the registry.
  std::mutex closed_mutex_;
  std::vector<std::string> closed_;  // guarded by closed_mutex_ while the registry closes
  std::vector<std::string> told_;
  std::atomic<int> opened_{0};
  std::unique_ptr<SpaceRegistry> registry_;
};

TEST_F(SpaceRegistryTest, AReadNeverCreatesASpace) {
  SpaceRegistry& registry = Registry();
  EXPECT_EQ(Must(registry.Find("nowhere")), nullptr);
  EXPECT_EQ(registry.FindOpen("nowhere"), nullptr);
  EXPECT_TRUE(std::filesystem::is_empty(root_.path()));
  EXPECT_THAT(Must(registry.Names()), IsEmpty());
}

TEST_F(SpaceRegistryTest, AWriteMakesTheSpaceInTheModeForNewOnes) {
  SpaceRegistry& registry = Registry({.mode_for_new = [] { return ENGRAM_SE_MODE_DUAL; }});
  const SpaceHandle space = Must(registry.FindOrCreate("  notes "));
  EXPECT_EQ(space->name, "notes");
  EXPECT_EQ(Must(space->space->Mode()), ENGRAM_SE_MODE_DUAL);
  EXPECT_EQ(Must(registry.Find("notes")), space);
  EXPECT_EQ(registry.FindOpen("notes"), space);
  EXPECT_THAT(Must(registry.Names()), ElementsAre("notes"));
}

TEST_F(SpaceRegistryTest, ABadNameIsNoSpaceToReadAndNoSpaceToMake) {
  SpaceRegistry& registry = Registry();
  for (const char* name : {"", "ab", "../x", ".", "Upper", "sp ace", "\xC3\xA4\xC3\xB6\xC3\xBC"}) {
    EXPECT_EQ(Must(registry.Find(name)), nullptr) << name;
    EXPECT_EQ(registry.FindOrCreate(name).status().code(), StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(registry.FindOrCreate(std::string(65, 'a')).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(std::filesystem::is_empty(root_.path()));
}

TEST_F(SpaceRegistryTest, ManyThreadsOpenASpaceOnce) {
  SpaceRegistry& registry = Registry({.opened = [&](const SpaceHandle&) { ++opened_; }});
  std::vector<SpaceHandle> handles(16);
  std::vector<std::thread> threads;
  for (SpaceHandle& handle : handles) {
    threads.emplace_back([&] { handle = Must(registry.FindOrCreate("shared")); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(opened_, 1);
  for (const SpaceHandle& handle : handles) EXPECT_EQ(handle, handles[0]);
}

TEST_F(SpaceRegistryTest, AtTheLimitTheOneUsedLongestAgoIsClosed) {
  SpaceRegistry& registry = Registry({
      .max_open_spaces = 2,
      .closing =
          [&](ServedSpace& space) {  // at the end on several threads
            std::lock_guard<std::mutex> lock(closed_mutex_);
            closed_.push_back(space.name);
          },
  });
  testing::StoreText(*Must(registry.FindOrCreate("aaa"))->space, "id", "kept");
  Must(registry.FindOrCreate("bbb").status());
  Must(registry.Find("aaa").status());
  Must(registry.FindOrCreate("ccc").status());
  EXPECT_THAT(closed_, ElementsAre("bbb"));
  EXPECT_EQ(registry.Open().size(), 2u);
  Must(registry.Find("bbb").status());
  EXPECT_THAT(closed_, ElementsAre("bbb", "aaa"));
  EXPECT_TRUE(Must(Must(registry.Find("aaa"))->space->Contains("id")));
}

TEST_F(SpaceRegistryTest, ASpaceInUseIsNotClosed) {
  SpaceRegistry& registry = Registry({.max_open_spaces = 1});
  SpaceHandle held = Must(registry.FindOrCreate("aaa"));
  const Status refused = registry.FindOrCreate("bbb").status();
  EXPECT_EQ(refused.code(), StatusCode::kBusy);
  EXPECT_THAT(refused.hint(), HasSubstr("max_open_spaces"));
  EXPECT_EQ(Must(held->space->Count()), 0u);
  held.reset();
  Must(registry.FindOrCreate("bbb").status());
}

// Readers and writers on more spaces than may be open: every one finds its own record again.
TEST_F(SpaceRegistryTest, SpacesComeAndGoUnderThreads) {
  SpaceRegistry& registry = Registry({.max_open_spaces = 3});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry, t] {
      const std::string id = "writer-" + std::to_string(t);
      for (int round = 0; round < 12; ++round) {
        const std::string name = "space-" + std::to_string((t + round) % 6);
        auto space = registry.FindOrCreate(name);
        if (space.status().code() == StatusCode::kBusy) continue;
        testing::StoreText(*Must(std::move(space))->space, id, name);
        auto again = registry.Find(name);
        if (again.status().code() == StatusCode::kBusy) continue;
        ASSERT_TRUE(Must(Must(std::move(again))->space->Contains(id))) << name;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Must(registry.Close());
}

TEST_F(SpaceRegistryTest, WhatUpstreamLeftIsASpaceToRead) {
  LeaveUpstreamLog("old-space/wal");
  LeaveUpstreamLog("archived/wal/.archive-1");
  LeaveUpstreamLog("wal");
  std::filesystem::create_directories(root_.Join("no-log/wal"));
  SpaceRegistry& registry = Registry();
  EXPECT_THAT(Must(registry.Names()), ElementsAre("archived", "default", "old-space"));
  EXPECT_NE(Must(registry.Find("old-space")), nullptr);
  EXPECT_NE(Must(registry.Find("default")), nullptr);
  EXPECT_EQ(Must(registry.Find("no-log")), nullptr);
  EXPECT_TRUE(HasStore("old-space"));
  EXPECT_FALSE(HasStore("no-log"));
}

TEST_F(SpaceRegistryTest, AWriteIsCountedAndToldOf) {
  SpaceRegistry& registry = Registry({
      .written = [&](const SpaceHandle& space) { told_.push_back(space->name); },
  });
  const SpaceHandle space = Must(registry.FindOrCreate("aaa"));
  {
    const WriteScope scope(registry, space);
    EXPECT_EQ(space->writes_in_flight, 1u);
    EXPECT_EQ(space->writes, 0u);
  }
  EXPECT_EQ(space->writes_in_flight, 0u);
  EXPECT_EQ(space->writes, 1u);
  EXPECT_THAT(told_, ElementsAre("aaa"));
}

TEST_F(SpaceRegistryTest, ASpaceThatIsHeldIsNotReopenedAndKeepsNobodyWaiting) {
  SpaceRegistry& registry = Registry();
  SpaceHandle held = Must(registry.FindOrCreate("notes"));
  std::thread reopening(
      [&] { EXPECT_EQ(registry.Reopen("notes", 300).code(), StatusCode::kBusy); });
  Status met;
  while (met.ok()) met = registry.Find("notes").status();
  EXPECT_EQ(met.code(), StatusCode::kBusy) << "nobody waits for whoever holds it";
  reopening.join();
  EXPECT_EQ(Must(registry.Find("notes")), held) << "it stays open";
  held.reset();
  EXPECT_TRUE(registry.Reopen("notes", 2000).ok());
  EXPECT_NE(Must(registry.Find("notes")), nullptr);
}

TEST_F(SpaceRegistryTest, CloseNamesASpaceThatIsStillHeldAndOpensNoOther) {
  SpaceRegistry& registry = Registry();
  SpaceHandle held = Must(registry.FindOrCreate("held"));
  Must(registry.FindOrCreate("idle").status());
  const Status late = registry.Close(20);
  EXPECT_EQ(late.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(late.message(), HasSubstr("held"));
  EXPECT_EQ(registry.FindOrCreate("other").status().code(), StatusCode::kBusy);
  held.reset();
  Must(registry.Close());
}

}  // namespace
}  // namespace engram::server
