// Loads a storage engine through its C boundary (include/engram/engram_storage_engine.h,
// docs/abi.md) and wraps its table in C++: RAII handles, Status, std::function. Server and command
// line reach the store through this alone.
#ifndef ENGRAM_PLUGIN_LOADER_PLUGIN_LOADER_H_
#define ENGRAM_PLUGIN_LOADER_PLUGIN_LOADER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "engram/engram_storage_engine.h"

namespace engram::plugin {

// A borrowed view of text or of ids.
inline engram_se_bytes ToBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view ToView(engram_se_bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data), bytes.size_bytes};
}

// A loaded engine library. Immutable and thread-safe. Once accepted it is never unloaded: its
// threads' destructors and exit handlers may still point into it.
class Plugin {
 public:
  // `path` must be absolute. Refusals, each its own text: no such file, not a library, no
  // engram_storage_engine_v1 in it, the engine's own refusal, another major, a table shorter than
  // version 1.0, an empty required slot, a capability without its slots. `logger` gets what the
  // engine logs and must live as long as the process uses the engine.
  static Result<std::shared_ptr<const Plugin>> Load(const std::string& path, Logger& logger);
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  // Slots that the engine does not know are NULL.
  const engram_se_vtable& table() const { return table_; }
  bool Has(uint64_t capability) const { return (table_.capabilities & capability) != 0; }
  const engram_se_host& host() const { return host_; }
  const std::string& path() const { return path_; }

 private:
  Plugin(std::string path, Logger& logger);
  Status Adopt(void* library);

  const std::string path_;
  engram_se_host host_{};
  engram_se_vtable table_{};
};

// Callbacks return false to stop.
using MemoryVisitor = std::function<bool(const engram_se_memory&)>;
using IdVisitor = std::function<bool(std::string_view id)>;
using ScoredVisitor = std::function<bool(std::string_view id, float score)>;
using EdgeVisitor = std::function<bool(std::string_view from, std::string_view to, float weight)>;
using BindingVisitor = std::function<bool(std::string_view id, float strength, float contribution)>;

struct ScanOptions {
  std::optional<std::string> after;  // starts behind this id
  uint64_t limit = 0;                // 0: none
  bool embeddings = false;
  uint64_t skip = 0;  // records (of the tier) passed over before the first delivered one
  uint32_t tier = 0;  // ENGRAM_SE_TIER_*; 0: all
};

struct MigratorOptions {
  bool history_scan = true;
  uint64_t memory_budget_mb = 0;  // 0: the engine's default
  uint32_t parallel_workers = 0;  // 0: cores / 2, at least 1
};

// What every job takes.
struct Job {
  std::function<void(const engram_se_progress&)> progress;  // may be empty
  const std::atomic<bool>* cancel = nullptr;                // may be null
};

class Engine;
class Space;

// The migrator of one open space: stepped by one thread at a time; destroyed before its space.
class Migrator {
 public:
  ~Migrator();
  Migrator(const Migrator&) = delete;
  Migrator& operator=(const Migrator&) = delete;
  // Looks at up to `records_max` records in one commit. An error leaves everything as it was.
  Result<engram_se_migrator_state> Step(uint64_t records_max);

 private:
  friend class Space;
  Migrator(const engram_se_vtable& table, engram_se_migrator* migrator)
      : table_(table), migrator_(migrator) {}
  const engram_se_vtable& table_;
  engram_se_migrator* migrator_;
};

// One open space. Thread-safe but for Close(). Keeps its engine and library alive.
class Space {
 public:
  ~Space();  // as Close(), the error dropped
  Space(const Space&) = delete;
  Space& operator=(const Space&) = delete;

  // Ends the orderly way and says whether that worked; no other call after it.
  Status Close();

  // Durable and visible on return; the LSN of the write.
  Result<uint64_t> Store(const engram_se_memory& memory);
  // The two halves of Store(): kBusy, with nothing written, where the first would have to wait.
  // kUnsupported without ENGRAM_SE_CAP_STAGING.
  Result<uint64_t> Stage(const engram_se_memory& memory);
  Status WaitDurable(uint64_t lsn);
  // On an error `lsns` holds those of the writes before it, which are stored.
  Status StoreBatch(const std::vector<const engram_se_memory*>& memories,
                    std::vector<uint64_t>* lsns);
  // kNotFound if there is none.
  Status Retrieve(std::string_view id, bool embedding, const MemoryVisitor& visit);
  Result<uint64_t> Remove(std::string_view id);
  // An unknown id has LSN 0.
  Status RemoveBatch(const std::vector<std::string>& ids, std::vector<uint64_t>* lsns);
  Result<bool> Contains(std::string_view id);
  Result<uint64_t> Count();
  Status Clear();
  Result<uint64_t> UpdateActivation(std::string_view id, float activation);
  Status Scan(const ScanOptions& options, const MemoryVisitor& visit);
  Status Ids(const ScanOptions& options, const IdVisitor& visit);

  Result<uint32_t> Mode();  // ENGRAM_SE_MODE_*
  Status SetMode(uint32_t mode);
  Status Search(const float* query, uint32_t k, const ScoredVisitor& visit);

  Status AddEdge(std::string_view from, std::string_view to, float weight);
  Result<bool> RemoveEdge(std::string_view from, std::string_view to);
  Status Neighbours(std::string_view id, const ScoredVisitor& visit);
  Result<float> EdgeWeight(std::string_view from, std::string_view to);
  Status AllEdges(const EdgeVisitor& visit);
  Status Traverse(std::string_view start, uint32_t depth, const IdVisitor& visit);
  Status Spread(std::string_view source, float decay);

  Status AddBinding(std::string_view episode, std::string_view concept_id, float strength,
                    float contribution);
  Status ConceptsOf(std::string_view episode, const BindingVisitor& visit);
  Status EpisodesOf(std::string_view concept_id, const BindingVisitor& visit);
  Status SpreadThroughBindings(std::string_view source, bool source_is_episode, float decay);

  Result<uint64_t> PutNode(const engram_se_memory& node);
  Result<uint64_t> SetStrength(std::string_view id, float strength);
  Result<uint64_t> SetConsolidationScore(std::string_view id, float score);

  // kUnsupported without ENGRAM_SE_CAP_TEXT_SEARCH.
  Status SearchText(std::string_view query, float threshold, uint32_t k,
                    const ScoredVisitor& visit);

  // Serving (ENGRAM_SE_CAP_SERVING). Reports are the JSON objects of the jobs below.
  Result<engram_se_figures> Figures();
  Result<std::string> Ingest(const struct MigrateOptions& options, const Job& job);
  Result<std::string> Verify(const struct VerifyOptions& options, const Job& job);
  Result<std::string> Rollback(const Job& job);
  Result<std::unique_ptr<Migrator>> OpenMigrator(const MigratorOptions& options);
  Status PublishControl(const engram_se_control& control);

 private:
  friend class Engine;
  Space(std::shared_ptr<const Engine> engine, engram_se_space* space);
  const engram_se_vtable& table() const;
  Status Require(uint64_t capability, std::string_view what) const;

  std::shared_ptr<const Engine> engine_;
  engram_se_space* space_;
};

struct EngineOptions {
  std::string data_root;
  uint32_t log_io = ENGRAM_SE_LOG_IO_AUTO;
  uint64_t map_size_bytes = 0;  // 0: the engine's choice
};
struct SpaceOptions {
  std::string space;
  uint32_t access = ENGRAM_SE_ACCESS_READ_ONLY;
};
struct MigrateOptions {
  std::optional<std::string> source;
  std::optional<std::string> space;  // else every space of the source
  uint32_t flags = 0;                // ENGRAM_SE_MIGRATE_*
  uint64_t batch_size = 0;           // 0 for these: the engine's default
  uint64_t checkpoint_interval = 0;
  uint64_t memory_budget_mb = 0;
  uint64_t rate_limit_per_second = 0;
  uint32_t parallel_workers = 0;
};
struct VerifyOptions {
  std::string space;
  std::optional<std::string> source;
  uint64_t sample = 0;  // 0: all
  bool full = false;
};
struct CompactOptions {
  std::string space;
  bool finalize = false;
};

struct SalvageOptions {
  std::string space;
  bool dry_run = false;
};
struct StateRollbackOptions {
  std::string space;
  bool dry_run = false;
};

// One data root. Thread-safe. Jobs open the spaces that they work on: no Space of theirs may be
// open. Their result is the JSON object of the command line's contract.
class Engine : public std::enable_shared_from_this<Engine> {
 public:
  static Result<std::shared_ptr<Engine>> Open(std::shared_ptr<const Plugin> plugin,
                                              const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Result<std::unique_ptr<Space>> OpenSpace(const SpaceOptions& options);
  Result<std::vector<std::string>> ListSpaces();

  Result<std::string> Migrate(const MigrateOptions& options, const Job& job);
  Result<std::string> Verify(const VerifyOptions& options, const Job& job);
  Result<std::string> Rollback(const std::string& space, const Job& job);
  Result<std::string> CanRollback(const std::string& space, const Job& job);
  Result<std::string> MigrationStatus(const std::string& space, const Job& job);
  Result<std::string> Compact(const CompactOptions& options, const Job& job);
  Result<std::string> SpaceStats(const std::string& space, const Job& job);
  Result<std::string> Salvage(const SalvageOptions& options, const Job& job);
  Result<std::string> RollbackToState(const StateRollbackOptions& options, const Job& job);
  // The mirror of a space's state, whoever holds the space. kNotFound if there is none.
  Result<engram_se_control> ReadControl(const std::string& space);

  const Plugin& plugin() const { return *plugin_; }
  // kUnsupported, naming `what`, if the engine lacks the capability.
  Status Require(uint64_t capability, std::string_view what) const;

 private:
  Engine(std::shared_ptr<const Plugin> plugin, engram_se_engine* engine);

  std::shared_ptr<const Plugin> plugin_;
  engram_se_engine* engine_;
};

// What an engine's error means here: the code is kept, an unknown one is kFatal.
Status ToStatus(engram_se_status code, const engram_se_error& error);

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_LOADER_PLUGIN_LOADER_H_
