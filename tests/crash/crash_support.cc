#include "tests/crash/crash_support.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace engram::testing {
namespace {

uint64_t Number(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace

SeedRange SeedsFromEnvironment(uint64_t default_count) {
  return {Number("ENGRAM_CRASH_FIRST_SEED", 1), Number("ENGRAM_CRASH_SEEDS", default_count)};
}

SimMachine::SimMachine(uint64_t seed) : disk_(seed) { Boot(); }

void SimMachine::Boot() {
  recorder_.reset();
  fs_.reset();
  fs_ = std::make_unique<SimFileSystem>(disk_, dir_.Join("life" + std::to_string(disk_.life())));
  recorder_ = std::make_unique<LmdbRecorder>(*fs_);
}

void SimMachine::CutPower() {
  disk_.Restart();
  Boot();
}

void SimMachine::KillProcess() {
  disk_.RestartProcess();
  Boot();
}

std::string SimMachine::Path(std::string_view name) const {
  return JoinPath(fs_->real_root(), name);
}

void ExpectEverySeedPasses(const std::string& name, const SeedRange& seeds, const SeedRunner& run) {
  uint64_t crashes = 0, operations = 0, acknowledged = 0;
  for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; ++seed) {
    const SeedOutcome outcome = run(seed, "");
    ASSERT_EQ(outcome.failure, "")
        << name << ": again with ENGRAM_CRASH_FIRST_SEED=" << seed << " ENGRAM_CRASH_SEEDS=1";
    crashes += outcome.crashes;
    operations += outcome.operations;
    acknowledged += outcome.acknowledged;
  }
  std::printf("%s: %lu seeds, %lu operations, %lu crashes, %lu acknowledged writes, 0 lost\n",
              name.c_str(), seeds.count, operations, crashes, acknowledged);
}

SeedOutcome RunInChild(const SeedRunner& run, uint64_t seed, const std::string& ignored_flush) {
  int channel[2];
  SeedOutcome outcome;
  if (pipe(channel) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    const std::string failure = run(seed, ignored_flush).failure;
    [[maybe_unused]] ssize_t n = ::write(channel[1], failure.data(), failure.size());
    _exit(0);
  }
  ::close(channel[1]);
  char text[512];
  ssize_t n;
  while ((n = ::read(channel[0], text, sizeof text)) > 0) {
    outcome.failure.append(text, static_cast<size_t>(n));
  }
  ::close(channel[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) outcome.failure += "the process died with status " + std::to_string(status);
  return outcome;
}

namespace {

// The functions at the end of "sync STORE.tmp @12ab", innermost first; "" without addr2line.
std::string PlaceOf(const std::string& flush_class) {
  const size_t at = flush_class.rfind('@');
  if (at == std::string::npos) return "";
  // The return address belongs to the next statement, so one byte earlier is asked for.
  const uint64_t address = std::strtoull(flush_class.c_str() + at + 1, nullptr, 16) - 1;
  char command[160];
  std::snprintf(command, sizeof command, "addr2line -sCfi -e /proc/%d/exe 0x%lx 2>/dev/null",
                getpid(), address);
  std::string place;
  FILE* output = popen(command, "r");
  if (output == nullptr) return "";
  char line[1024];
  while (std::fgets(line, sizeof line, output) != nullptr) {
    place += std::string(line, std::strcspn(line, "\n")) + " ";
  }
  pclose(output);
  return place;
}

}  // namespace

void ExpectEveryFlushIsNeeded(
    const std::string& name, uint64_t probe_seeds, uint64_t seeds_max, const SeedRunner& run,
    const std::function<std::string(const std::string&, const std::string&)>& exempt) {
  std::set<std::string> classes;
  for (uint64_t seed = 1; seed <= probe_seeds; ++seed) classes.merge(run(seed, "").flush_classes);
  EXPECT_FALSE(classes.empty());
  for (const std::string& flush_class : classes) {
    const std::string place = PlaceOf(flush_class);
    std::printf("%s without \"%s\" in %s\n", name.c_str(), flush_class.c_str(), place.c_str());
    const std::string reason = exempt(flush_class, place);
    std::string noticed;
    uint64_t seed = 0;
    while (reason.empty() && noticed.empty() && seed < seeds_max) {
      noticed = RunInChild(run, ++seed, flush_class).failure;
    }
    if (!reason.empty()) {
      std::printf("  not tried: %s\n", reason.c_str());
      continue;
    }
    std::printf("  seed %lu: %s\n", seed, noticed.empty() ? "unnoticed" : noticed.c_str());
    std::fflush(stdout);
    EXPECT_FALSE(noticed.empty()) << "no seed notices that this flush is missing: " << flush_class
                                  << " in " << place;
  }
}

}  // namespace engram::testing
