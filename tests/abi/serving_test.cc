// Serving spaces through the boundary: figures, control block, migrator, many spaces at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "plugin/loader/plugin_loader.h"
#include "tests/testing/temp_dir.h"

namespace engram::plugin {
namespace {

using ::testing::ElementsAre;

class ServingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto plugin = Plugin::Load(ENGRAM_DUAL, Logger::Null());
    ASSERT_TRUE(plugin.ok()) << plugin.status().ToString();
    plugin_ = *plugin;
    engine_ = OpenEngine();
  }
  std::shared_ptr<Engine> OpenEngine(uint64_t map_size_bytes = uint64_t{4} << 30) {
    EngineOptions options;
    options.data_root = directory_.path();
    options.map_size_bytes = map_size_bytes;
    auto engine = Engine::Open(plugin_, options);
    EXPECT_TRUE(engine.ok()) << engine.status().ToString();
    return *engine;
  }
  std::unique_ptr<Space> OpenSpace(const std::string& name = "default",
                                   uint32_t access = ENGRAM_SE_ACCESS_CREATE) {
    auto space = engine_->OpenSpace({.space = name, .access = access});
    EXPECT_TRUE(space.ok()) << space.status().ToString();
    return space.ok() ? std::move(*space) : nullptr;
  }
  static void Put(Space& space, const std::string& id, const std::string& content,
                  float activation = 0.5f) {
    static const std::vector<float> kEmbedding(ENGRAM_SE_EMBEDDING_DIMENSION, 0.25f);
    engram_se_memory memory{};
    memory.struct_size = sizeof memory;
    memory.present = ENGRAM_SE_HAS_CONTENT;
    memory.id = ToBytes(id);
    memory.content = ToBytes(content);
    memory.embedding = kEmbedding.data();
    memory.activation = activation;
    const auto lsn = space.Store(memory);
    EXPECT_TRUE(lsn.ok()) << lsn.status().ToString();
  }
  static engram_se_figures Figures(Space& space) {
    const auto figures = space.Figures();
    EXPECT_TRUE(figures.ok()) << figures.status().ToString();
    return figures.ok() ? *figures : engram_se_figures{};
  }
  // Names, sizes, times and bytes of everything below the data root, two files excepted.
  std::map<std::string, std::string> Files() {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
      const std::string name = entry.path().filename();
      if (name == "lock.mdb" || name == "control" || !entry.is_regular_file()) continue;
      std::ostringstream bytes;
      bytes << entry.last_write_time().time_since_epoch().count() << " "
            << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      files[entry.path()] = bytes.str();
    }
    return files;
  }

  testing::TempDir directory_ = testing::TempDir::InMemory();
  std::shared_ptr<const Plugin> plugin_;
  std::shared_ptr<Engine> engine_;
};

TEST_F(ServingTest, FiguresCountWhatIsThereAndLookingChangesNoByte) {
  auto space = OpenSpace();
  Put(*space, "a", "hot one", 0.9f);
  Put(*space, "b", "warm one", 0.4f);
  Put(*space, "c", "cold one", 0.1f);
  ASSERT_TRUE(space->SetMode(ENGRAM_SE_MODE_DUAL).ok());
  Put(*space, "d", "another cold one", 0.1f);
  ASSERT_TRUE(space->AddEdge("a", "b", 1).ok());
  engram_se_figures figures = Figures(*space);
  EXPECT_EQ(figures.mode, ENGRAM_SE_MODE_DUAL);
  EXPECT_EQ(figures.count, 4u);
  EXPECT_EQ(figures.old_count, 3u);
  EXPECT_EQ(figures.dual_count, 1u);
  EXPECT_EQ(figures.edge_count, 1u);
  EXPECT_EQ(figures.tier_count[0], 1u);
  EXPECT_EQ(figures.tier_count[1], 1u);
  EXPECT_EQ(figures.tier_count[2], 2u);
  EXPECT_EQ(figures.log_records_total, 6u);
  EXPECT_GE(figures.log_groups_total, 1u);
  EXPECT_GE(figures.log_appended_bytes_total, 4u * 3072);
  EXPECT_GT(figures.log_flush_ns_total, 0u);
  EXPECT_EQ(figures.lsn, figures.lsn_durable);
  EXPECT_GE(figures.size_bytes, figures.log_size_bytes);
  uint64_t waits = 0;
  for (uint64_t bucket : figures.mode_gate_wait) waits += bucket;
  EXPECT_EQ(waits, 5u);  // every write but the change of the mode itself
  // Applied by now; then nothing moves any more.
  while (Figures(*space).lsn_applied != figures.lsn) usleep(1000);
  const auto before = Files();
  for (int i = 0; i < 10; ++i) figures = Figures(*space);
  EXPECT_EQ(figures.overlay_size_bytes, 0u);
  EXPECT_EQ(Files(), before);
  EXPECT_TRUE(space->Close().ok());
}

TEST_F(ServingTest, AWriteInTwoHalvesIsVisibleBehindTheSecond) {
  auto space = OpenSpace();
  Put(*space, "a", "the first makes the log ready", 0.5f);
  const std::vector<float> embedding(ENGRAM_SE_EMBEDDING_DIMENSION, 0.5f);
  engram_se_memory memory{};
  memory.struct_size = sizeof memory;
  memory.id = ToBytes("b");
  memory.embedding = embedding.data();
  const auto lsn = space->Stage(memory);
  ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
  EXPECT_FALSE(*space->Contains("b"));
  ASSERT_TRUE(space->WaitDurable(*lsn).ok());
  EXPECT_TRUE(*space->Contains("b"));
  EXPECT_EQ(space->WaitDurable(*lsn + 1).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(space->Stage(memory).ok());  // nobody waits: durable with the closing
  ASSERT_TRUE(space->Close().ok());
  space = OpenSpace("default", ENGRAM_SE_ACCESS_READ_ONLY);
  EXPECT_EQ(Figures(*space).lsn, *lsn + 1);
  EXPECT_EQ(space->Stage(memory).status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(ServingTest, TextSearchThroughTheBoundary) {
  auto space = OpenSpace();
  Put(*space, "m1", "The cat sat on the mat");
  Put(*space, "m2", "a CAT");
  Put(*space, "m3", "dogs");
  std::vector<std::pair<std::string, float>> found;
  const auto keep = [&](std::string_view id, float score) {
    found.emplace_back(id, score);
    return true;
  };
  ASSERT_TRUE(space->SearchText("cat", 0.5f, 10, keep).ok());
  EXPECT_THAT(found, ElementsAre(std::pair("m1", 1.0f), std::pair("m2", 1.0f)));
  found.clear();
  ASSERT_TRUE(space->SearchText("m3", 0.5f, 10, keep).ok());
  EXPECT_THAT(found, ElementsAre(std::pair("m3", 1.0f)));
}

TEST_F(ServingTest, TheControlBlockIsReadWithoutTheLeaseAndSurvivesItsOwner) {
  EXPECT_EQ(engine_->ReadControl("default").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));  // looking created nothing
  auto space = OpenSpace();
  EXPECT_EQ(engine_->ReadControl("default").status().code(), StatusCode::kNotFound);
  engram_se_control control{};
  control.struct_size = sizeof control;
  control.mode = ENGRAM_SE_MODE_DUAL;
  control.phase = ENGRAM_SE_PHASE_BACKFILL;
  control.pid = static_cast<uint32_t>(getpid());
  control.old_count = 17;
  control.rate_per_second = 12.5;
  std::snprintf(control.throttle_reason, sizeof control.throttle_reason, "foreground p99");
  ASSERT_TRUE(space->PublishControl(control).ok());
  auto other = OpenEngine();
  auto read = other->ReadControl("default");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->old_count, 17u);
  EXPECT_EQ(read->phase, ENGRAM_SE_PHASE_BACKFILL);
  EXPECT_EQ(read->rate_per_second, 12.5);
  EXPECT_STREQ(read->throttle_reason, "foreground p99");
  EXPECT_EQ(read->pid, static_cast<uint32_t>(getpid()));
  ASSERT_TRUE(space->Close().ok());
  read = other->ReadControl("default");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->pid, 0u);
  EXPECT_EQ(read->old_count, 17u);
  auto reader = OpenSpace("default", ENGRAM_SE_ACCESS_READ_ONLY);
  EXPECT_EQ(reader->PublishControl(control).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(reader->OpenMigrator({}).status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(ServingTest, OneMigratorAtATimeConvertsAndComesToRest) {
  auto space = OpenSpace();
  for (int i = 0; i < 50; ++i) Put(*space, "m" + std::to_string(i), "text");
  ASSERT_TRUE(space->SetMode(ENGRAM_SE_MODE_DUAL).ok());
  auto migrator = space->OpenMigrator({});
  ASSERT_TRUE(migrator.ok()) << migrator.status().ToString();
  EXPECT_EQ(space->OpenMigrator({}).status().code(), StatusCode::kBusy);
  engram_se_migrator_state state{};
  for (int i = 0; i < 100; ++i) state = (*migrator)->Step(20).value();
  EXPECT_EQ(state.phase, ENGRAM_SE_PHASE_COMPLETE);
  EXPECT_EQ(state.done, 0u);
  EXPECT_EQ(state.converted_total, 50u);
  EXPECT_EQ(state.digest_matches, 1);
  EXPECT_EQ(Figures(*space).old_count, 0u);
  migrator->reset();
  EXPECT_TRUE(space->OpenMigrator({}).ok());
}

uint64_t CountOf(const char* folder) {
  const auto entries = std::filesystem::directory_iterator(folder);
  return static_cast<uint64_t>(std::distance(begin(entries), end(entries)));
}

uint64_t VirtualBytes() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(ServingTest, TwoHundredSpacesAtOnceNeedNoThreadEachAndFitIntoTheAddressSpace) {
  constexpr uint64_t kSpaces = 200;
  constexpr uint64_t kMapSizeBytes = (uint64_t{64} << 40) / 256;  // what a server gives each
  engine_ = OpenEngine(kMapSizeBytes);
  const uint64_t threads_before = CountOf("/proc/self/task");
  const uint64_t virtual_before = VirtualBytes();
  std::vector<std::unique_ptr<Space>> spaces;
  for (uint64_t i = 0; i < kSpaces; ++i) {
    spaces.push_back(OpenSpace("space-" + std::to_string(i)));
    ASSERT_NE(spaces.back(), nullptr) << i;
    Put(*spaces.back(), "m", "text");
  }
  std::vector<std::unique_ptr<Migrator>> migrators;
  for (auto& space : spaces) {
    Put(*space, "n", "text");
    auto migrator = space->OpenMigrator({});
    ASSERT_TRUE(migrator.ok()) << migrator.status().ToString();
    migrators.push_back(std::move(*migrator));
    EXPECT_TRUE(migrators.back()->Step(100).ok());
    EXPECT_EQ(Figures(*space).count, 2u);
  }
  EXPECT_LE(CountOf("/proc/self/task"), threads_before + 4);
  EXPECT_LE(VirtualBytes() - virtual_before, (kSpaces + 1) * kMapSizeBytes);
  EXPECT_GE(VirtualBytes() - virtual_before, kSpaces * kMapSizeBytes) << "the maps are not there";
  migrators.clear();
  for (auto& space : spaces) EXPECT_TRUE(space->Close().ok());
}

}  // namespace
}  // namespace engram::plugin
