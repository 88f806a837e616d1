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
  ExpectEveryFlushIsNeeded("store", 30, 8000, RunSeed, WhyNotTried);
}

}  // namespace
}  // namespace engram::testing
