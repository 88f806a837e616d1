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

TEST(StoreCrashTest, NoAcknowledgedWriteIsLostAndNothingDeletedReturns) {
  ExpectEverySeedPasses("store", SeedsFromEnvironment(2000), RunSeed);
}

TEST(StoreCrashTest, WithoutAnyOneFlushSomeSeedFails) {
  ExpectEveryFlushIsNeeded("store", 20, 2000, RunSeed,
                           [](const std::string&) { return std::string(); });
}

}  // namespace
}  // namespace engram::testing
