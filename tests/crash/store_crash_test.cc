// The whole store on the simulated disk: log, LMDB environment, STORE and checkpoint lose power at
// one instant. Every acknowledged write is there, nothing deleted returns, the rest is a prefix,
// and every digest is that of the rows.
#include <gtest/gtest.h>

#include "tests/crash/store_simulation.h"

namespace engram::testing {
namespace {

constexpr uint64_t kOperationsMin = 200;

SeedOutcome RunSeed(uint64_t seed, const std::string& ignored_flush) {
  return StoreSimulation(seed, ignored_flush).Run(kOperationsMin);
}

// A store whose compaction is killed where a directory is flushed, and whose next life loses the
// power while it opens: STORE was read from the page cache then, and the generation before it is
// removed on its word.
class SwapScenario {
 public:
  SwapScenario(uint64_t seed, const std::string& ignored_flush)
      : machine_(seed),
        kill_at_(1 + seed % kDirectoryFlushesOfCompaction),
        cut_at_(1 + seed / kDirectoryFlushesOfCompaction % kCallsOfOpen) {
    if (ignored_flush.empty()) return;
    machine_.disk().IgnoreFlushes([=](std::string_view name) { return name == ignored_flush; });
  }

  SeedOutcome Run() {
    Status status = WriteAndCompact();
    if (status.ok() || !machine_.disk().crashed()) return Outcome("no kill: " + status.ToString());
    machine_.KillProcess();
    machine_.disk().Arm({Fault::Kind::kCrash, cut_at_, kNamespaceCall | kDirectoryFlushCall});
    status = Open().status();
    if (!status.ok() && !machine_.disk().crashed()) return Outcome(status.ToString());
    machine_.CutPower();
    return Outcome(CheckKept());
  }

 private:
  static constexpr uint64_t kDirectoryFlushesOfCompaction = 3;
  static constexpr uint64_t kCallsOfOpen = 12;

  Result<std::unique_ptr<engine::Store>> Open() {
    engine::StoreOptions options;
    options.directory = machine_.Path("dual");
    options.space = "crash-test";
    options.access = engine::Access::kCreate;
    options.map_size_bytes = 16u << 20;
    options.log.segment_size_bytes_min = 8 * kPageBytes;
    options.background_apply = false;
    return engine::Store::Open({.fs = machine_.fs()}, options);
  }

  Status WriteAndCompact() {
    ENGRAM_ASSIGN_OR_RETURN(auto store, Open());
    ENGRAM_ASSIGN_OR_RETURN(auto txn, store->Begin());
    ENGRAM_TRY(txn->SetMeta("acknowledged", "yes"));
    ENGRAM_ASSIGN_OR_RETURN(const Lsn lsn, txn->Stage());
    txn.reset();
    ENGRAM_TRY(store->WaitDurable(lsn));
    machine_.disk().Arm({Fault::Kind::kCrash, kill_at_, kDirectoryFlushCall});
    return store->Compact({}).status();
  }

  std::string CheckKept() {
    auto store = Open();
    if (!store.ok()) return "the store did not open: " + store.status().ToString();
    auto view = (*store)->View();
    if (!view.ok()) return view.status().ToString();
    const auto row = (*view)->Meta("acknowledged");
    if (!row.ok()) return row.status().ToString();
    return *row == "yes" ? "" : "an acknowledged write is lost";
  }

  SeedOutcome Outcome(const std::string& failure) const {
    return {.failure = failure,
            .crashes = 2,
            .operations = 2,
            .acknowledged = 1,
            .flush_classes = machine_.disk().flush_classes()};
  }

  SimMachine machine_;
  const uint64_t kill_at_;
  const uint64_t cut_at_;
};

SeedOutcome RunSwap(uint64_t seed, const std::string& ignored_flush) {
  return SwapScenario(seed, ignored_flush).Run();
}

// The short one first: some flushes are only needed there.
SeedOutcome RunSwapAndSeed(uint64_t seed, const std::string& ignored_flush) {
  SeedOutcome swap = RunSwap(seed, ignored_flush);
  if (!swap.failure.empty()) return swap;
  SeedOutcome outcome = RunSeed(seed, ignored_flush);
  outcome.flush_classes.merge(swap.flush_classes);
  return outcome;
}

TEST(StoreCrashTest, NoAcknowledgedWriteIsLostAndNothingDeletedReturns) {
  ExpectEverySeedPasses("store", SeedsFromEnvironment(2000), RunSeed);
}

TEST(StoreCrashTest, AStoreFileFoundAfterAKillHoldsThroughAPowerCutWhileItsStoreOpens) {
  ExpectEverySeedPasses("swap", SeedsFromEnvironment(2000), RunSwap);
}

std::string WhyNotTried(const std::string& flush_class, const std::string& place) {
  auto contains = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  if (contains(flush_class, "dual/log")) return "the log's own test shows that it is needed";
  if (contains(place, "CreateDirectories")) {
    return "the log's own test shows that it is needed; here a later flush covers the same folder";
  }
  if (contains(place, "OpenTables")) {
    return "creates empty tables in a generation that STORE does not name yet";
  }
  return "";
}

TEST(StoreCrashTest, WithoutAnyOneFlushSomeSeedFails) {
  ExpectEveryFlushIsNeeded("store", 30, 8000, RunSwapAndSeed, WhyNotTried);
}

}  // namespace
}  // namespace engram::testing
