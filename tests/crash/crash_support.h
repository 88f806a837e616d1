// What the crash tests share: seeds from the environment, lives of a simulated machine, and the
// search for a seed that notices a missing flush.
//
//   ENGRAM_CRASH_SEEDS       how many seeds a run takes
//   ENGRAM_CRASH_FIRST_SEED  the first one; a failure prints the seed that shows it again
#ifndef ENGRAM_TESTS_CRASH_CRASH_SUPPORT_H_
#define ENGRAM_TESTS_CRASH_CRASH_SUPPORT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "tests/testing/lmdb_recorder.h"
#include "tests/testing/sim_file_system.h"
#include "tests/testing/temp_dir.h"

namespace engram::testing {

inline constexpr uint64_t kPageBytes = 4096;  // of the log and of LMDB

struct SeedRange {
  uint64_t first = 1;
  uint64_t count = 2000;
};
SeedRange SeedsFromEnvironment(uint64_t default_count);

// One disk and the processes that live on it one after the other.
class SimMachine {
 public:
  explicit SimMachine(uint64_t seed);
  // The power goes, or the process alone is killed. Everything that used fs() must be gone.
  void CutPower();
  void KillProcess();
  SimDisk& disk() { return disk_; }
  const SimDisk& disk() const { return disk_; }
  SimFileSystem& fs() { return *fs_; }
  std::string Path(std::string_view name) const;

 private:
  void Boot();
  TempDir dir_ = TempDir::InMemory();
  SimDisk disk_;
  std::unique_ptr<SimFileSystem> fs_;
  std::unique_ptr<LmdbRecorder> recorder_;
};

// What one seed found; empty `failure` is a pass.
struct SeedOutcome {
  std::string failure;
  uint64_t crashes = 0;
  uint64_t operations = 0;
  uint64_t acknowledged = 0;
  std::set<std::string> flush_classes;
};
// Runs one seed while flushes of `ignored_flush` do nothing ("": none is ignored).
using SeedRunner = std::function<SeedOutcome(uint64_t seed, const std::string& ignored_flush)>;

// Fails the test at the first seed that fails; prints the totals.
void ExpectEverySeedPasses(const std::string& name, const SeedRange& seeds, const SeedRunner& run);

// Runs `run` in a child process: a store whose flushes are ignored may read anything and die of it.
SeedOutcome RunInChild(const SeedRunner& run, uint64_t seed, const std::string& ignored_flush);

// For each flush class that the first `probe_seeds` seeds show: ignoring it must make one of
// `seeds_max` seeds fail. `exempt` gives the reason why a class is not tried, or ""; `place` names
// the functions that the flush is called from.
void ExpectEveryFlushIsNeeded(const std::string& name, uint64_t probe_seeds, uint64_t seeds_max,
                              const SeedRunner& run,
                              const std::function<std::string(const std::string& flush_class,
                                                              const std::string& place)>& exempt);

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_CRASH_CRASH_SUPPORT_H_
