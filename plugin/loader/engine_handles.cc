#include <algorithm>
#include <utility>

#include "plugin/loader/call.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::plugin {
namespace {

// Adapters from the C callbacks to std::function. A throwing visitor ends the process: nothing may
// cross the boundary.
int32_t VisitMemory(void* ctx, const engram_se_memory* memory) noexcept {
  return (*static_cast<const MemoryVisitor*>(ctx))(*memory) ? 0 : 1;
}
int32_t VisitId(void* ctx, engram_se_bytes id) noexcept {
  return (*static_cast<const IdVisitor*>(ctx))(ToView(id)) ? 0 : 1;
}
int32_t VisitScored(void* ctx, engram_se_bytes id, float score) noexcept {
  return (*static_cast<const ScoredVisitor*>(ctx))(ToView(id), score) ? 0 : 1;
}
int32_t VisitEdge(void* ctx, engram_se_bytes from, engram_se_bytes to, float weight) noexcept {
  return (*static_cast<const EdgeVisitor*>(ctx))(ToView(from), ToView(to), weight) ? 0 : 1;
}
int32_t VisitBinding(void* ctx, engram_se_bytes id, float strength, float contribution) noexcept {
  return (*static_cast<const BindingVisitor*>(ctx))(ToView(id), strength, contribution) ? 0 : 1;
}
template <typename Visitor>
void* Context(const Visitor& visitor) {
  return const_cast<Visitor*>(&visitor);
}

engram_se_bytes AfterOf(const ScanOptions& options) {
  return options.after ? ToBytes(*options.after) : engram_se_bytes{};
}

engram_se_scan_options ToScanOptions(const ScanOptions& options, const engram_se_bytes* after) {
  engram_se_scan_options out{};
  out.struct_size = sizeof out;
  out.flags = options.embeddings ? ENGRAM_SE_WITH_EMBEDDING : 0;
  out.after = options.after ? after : nullptr;
  out.limit = options.limit;
  out.skip = options.skip;
  out.tier = options.tier;
  return out;
}

const char* CStringOrNull(const std::optional<std::string>& text) {
  return text ? text->c_str() : nullptr;
}

static_assert(sizeof(std::atomic<bool>) == 1 && std::atomic<bool>::is_always_lock_free,
              "a cancel flag crosses the boundary as one byte");

struct JobState {
  const Job& job;
  std::string report;
};

void OnProgress(void* ctx, const engram_se_progress* progress) noexcept {
  static_cast<JobState*>(ctx)->job.progress(*progress);
}
void OnReport(void* ctx, engram_se_bytes json) noexcept {
  static_cast<JobState*>(ctx)->report = ToView(json);
}

template <typename Call>
Result<std::string> RunJob(const Job& job, Call&& call) {
  JobState state{job, {}};
  engram_se_job request{};
  request.struct_size = sizeof request;
  request.ctx = &state;
  request.progress = job.progress ? OnProgress : nullptr;
  request.report = OnReport;
  request.cancel = reinterpret_cast<const volatile uint8_t*>(job.cancel);
  ENGRAM_TRY(Run([&](engram_se_error* error) { return call(&request, error); }));
  return std::move(state.report);
}

engram_se_migrate_options ToMigrateOptions(const MigrateOptions& options) {
  engram_se_migrate_options out{};
  out.struct_size = sizeof out;
  out.flags = options.flags;
  out.source = CStringOrNull(options.source);
  out.space = CStringOrNull(options.space);
  out.batch_size = options.batch_size;
  out.checkpoint_interval = options.checkpoint_interval;
  out.memory_budget_mb = options.memory_budget_mb;
  out.rate_limit_per_second = options.rate_limit_per_second;
  out.parallel_workers = options.parallel_workers;
  return out;
}

engram_se_verify_options ToVerifyOptions(const VerifyOptions& options) {
  engram_se_verify_options out{};
  out.struct_size = sizeof out;
  out.flags = options.full ? ENGRAM_SE_VERIFY_FULL : 0;
  out.space = options.space.c_str();
  out.source = CStringOrNull(options.source);
  out.sample = options.sample;
  return out;
}

}  // namespace

Migrator::~Migrator() { table_.migrator_close(migrator_); }

Result<engram_se_migrator_state> Migrator::Step(uint64_t records_max) {
  engram_se_migrator_state state{};
  state.struct_size = sizeof state;
  ENGRAM_TRY(Run(
      [&](engram_se_error* e) { return table_.migrator_step(migrator_, records_max, &state, e); }));
  return state;
}

Space::Space(std::shared_ptr<const Engine> engine, engram_se_space* space)
    : engine_(std::move(engine)), space_(space) {}

Space::~Space() { IgnoreError(Close(), "a destructor has nobody to tell"); }

const engram_se_vtable& Space::table() const { return engine_->plugin().table(); }

Status Space::Close() {
  if (space_ == nullptr) return Status::Ok();
  engram_se_space* space = std::exchange(space_, nullptr);
  return Run([&](engram_se_error* e) { return table().space_close(space, e); });
}

Result<uint64_t> Space::Store(const engram_se_memory& memory) {
  uint64_t lsn = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) { return table().store(space_, &memory, &lsn, e); }));
  return lsn;
}

Result<uint64_t> Space::Stage(const engram_se_memory& memory) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_STAGING, "staging"));
  uint64_t lsn = 0;
  ENGRAM_TRY(
      Run([&](engram_se_error* e) { return table().store_stage(space_, &memory, &lsn, e); }));
  return lsn;
}

Status Space::WaitDurable(uint64_t lsn) {
  return Run([&](engram_se_error* e) { return table().wait_durable(space_, lsn, e); });
}

Status Space::StoreBatch(const std::vector<const engram_se_memory*>& memories,
                         std::vector<uint64_t>* lsns) {
  uint64_t stored = 0;
  lsns->assign(memories.size(), 0);
  Status status = Run([&](engram_se_error* e) {
    return table().store_batch(space_, memories.data(), memories.size(), lsns->data(), &stored, e);
  });
  lsns->resize(status.ok() ? memories.size() : std::min<uint64_t>(stored, memories.size()));
  return status;
}

Status Space::Retrieve(std::string_view id, bool embedding, const MemoryVisitor& visit) {
  const uint32_t flags = embedding ? ENGRAM_SE_WITH_EMBEDDING : 0;
  return Run([&](engram_se_error* e) {
    return table().retrieve(space_, ToBytes(id), flags, VisitMemory, Context(visit), e);
  });
}

Result<uint64_t> Space::Remove(std::string_view id) {
  uint64_t lsn = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) { return table().remove(space_, ToBytes(id), &lsn, e); }));
  return lsn;
}

Status Space::RemoveBatch(const std::vector<std::string>& ids, std::vector<uint64_t>* lsns) {
  std::vector<engram_se_bytes> views;
  views.reserve(ids.size());
  for (const std::string& id : ids) views.push_back(ToBytes(id));
  uint64_t done = 0;
  lsns->assign(ids.size(), 0);
  Status status = Run([&](engram_se_error* e) {
    return table().remove_batch(space_, views.data(), views.size(), lsns->data(), &done, e);
  });
  lsns->resize(status.ok() ? ids.size() : std::min<uint64_t>(done, ids.size()));
  return status;
}

Result<bool> Space::Contains(std::string_view id) {
  uint8_t found = 0;
  ENGRAM_TRY(
      Run([&](engram_se_error* e) { return table().contains(space_, ToBytes(id), &found, e); }));
  return found != 0;
}

Result<uint64_t> Space::Count() {
  uint64_t count = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) { return table().count(space_, &count, e); }));
  return count;
}

Status Space::Clear() {
  return Run([&](engram_se_error* e) { return table().clear(space_, e); });
}

Result<uint64_t> Space::UpdateActivation(std::string_view id, float activation) {
  uint64_t lsn = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return table().update_activation(space_, ToBytes(id), activation, &lsn, e);
  }));
  return lsn;
}

Status Space::Scan(const ScanOptions& options, const MemoryVisitor& visit) {
  const engram_se_bytes after = AfterOf(options);
  const engram_se_scan_options scan = ToScanOptions(options, &after);
  return Run([&](engram_se_error* e) {
    return table().scan(space_, &scan, VisitMemory, Context(visit), e);
  });
}

Status Space::Ids(const ScanOptions& options, const IdVisitor& visit) {
  const engram_se_bytes after = AfterOf(options);
  const engram_se_scan_options scan = ToScanOptions(options, &after);
  return Run(
      [&](engram_se_error* e) { return table().ids(space_, &scan, VisitId, Context(visit), e); });
}

// The calls below belong to a capability that the engine may lack.
Status Space::Require(uint64_t capability, std::string_view what) const {
  return engine_->Require(capability, what);
}

Result<uint32_t> Space::Mode() {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_MODES, "modes"));
  uint32_t mode = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) { return table().mode_get(space_, &mode, e); }));
  return mode;
}

Status Space::SetMode(uint32_t mode) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_MODES, "modes"));
  return Run([&](engram_se_error* e) { return table().mode_set(space_, mode, e); });
}

Status Space::Search(const float* query, uint32_t k, const ScoredVisitor& visit) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SEARCH, "search"));
  return Run([&](engram_se_error* e) {
    return table().search(space_, query, k, VisitScored, Context(visit), e);
  });
}

Status Space::AddEdge(std::string_view from, std::string_view to, float weight) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_EDGES, "edges"));
  return Run([&](engram_se_error* e) {
    return table().edge_add(space_, ToBytes(from), ToBytes(to), weight, e);
  });
}

Result<bool> Space::RemoveEdge(std::string_view from, std::string_view to) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_EDGES, "edges"));
  uint8_t removed = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return table().edge_remove(space_, ToBytes(from), ToBytes(to), &removed, e);
  }));
  return removed != 0;
}

Status Space::Neighbours(std::string_view id, const ScoredVisitor& visit) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_EDGES, "edges"));
  return Run([&](engram_se_error* e) {
    return table().edge_neighbours(space_, ToBytes(id), VisitScored, Context(visit), e);
  });
}

Result<float> Space::EdgeWeight(std::string_view from, std::string_view to) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_EDGES, "edges"));
  float weight = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return table().edge_weight(space_, ToBytes(from), ToBytes(to), &weight, e);
  }));
  return weight;
}

Status Space::AllEdges(const EdgeVisitor& visit) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_EDGES, "edges"));
  return Run(
      [&](engram_se_error* e) { return table().edge_all(space_, VisitEdge, Context(visit), e); });
}

Status Space::Traverse(std::string_view start, uint32_t depth, const IdVisitor& visit) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_EDGES, "edges"));
  return Run([&](engram_se_error* e) {
    return table().traverse(space_, ToBytes(start), depth, VisitId, Context(visit), e);
  });
}

Status Space::Spread(std::string_view source, float decay) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_EDGES, "edges"));
  return Run([&](engram_se_error* e) { return table().spread(space_, ToBytes(source), decay, e); });
}

Status Space::AddBinding(std::string_view episode, std::string_view concept_id, float strength,
                         float contribution) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_BINDINGS, "bindings"));
  return Run([&](engram_se_error* e) {
    return table().binding_add(space_, ToBytes(episode), ToBytes(concept_id), strength,
                               contribution, e);
  });
}

Status Space::ConceptsOf(std::string_view episode, const BindingVisitor& visit) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_BINDINGS, "bindings"));
  return Run([&](engram_se_error* e) {
    return table().binding_concepts_of(space_, ToBytes(episode), VisitBinding, Context(visit), e);
  });
}

Status Space::EpisodesOf(std::string_view concept_id, const BindingVisitor& visit) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_BINDINGS, "bindings"));
  return Run([&](engram_se_error* e) {
    return table().binding_episodes_of(space_, ToBytes(concept_id), VisitBinding, Context(visit),
                                       e);
  });
}

Status Space::SpreadThroughBindings(std::string_view source, bool source_is_episode, float decay) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_BINDINGS, "bindings"));
  return Run([&](engram_se_error* e) {
    return table().binding_spread(space_, ToBytes(source), source_is_episode ? 1 : 0, decay, e);
  });
}

Result<uint64_t> Space::PutNode(const engram_se_memory& node) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_TYPED_NODES, "typed nodes"));
  uint64_t lsn = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) { return table().node_put(space_, &node, &lsn, e); }));
  return lsn;
}

Result<uint64_t> Space::SetStrength(std::string_view id, float strength) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_TYPED_NODES, "typed nodes"));
  uint64_t lsn = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return table().node_set_strength(space_, ToBytes(id), strength, &lsn, e);
  }));
  return lsn;
}

Result<uint64_t> Space::SetConsolidationScore(std::string_view id, float score) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_TYPED_NODES, "typed nodes"));
  uint64_t lsn = 0;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return table().node_set_consolidation_score(space_, ToBytes(id), score, &lsn, e);
  }));
  return lsn;
}

Status Space::SearchText(std::string_view query, float threshold, uint32_t k,
                         const ScoredVisitor& visit) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_TEXT_SEARCH, "text search"));
  return Run([&](engram_se_error* e) {
    return table().search_text(space_, ToBytes(query), threshold, k, VisitScored, Context(visit),
                               e);
  });
}

// What follows serves an open space.
constexpr std::string_view kServing = "calls for serving a space";

Result<engram_se_figures> Space::Figures() {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SERVING, kServing));
  engram_se_figures figures{};
  figures.struct_size = sizeof figures;
  ENGRAM_TRY(Run([&](engram_se_error* e) { return table().space_figures(space_, &figures, e); }));
  return figures;
}

Result<std::string> Space::Ingest(const MigrateOptions& options, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SERVING, kServing));
  const engram_se_migrate_options request = ToMigrateOptions(options);
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return table().space_ingest(space_, &request, j, e);
  });
}

Result<std::string> Space::Verify(const VerifyOptions& options, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SERVING, kServing));
  const engram_se_verify_options request = ToVerifyOptions(options);
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return table().space_verify(space_, &request, j, e);
  });
}

Result<std::string> Space::Rollback(const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SERVING, kServing));
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return table().space_rollback(space_, j, e);
  });
}

Result<std::unique_ptr<Migrator>> Space::OpenMigrator(const MigratorOptions& options) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SERVING, kServing));
  engram_se_migrator_options request{};
  request.struct_size = sizeof request;
  request.flags = options.history_scan ? 0 : ENGRAM_SE_MIGRATOR_NO_HISTORY_SCAN;
  request.memory_budget_mb = options.memory_budget_mb;
  request.parallel_workers = options.parallel_workers;
  engram_se_migrator* migrator = nullptr;
  ENGRAM_TRY(Run(
      [&](engram_se_error* e) { return table().migrator_open(space_, &request, &migrator, e); }));
  return std::unique_ptr<Migrator>(new Migrator(table(), migrator));
}

Status Space::PublishControl(const engram_se_control& control) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SERVING, kServing));
  return Run([&](engram_se_error* e) { return table().control_publish(space_, &control, e); });
}

Engine::Engine(std::shared_ptr<const Plugin> plugin, engram_se_engine* engine)
    : plugin_(std::move(plugin)), engine_(engine) {}

Engine::~Engine() { plugin_->table().engine_close(engine_); }

Result<std::shared_ptr<Engine>> Engine::Open(std::shared_ptr<const Plugin> plugin,
                                             const EngineOptions& options) {
  engram_se_engine_options request{};
  request.struct_size = sizeof request;
  request.log_io = options.log_io;
  request.data_root = options.data_root.c_str();
  request.map_size_bytes = options.map_size_bytes;
  engram_se_engine* engine = nullptr;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return plugin->table().engine_open(&plugin->host(), &request, &engine, e);
  }));
  return std::shared_ptr<Engine>(new Engine(std::move(plugin), engine));
}

Status Engine::Require(uint64_t capability, std::string_view what) const {
  if (plugin_->Has(capability)) return Status::Ok();
  return Status::Unsupported(
      "the storage engine " + plugin_->path() + " has no " + std::string(what),
      "use libengram_dual.so, which has every capability");
}

Result<std::unique_ptr<Space>> Engine::OpenSpace(const SpaceOptions& options) {
  engram_se_space_options request{};
  request.struct_size = sizeof request;
  request.access = options.access;
  request.space = options.space.c_str();
  engram_se_space* space = nullptr;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return plugin_->table().space_open(engine_, &request, &space, e);
  }));
  return std::unique_ptr<Space>(new Space(shared_from_this(), space));
}

Result<std::vector<std::string>> Engine::ListSpaces() {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  std::vector<std::string> names;
  const IdVisitor visit = [&](std::string_view name) {
    names.emplace_back(name);
    return true;
  };
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return plugin_->table().space_list(engine_, VisitId, Context(visit), e);
  }));
  return names;
}

Result<std::string> Engine::Migrate(const MigrateOptions& options, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  const engram_se_migrate_options request = ToMigrateOptions(options);
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().migrate(engine_, &request, j, e);
  });
}

Result<std::string> Engine::Verify(const VerifyOptions& options, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  const engram_se_verify_options request = ToVerifyOptions(options);
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().verify(engine_, &request, j, e);
  });
}

Result<std::string> Engine::Rollback(const std::string& space, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().rollback(engine_, space.c_str(), j, e);
  });
}

Result<std::string> Engine::CanRollback(const std::string& space, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().can_rollback(engine_, space.c_str(), j, e);
  });
}

Result<std::string> Engine::MigrationStatus(const std::string& space, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().migration_status(engine_, space.c_str(), j, e);
  });
}

Result<std::string> Engine::Compact(const CompactOptions& options, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  engram_se_compact_options request{};
  request.struct_size = sizeof request;
  request.flags = options.finalize ? ENGRAM_SE_COMPACT_FINALIZE : 0;
  request.space = options.space.c_str();
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().compact(engine_, &request, j, e);
  });
}

Result<std::string> Engine::SpaceStats(const std::string& space, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_JOBS, "jobs"));
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().space_stats(engine_, space.c_str(), j, e);
  });
}

Result<std::string> Engine::Salvage(const SalvageOptions& options, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SALVAGE, "salvage"));
  engram_se_salvage_options request{};
  request.struct_size = sizeof request;
  request.flags = options.dry_run ? ENGRAM_SE_SALVAGE_DRY_RUN : 0;
  request.space = options.space.c_str();
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().salvage(engine_, &request, j, e);
  });
}

Result<std::string> Engine::RollbackToState(const StateRollbackOptions& options, const Job& job) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SNAPSHOTS, "snapshots"));
  engram_se_rollback_options request{};
  request.struct_size = sizeof request;
  request.flags = options.dry_run ? ENGRAM_SE_ROLLBACK_DRY_RUN : 0;
  request.space = options.space.c_str();
  return RunJob(job, [&](const engram_se_job* j, engram_se_error* e) {
    return plugin_->table().rollback_state(engine_, &request, j, e);
  });
}

Result<engram_se_control> Engine::ReadControl(const std::string& space) {
  ENGRAM_TRY(Require(ENGRAM_SE_CAP_SERVING, "calls for serving a space"));
  engram_se_control control{};
  control.struct_size = sizeof control;
  ENGRAM_TRY(Run([&](engram_se_error* e) {
    return plugin_->table().control_read(engine_, space.c_str(), &control, e);
  }));
  return control;
}

}  // namespace engram::plugin
