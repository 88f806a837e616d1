// A data root with spaces of our own and the jobs on them, as short verbs.
#ifndef ENGRAM_TESTS_MIGRATION_MIGRATION_FIXTURE_H_
#define ENGRAM_TESTS_MIGRATION_MIGRATION_FIXTURE_H_

#include <gmock/gmock.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compat/memory_backend.h"
#include "migration/migration.h"
#include "migration/spaces.h"
#include "tests/testing/record_generator.h"
#include "tests/testing/temp_dir.h"

namespace engram::migration {

inline void ExpectOk(const Status& status) {
  EXPECT_TRUE(status.ok()) << status.ToString() << " / " << status.hint();
}

class MigrationTest : public ::testing::Test {
 protected:
  MigrationTest() : root_(testing::TempDir::InMemory()) {
    context_.data_root = root_.Join("data");
    context_.map_size_bytes = uint64_t{4} << 30;
    context_.log.io = wal::LogIo::kPwrite;
    context_.log.segment_size_bytes_min = 1u << 20;
  }

  std::unique_ptr<engine::Store> Open(engine::Access access = engine::Access::kReadWrite,
                                      const std::string& space = "default") {
    auto store = OpenSpace(context_, space, access);
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return store.ok() ? std::move(*store) : nullptr;
  }

  // Old records, as a server with the flag off writes them. Ids are "<prefix><number>".
  void PutOld(uint64_t count, const std::string& prefix = "m-", uint64_t seed = 1) {
    auto store = Open(engine::Access::kCreate);
    auto backend = compat::MemoryBackend::Make(*store, {});
    Put(*backend, count, prefix, seed);
    ExpectOk(store->Close());
  }
  void Put(compat::MemoryBackend& backend, uint64_t count, const std::string& prefix,
           uint64_t seed) {
    testing::RecordGenerator random(seed);
    constexpr uint64_t kBatch = 500;
    for (uint64_t first = 0; first < count; first += kBatch) {
      const uint64_t n = std::min(kBatch, count - first);
      std::vector<engine::Memory> memories(n);
      std::vector<engine::Embedding> embeddings(n);
      std::vector<compat::MemoryBackend::PutItem> items(n);
      for (uint64_t i = 0; i < n; ++i) {
        memories[i] = random.Memory();
        memories[i].text.id = prefix + std::to_string(first + i);
        memories[i].layout = engine::Layout::kNone;
        random.FillEmbedding(&embeddings[i]);
        items[i] = {&memories[i], &embeddings[i]};
      }
      std::vector<Lsn> lsns;
      ExpectOk(backend.PutBatch(items, &lsns));
    }
  }

  // In a converted space: the Concept "idea", bound to m-1, and two edges, one of them to nowhere.
  static void PutConceptAndLinks(compat::MemoryBackend& backend) {
    testing::RecordGenerator random(5);
    engine::DualNode node;
    node.text.id = "idea";
    node.extension = testing::GoldenConcept();
    engine::Embedding centroid;
    random.FillEmbedding(&centroid);
    EXPECT_TRUE(backend.PutNode(node, centroid).ok());
    ExpectOk(backend.AddBinding("m-1", "idea", 0.5f, 0.25f));
    ExpectOk(backend.AddEdge("m-1", "m-2", 0.5f));
    ExpectOk(backend.AddEdge("m-1", "nowhere", 0.5f));
  }

  nlohmann::json Stats(const std::string& space = "default") {
    return Json(SpaceStats(context_, space));
  }
  std::string Digest() { return Stats()["digest"]; }
  nlohmann::json MigrateOnce(const MigrateOptions& options = {}) {
    return Json(Migrate(context_, options));
  }
  nlohmann::json Checked(uint64_t sample = 0) {
    VerifyOptions options;
    options.space = "default";
    options.sample = sample;
    return Json(Verify(context_, options));
  }
  static nlohmann::json Json(Result<nlohmann::json> report) {
    EXPECT_TRUE(report.ok()) << report.status().ToString() << " / " << report.status().hint();
    return report.ok() ? std::move(*report) : nlohmann::json::object();
  }
  std::string DualPath(const std::string& name) const {
    return DualDirectory(context_, "default") + "/" + name;
  }

  testing::TempDir root_;
  JobContext context_;
};

}  // namespace engram::migration

#endif  // ENGRAM_TESTS_MIGRATION_MIGRATION_FIXTURE_H_
