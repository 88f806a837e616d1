// A store on the simulated disk with migrators that are stopped anywhere: content, digests and
// counts are those of the model after every crash, and the next migrator comes to the end.
#include <gtest/gtest.h>

#include "tests/crash/store_simulation.h"

namespace engram::testing {
namespace {

SeedOutcome RunSeed(uint64_t seed, const std::string& ignored_flush) {
  StoreSimulation simulation(seed, ignored_flush);
  simulation.LetMigratorsCome();
  return simulation.Run(200);
}

TEST(MigratorCrashTest, TheNextMigratorGoesOnFromAnywhereAndNothingIsLost) {
  ExpectEverySeedPasses("migrator", SeedsFromEnvironment(400), RunSeed);
}

}  // namespace
}  // namespace engram::testing
