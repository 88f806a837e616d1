// The scheduler over the real engine, in spaces of their own.
#include "server/migration/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include "server/migration/control_mirror.h"
#include "tests/testing/temp_dir.h"

namespace engram::server {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<plugin::Engine> OpenEngine(const std::string& data_root) {
  auto plugin = plugin::Plugin::Load(std::string(ENGRAM_BINARY_DIR) + "/lib/libengram_dual.so",
                                     Logger::Null());
  EXPECT_TRUE(plugin.ok()) << plugin.status().ToString();
  plugin::EngineOptions options;
  options.data_root = data_root;
  options.map_size_bytes = uint64_t{1} << 30;
  auto engine = plugin::Engine::Open(*plugin, options);
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return *engine;
}

class SchedulerTest : public ::testing::Test {
 protected:
  ~SchedulerTest() override { Close(); }

  void Open(MigrationScheduler::Options options = {}) {
    SpaceRegistry::Options registry;
    registry.data_root = root_.path();
    registry.mode_for_new = [this] {
      MigrationScheduler* scheduler = in_use_.load();
      return scheduler != nullptr && scheduler->dual_memory_types() ? ENGRAM_SE_MODE_DUAL
                                                                    : ENGRAM_SE_MODE_LEGACY;
    };
    registry.opened = [this](const SpaceHandle& space) {
      if (MigrationScheduler* scheduler = in_use_.load()) scheduler->SpaceOpened(space);
    };
    registry.written = [this](const SpaceHandle& space) {
      if (MigrationScheduler* scheduler = in_use_.load()) scheduler->SpaceWritten(space);
    };
    registry.closing = [this](ServedSpace& space) {
      if (MigrationScheduler* scheduler = in_use_.load()) scheduler->SpaceClosing(space);
    };
    registry.max_open_spaces = max_open_spaces_;
    spaces_ = std::make_unique<SpaceRegistry>(OpenEngine(root_.path()), registry, Logger::Null());
    options.data_root = root_.path();
    auto scheduler = MigrationScheduler::Start(*spaces_, options, Clock::System(), Logger::Null());
    ASSERT_TRUE(scheduler.ok()) << scheduler.status().ToString();
    scheduler_ = std::move(*scheduler);
    in_use_.store(scheduler_.get());
  }
  void Close() {
    if (scheduler_) scheduler_->Stop();
    if (spaces_) {
      EXPECT_TRUE(spaces_->Close().ok());
    }
    in_use_.store(nullptr);
    spaces_.reset();
    scheduler_.reset();
  }

  void Store(const std::string& name, const std::string& id) {
    const auto space = spaces_->FindOrCreate(name);
    ASSERT_TRUE(space.ok()) << space.status().ToString();
    std::vector<float> embedding(ENGRAM_SE_EMBEDDING_DIMENSION, 0.25f);
    engram_se_memory memory{};
    memory.struct_size = sizeof memory;
    memory.node_type = ENGRAM_SE_NODE_EPISODE;
    memory.present = ENGRAM_SE_HAS_CONTENT;
    memory.id = plugin::ToBytes(id);
    memory.content = plugin::ToBytes("content");
    memory.embedding = embedding.data();
    memory.activation = 0.5f;
    memory.confidence_encoding = 0.5f;
    WriteScope scope(*spaces_, *space);
    const auto stored = (*space)->space->Store(memory);
    ASSERT_TRUE(stored.ok()) << stored.status().ToString();
  }
  void Fill(const std::string& name, int count) {
    for (int i = 0; i < count; ++i) Store(name, "id-" + std::to_string(i));
  }
  SpaceMigration StatusOf(const std::string& name) {
    const auto all = scheduler_->Spaces(name);
    return all.empty() ? SpaceMigration{} : all.front();
  }
  bool WaitFor(const std::function<bool()>& condition, int seconds = 30) {
    for (int i = 0; i < seconds * 200; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  bool Drained(const std::string& name) {
    const SpaceMigration status = StatusOf(name);
    return status.remaining_old == 0 && status.phase == "complete";
  }

  testing::TempDir root_ = testing::TempDir::InMemory();
  uint32_t max_open_spaces_ = 256;
  std::atomic<MigrationScheduler*> in_use_{nullptr};
  std::unique_ptr<SpaceRegistry> spaces_;
  std::unique_ptr<MigrationScheduler> scheduler_;
};

TEST_F(SchedulerTest, SpacesShareTheRateInTurns) {
  Open();
  const std::vector<std::string> names = {"alpha", "beta", "gamma", "delta"};
  for (const std::string& name : names) Fill(name, 200);
  SchedulerKnobs knobs;
  knobs.rate_limit = 200;
  ASSERT_TRUE(scheduler_->SetKnobs(knobs).ok());
  ASSERT_TRUE(scheduler_->SetDualMemoryTypes(true).ok());
  ASSERT_TRUE(WaitFor([&] { return StatusOf("alpha").remaining_old <= 100; }));
  std::vector<uint64_t> remaining;
  for (const std::string& name : names) remaining.push_back(StatusOf(name).remaining_old);
  const auto [least, most] = std::minmax_element(remaining.begin(), remaining.end());
  EXPECT_LE(*most - *least, 60u) << "one space waits for another to be finished";
  knobs.rate_limit = 0;
  ASSERT_TRUE(scheduler_->SetKnobs(knobs).ok());
  for (const std::string& name : names) {
    EXPECT_TRUE(WaitFor([&] { return Drained(name); })) << name << " " << StatusOf(name).phase;
  }
}

TEST_F(SchedulerTest, ASpaceThatCannotBeOpenedStopsNoOther) {
  Open();
  Fill("broken", 20);
  Fill("good", 20);
  Close();
  auto other = OpenEngine(root_.path());
  auto lease = other->OpenSpace({.space = "broken", .access = ENGRAM_SE_ACCESS_READ_WRITE});
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  MigrationScheduler::Options options;
  options.dual_memory_types = true;
  Open(options);
  EXPECT_TRUE(WaitFor([&] { return Drained("good"); }));
  ASSERT_TRUE(WaitFor([&] { return StatusOf("broken").phase == "failed"; }));
  EXPECT_NE(StatusOf("broken").error, "");
  EXPECT_GT(scheduler_->Figures().failed_steps_total, 0u);
  lease->reset();
  EXPECT_TRUE(WaitFor([&] { return Drained("broken"); })) << "it is not tried again";
  EXPECT_EQ(StatusOf("broken").error, "");
}

TEST_F(SchedulerTest, ASpaceThatCannotBeOpenedTakesTheFlagLaterAndKeepsItFromNobody) {
  Open();
  Fill("alpha", 1);
  Fill("omega", 1);
  Close();
  auto other = OpenEngine(root_.path());
  auto lease = other->OpenSpace({.space = "omega", .access = ENGRAM_SE_ACCESS_READ_WRITE});
  ASSERT_TRUE(lease.ok());
  Open();
  for (const bool on : {true, false, true}) {
    const auto failures = scheduler_->SetDualMemoryTypes(on);
    ASSERT_TRUE(failures.ok()) << failures.status().ToString();
    ASSERT_EQ(failures->size(), 1u);
    EXPECT_EQ(failures->front().space, "omega");
    EXPECT_EQ(scheduler_->dual_memory_types(), on);
    EXPECT_EQ(StatusOf("alpha").mode, on ? ENGRAM_SE_MODE_DUAL : ENGRAM_SE_MODE_LEGACY);
    EXPECT_NE(StatusOf("omega").error, "");
  }
  lease->reset();
  ASSERT_TRUE(spaces_->Find("omega").ok());
  EXPECT_EQ(StatusOf("omega").mode, ENGRAM_SE_MODE_DUAL);
  EXPECT_TRUE(WaitFor([&] { return StatusOf("omega").error.empty(); }));
}

TEST_F(SchedulerTest, ASpaceTakesTheFlagsModeWhenItOpens) {
  Open();
  Fill("early", 3);
  ASSERT_TRUE(scheduler_->SetDualMemoryTypes(true).ok());
  Fill("late", 3);
  EXPECT_EQ(StatusOf("late").mode, ENGRAM_SE_MODE_DUAL);
  Close();
  Open();  // the flag is off
  ASSERT_TRUE(spaces_->Find("early").ok());
  ASSERT_TRUE(spaces_->Find("late").ok());
  EXPECT_EQ(StatusOf("early").mode, ENGRAM_SE_MODE_LEGACY);
  EXPECT_EQ(StatusOf("late").mode, ENGRAM_SE_MODE_LEGACY);
}

TEST_F(SchedulerTest, MoreSpacesThanMayBeOpenAreAllConverted) {
  max_open_spaces_ = 3;
  Open();
  for (int i = 0; i < 10; ++i) Fill("space-" + std::to_string(i), 20);
  ASSERT_TRUE(scheduler_->SetDualMemoryTypes(true).ok());
  for (int i = 0; i < 10; ++i) {
    const std::string name = "space-" + std::to_string(i);
    EXPECT_TRUE(WaitFor([&] { return StatusOf(name).remaining_old == 0; })) << name;
  }
}

// With no time to open them a turn of the flag leaves all that are closed to later.
TEST_F(SchedulerTest, AClosedSpaceTakesTheFlagBeforeAnyoneUsesItAndInTheEndByItself) {
  max_open_spaces_ = 2;
  MigrationScheduler::Options options;
  options.closed_spaces_wait_ms = 0;
  options.knobs.paused = true;
  Open(options);
  std::vector<std::string> names;
  for (int i = 0; i < 60; ++i) {
    names.push_back("space-" + std::to_string(i));
    Fill(names.back(), 1);
  }
  size_t left = 0;
  for (const bool on : {true, false, true, false}) {
    const uint32_t wanted = on ? ENGRAM_SE_MODE_DUAL : ENGRAM_SE_MODE_LEGACY;
    std::set<std::string> closed(names.begin(), names.end());
    for (const SpaceHandle& space : spaces_->Open()) closed.erase(space->name);
    const std::string last = *closed.rbegin();  // of those that follow by themselves
    const auto failures = scheduler_->SetDualMemoryTypes(on);
    ASSERT_TRUE(failures.ok() && failures->empty());
    left += scheduler_->pending_spaces();
    const SpaceMigration behind = StatusOf(last);
    EXPECT_EQ(behind.mode_due, behind.mode == wanted ? 0 : wanted);
    for (const std::string& name : {last, *closed.begin()}) {
      const auto space = spaces_->Find(name);
      ASSERT_TRUE(space.ok());
      EXPECT_EQ(*(*space)->space->Mode(), wanted) << name;
      EXPECT_EQ(StatusOf(name).mode_due, 0u) << name;
    }
    ASSERT_TRUE(WaitFor([&] { return scheduler_->pending_spaces() == 0; }));
    for (const std::string& name : names) {
      const SpaceMigration status = StatusOf(name);
      EXPECT_EQ(status.mode, wanted) << name;
      EXPECT_EQ(status.mode_due, 0u) << name;
    }
  }
  EXPECT_GT(left, 0u) << "none was left to later: this shows nothing";
}

TEST_F(SchedulerTest, WhatTheLastServerDidNotGetToIsTakenByTheNext) {
  Open();
  Fill("alpha", 1);
  ASSERT_TRUE(scheduler_->SetDualMemoryTypes(true).ok());
  Close();
  Open();  // the flag is off
  EXPECT_TRUE(WaitFor([&] { return StatusOf("alpha").mode == ENGRAM_SE_MODE_LEGACY; }));
  EXPECT_EQ(StatusOf("alpha").mode_due, 0u);
}

TEST_F(SchedulerTest, PausedNothingIsConverted) {
  Open();
  Fill("alpha", 50);
  SchedulerKnobs knobs;
  knobs.paused = true;
  ASSERT_TRUE(scheduler_->SetKnobs(knobs).ok());
  ASSERT_TRUE(scheduler_->SetDualMemoryTypes(true).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(StatusOf("alpha").remaining_old, 50u);
  EXPECT_EQ(StatusOf("alpha").throttle_reason, "paused");
  EXPECT_TRUE(scheduler_->Figures().throttles[0].active);
  knobs.paused = false;
  ASSERT_TRUE(scheduler_->SetKnobs(knobs).ok());
  EXPECT_TRUE(WaitFor([&] { return Drained("alpha"); }));
  EXPECT_EQ(StatusOf("alpha").throttle_reason, "");
}

// The scheduler's thread opens no migrator while it is paused: it is there before the write, or the
// write is lost to it.
TEST_F(SchedulerTest, WithoutTheHistoryScanWhatIsWrittenDuringAPauseIsTailedBehindIt) {
  Open();
  Fill("alpha", 10);
  SchedulerKnobs knobs;
  knobs.history_scan = false;
  knobs.paused = true;
  ASSERT_TRUE(scheduler_->SetKnobs(knobs).ok());
  Store("alpha", "new");
  Store("opened-later", "new");
  knobs.paused = false;
  ASSERT_TRUE(scheduler_->SetKnobs(knobs).ok());
  EXPECT_TRUE(WaitFor([&] { return StatusOf("alpha").remaining_old == 10; }, 5));
  EXPECT_TRUE(WaitFor([&] { return StatusOf("opened-later").remaining_old == 0; }, 5));
}

TEST_F(SchedulerTest, WithoutTheHistoryScanTheFirstWriteIsTailedAlready) {
  Open();
  Fill("alpha", 10);
  SchedulerKnobs knobs;
  knobs.history_scan = false;
  ASSERT_TRUE(scheduler_->SetKnobs(knobs).ok());
  Store("alpha", "new");
  EXPECT_TRUE(WaitFor([&] { return StatusOf("alpha").remaining_old == 10; }));
  // The first write of each comes right behind its opening.
  for (int i = 0; i < 30; ++i) Store("space-" + std::to_string(i), "new");
  for (int i = 0; i < 30; ++i) {
    const std::string name = "space-" + std::to_string(i);
    EXPECT_TRUE(WaitFor([&] { return StatusOf(name).remaining_old == 0; }, 5)) << name;
  }
  EXPECT_EQ(StatusOf("alpha").mode, ENGRAM_SE_MODE_LEGACY);
}

TEST_F(SchedulerTest, KnobsOutOfRangeChangeNothing) {
  Open();
  SchedulerKnobs knobs;
  knobs.rate_limit = 5;
  knobs.p99_budget_percent = -1;
  EXPECT_EQ(scheduler_->SetKnobs(knobs).code(), StatusCode::kInvalidArgument);
  knobs.p99_budget_percent = 5;
  knobs.batch_size = 0;
  EXPECT_EQ(scheduler_->SetKnobs(knobs).code(), StatusCode::kInvalidArgument);
  knobs.batch_size = 1;
  knobs.p99_budget_percent = 1001;  // as in the table of keys
  EXPECT_EQ(scheduler_->SetKnobs(knobs).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(scheduler_->knobs().rate_limit, 0u);
}

TEST(ControlMirrorTest, EveryPhaseHasANumberOfItsOwn) {
  std::set<uint32_t> numbers;
  for (const char* phase : {"tail", "backfill", "verify", "complete", "ingest", "failed"}) {
    EXPECT_NE(PhaseNumber(phase), 0u) << phase;
    EXPECT_STREQ(PhaseName(PhaseNumber(phase)), phase);
    numbers.insert(PhaseNumber(phase));
  }
  EXPECT_EQ(numbers.size(), 6u);
  EXPECT_EQ(PhaseNumber("off"), 0u);
}

TEST_F(SchedulerTest, TheControlBlockShowsWhatTheStatusSays) {
  Open();
  Fill("alpha", 20);
  scheduler_->SetHttpPort(4711);
  ASSERT_TRUE(scheduler_->SetDualMemoryTypes(true).ok());
  ASSERT_TRUE(WaitFor([&] { return Drained("alpha"); }));
  const auto control = [&] { return spaces_->engine().ReadControl("alpha"); };
  ASSERT_TRUE(WaitFor([&] {
    const auto block = control();
    return block.ok() && block->phase == ENGRAM_SE_PHASE_COMPLETE && block->old_count == 0;
  }));
  const auto block = control();
  EXPECT_EQ(block->pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(block->http_port, 4711u);
  EXPECT_EQ(block->count, 20u);
  EXPECT_EQ(block->mode, ENGRAM_SE_MODE_DUAL);
  Close();
  const auto after = OpenEngine(root_.path())->ReadControl("alpha");
  ASSERT_TRUE(after.ok()) << after.status().ToString();
  EXPECT_EQ(after->pid, 0u) << "nobody holds it";
}

}  // namespace
}  // namespace engram::server
