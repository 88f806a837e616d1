#include "tests/crash/store_simulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "compat/conversion.h"
#include "compat/internal/write_plan.h"
#include "migration/coverage.h"
#include "migration/job.h"
#include "migration/online/migrator.h"

namespace engram::testing {

using engine::DualNode;
using engine::Embedding;
using engine::Mode;
using engine::NodeType;
using engine::Table;
using engine::WriteTxn;

namespace {

constexpr Mode kModes[] = {Mode::kLegacy, Mode::kDualWrite, Mode::kShadow, Mode::kDual};

SpaceId Space() { return SpaceId::Parse("crash-test").value(); }

std::string U64Body(uint64_t value) {
  std::string body;
  PutLe(&body, value);
  return body;
}

Uuid JobId(uint64_t seed) {
  std::string bytes(8, 'j');
  PutLe(&bytes, seed);
  Uuid id;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

// The first `count` receipts of the job, one apart from the next.
migration::CoverageLedger Receipts(uint64_t count) {
  migration::CoverageLedger ledger;
  for (uint64_t i = 0; i < count; ++i) {
    ENGRAM_CHECK(ledger.Add({3 * i + 1, 3 * i + 2}).ok());
  }
  return ledger;
}

// ENGRAM_CRASH_TRACE=1 prints what happens, to understand a seed.
void Trace(const std::string& what) {
  static const bool enabled = std::getenv("ENGRAM_CRASH_TRACE") != nullptr;
  if (enabled) std::fprintf(stderr, "%s\n", what.c_str());
}

}  // namespace

StoreSimulation::StoreSimulation(uint64_t seed, const std::string& ignored_flush)
    : machine_(seed),
      random_(seed * 0x9e3779b97f4a7c15u + 3),
      space_(Space()),
      job_id_(JobId(seed)) {
  for (int i = 0; i < 20; ++i) ids_.push_back("memory-" + std::to_string(i));
  ids_.push_back("");
  ids_.push_back(std::string("nul\0inside", 10));
  ids_.push_back(std::string(480, 'x') + "1");  // beyond the key limit of LMDB, same prefix
  ids_.push_back(std::string(480, 'x') + "2");
  ids_.push_back("f47ac10b-58cc-4372-a567-0e02b2c3d479");
  may_finalize_ = seed % 8 == 0;
  if (ignored_flush.empty()) return;
  machine_.disk().IgnoreFlushes([=](std::string_view name) { return name == ignored_flush; });
}

StoreSimulation::~StoreSimulation() { store_.reset(); }

void StoreSimulation::Fail(const std::string& what) {
  if (outcome_.failure.empty()) outcome_.failure = what;
}

const std::string& StoreSimulation::AnyId() { return ids_[random_.Below(ids_.size())]; }

// --- Lives ---------------------------------------------------------------------------------------

SeedOutcome StoreSimulation::Run(uint64_t operations_min) {
  while (outcome_.failure.empty() && outcome_.operations < operations_min) {
    ArmCrash();
    if (Open() && outcome_.failure.empty()) Work();
    EndLife();
  }
  // The last life must always come up: nothing is armed any more.
  if (outcome_.failure.empty() && !Open()) {
    Fail("the store did not open after the last crash: " + open_status_.ToString());
  }
  store_.reset();
  outcome_.flush_classes = machine_.disk().flush_classes();
  return outcome_;
}

// Anywhere, or on purpose where names change or become durable.
void StoreSimulation::ArmCrash() {
  Fault crash = {Fault::Kind::kCrash, 1 + random_.Below(random_.OneIn(3) ? 60 : 1500)};
  if (random_.OneIn(3)) {
    crash.calls = random_.OneIn(3) ? kNamespaceCall : kDirectoryFlushCall;
    crash.call = 1 + random_.Below(12);
  }
  machine_.disk().Arm(crash);
}

void StoreSimulation::Work() {
  const uint64_t operations = 1 + random_.Below(150);
  for (uint64_t i = 0; i < operations && !machine_.disk().crashed(); ++i) {
    ++outcome_.operations;
    Status status = Operate();
    if (!status.ok() && !machine_.disk().crashed()) Fail(status.ToString());
    if (!outcome_.failure.empty()) return;
  }
}

void StoreSimulation::EndLife() {
  store_.reset();
  ++outcome_.crashes;
  // A power cut soon after a kill shows whether recovery flushed what it found in the page cache.
  killed_ = !killed_ && random_.OneIn(3);
  Trace(killed_ ? "kill" : "power cut");
  killed_ ? machine_.KillProcess() : machine_.CutPower();
}

void StoreSimulation::Drop() {
  machine_.disk().Arm({Fault::Kind::kCrash, 1});
  store_.reset();
}

bool StoreSimulation::Open() {
  store_.reset();
  engine::StoreOptions options;
  options.directory = machine_.Path("dual");
  options.space = space_.str();
  options.access = engine::Access::kCreate;
  options.map_size_bytes = 256u << 20;
  options.overlay_size_bytes_max = random_.OneIn(2) ? 64u << 10 : 64u << 20;
  options.log.segment_size_bytes_min = 16 * kPageBytes;
  options.log.segment_size_bytes_max = 64 * kPageBytes;
  options.log.group_size_bytes_max = 16 * kPageBytes;
  options.background_apply = false;
  const bool read_only_first = created_ && random_.OneIn(10);
  for (bool read_only : {true, false}) {
    if (read_only && !read_only_first) continue;
    store_.reset();
    options.access = read_only ? engine::Access::kReadOnly : engine::Access::kCreate;
    auto store = engine::Store::Open({.fs = machine_.fs()}, options);
    open_status_ = store.status();
    if (!store.ok()) {
      if (!FaultExplains()) Fail("open: " + open_status_.ToString());
      return false;
    }
    store_ = std::move(*store);
    auto view = store_->View();
    open_status_ = view.status();
    if (!view.ok()) {
      if (!FaultExplains()) Fail("view: " + open_status_.ToString());
      return false;
    }
    Fail(CompareRecovered(**view));
  }
  created_ = true;
  return !machine_.disk().crashed();
}

bool StoreSimulation::FaultExplains() const {
  return machine_.disk().crashed() || machine_.disk().fault_fired();
}

// Brings the model to what the store says it holds, after checking that it may.
std::string StoreSimulation::CompareRecovered(engine::ReadView& view) {
  const uint64_t lsn = view.lsn().value;
  Trace("recovered " + std::to_string(lsn) + ", applied " +
        std::to_string(store_->recovery().applied.value) + ", torn " +
        store_->recovery().torn_detail);
  if (lsn < acknowledged_) {
    return "acknowledged up to " + std::to_string(acknowledged_) + ", recovered up to " +
           std::to_string(lsn);
  }
  if (lsn > issued_) return "recovered " + std::to_string(lsn) + ", never issued";
  if (!CompareJob(view)) return outcome_.failure;
  std::string difference;
  const uint64_t trailing_bulks = TrailingBulks(lsn);
  for (uint64_t lost_bulks = 0; lost_bulks <= trailing_bulks; ++lost_bulks) {
    StoreModel model = ModelAt(lsn, lost_bulks);
    if (finalizing_ && view.mode() == Mode::kFinalized) model.mode = Mode::kFinalized;
    difference = DifferenceFrom(model, space_, view);
    if (!difference.empty()) continue;
    if (!store_->read_only()) Adopt(std::move(model), lsn);
    return "";
  }
  return "at LSN " + std::to_string(lsn) + " of " + std::to_string(issued_) + ", acknowledged " +
         std::to_string(acknowledged_) + ": " + difference;
}

// The receipts, the job's row of the same transactions, and the checkpoint that claims them.
bool StoreSimulation::CompareJob(engine::ReadView& view) {
  const auto ledger = migration::ReadReceipts(view);
  const auto job = migration::ReadJob(view);
  if (!ledger.ok() || !job.ok()) {
    Fail("job: " + ledger.status().ToString() + ", " + job.status().ToString());
    return false;
  }
  const auto found =
      migration::ReadCheckpoint(machine_.fs(), migration::CheckpointPath(machine_.Path("dual")));
  if (FaultExplains()) return true;  // nothing was read
  const uint64_t receipts = ledger->ranges().size();
  if (receipts < receipts_synced_ || receipts > receipts_issued_) {
    Fail(std::to_string(receipts) + " receipts, flushed " + std::to_string(receipts_synced_) +
         ", issued " + std::to_string(receipts_issued_));
  }
  if (ledger->ranges() != Receipts(receipts).ranges()) Fail("receipts that were never issued");
  const bool job_agrees = job->has_value()
                              ? (*job)->id == job_id_ && (*job)->counters.found == receipts
                              : receipts == 0;
  if (!job_agrees) Fail("the job's row is not of the transaction of its receipts");
  receipts_issued_ = receipts;
  size_t checkpoints = 0;
  if (found.ok()) {
    checkpoints = static_cast<size_t>(found->time_s);
    Fail(CompareCheckpoint(*found));
  } else if (found.status().code() != StatusCode::kNotFound) {
    Fail(found.status().ToString());
  }
  if (checkpoints < checkpoints_synced_) {
    Fail("checkpoint " + std::to_string(checkpoints) + ", acknowledged " +
         std::to_string(checkpoints_synced_));
  }
  checkpoints_.resize(std::min(checkpoints_.size(), std::max(checkpoints, checkpoints_synced_)));
  return outcome_.failure.empty();
}

// Empty if it is one that was begun, of this store, and claims only what the store has.
std::string StoreSimulation::CompareCheckpoint(const migration::Checkpoint& checkpoint) {
  const auto number = static_cast<uint64_t>(checkpoint.time_s);
  if (number < 1 || number > checkpoints_.size() || checkpoint != checkpoints_[number - 1]) {
    return "a checkpoint that was never begun";
  }
  const Status same =
      migration::CheckSameStore(checkpoint, store_->Info().store_uuid, space_.str());
  if (!same.ok()) return same.ToString();
  const uint64_t applied = store_->recovery().applied.value;
  if (checkpoint.start.lsn > applied) {
    return "the checkpoint claims LSN " + std::to_string(checkpoint.start.lsn) +
           ", the environment was flushed up to " + std::to_string(applied);
  }
  const migration::CoverageLedger ledger = Receipts(receipts_issued_);
  for (const migration::KeyRange& claimed : checkpoint.receipts) {
    if (!ledger.Covers(claimed)) return "the checkpoint claims a receipt that is not there";
  }
  return "";
}

// Batches that were not flushed and that nothing was built on: a crash may undo them.
uint64_t StoreSimulation::TrailingBulks(uint64_t lsn) const {
  uint64_t count = 0;
  for (const Issued& issued : history_) {
    if (issued.lsn > lsn) break;
    count = issued.is_bulk && issued.lsn > acknowledged_ ? count + 1 : 0;
  }
  return count;
}

StoreModel StoreSimulation::ModelAt(uint64_t lsn, uint64_t lost_bulks) const {
  StoreModel model = base_;
  for (const Issued& issued : history_) {
    if (issued.lsn + lost_bulks > lsn) break;  // LSNs are dense
    for (const ModelChange& change : issued.changes) change(&model);
  }
  return model;
}

// What was recovered has been served, so it counts as acknowledged from now on.
void StoreSimulation::Adopt(StoreModel model, uint64_t lsn) {
  base_ = live_ = std::move(model);
  base_lsn_ = issued_ = acknowledged_ = lsn;
  history_.clear();
}

void StoreSimulation::Record(Issued issued) {
  issued_ = issued.lsn;
  for (const ModelChange& change : issued.changes) change(&live_);
  history_.push_back(std::move(issued));
}

void StoreSimulation::Check() {
  Status status = Acknowledge(issued_);
  if (!status.ok()) {
    if (!FaultExplains()) Fail(status.ToString());
    return;
  }
  auto view = store_->View();
  if (!view.ok()) return Fail("view: " + view.status().ToString());
  if ((*view)->lsn().value != issued_) Fail("the view is not at the last acknowledged write");
  const std::string difference = DifferenceFrom(live_, space_, **view);
  if (!difference.empty()) Fail("while it runs: " + difference);
}

Status StoreSimulation::Close() {
  Status status = store_->Close();
  if (status.ok()) acknowledged_ = issued_;
  store_.reset();
  return status;
}

// --- Operations ----------------------------------------------------------------------------------

Status StoreSimulation::Operate() {
  if (migrators_come_ && random_.OneIn(12)) return Migrate();
  const uint64_t dice = random_.Below(1000);
  Trace("operation " + std::to_string(dice) + ", issued " + std::to_string(issued_) +
        ", acknowledged " + std::to_string(acknowledged_));
  if (dice < 820) return Transaction();
  if (dice < 860) return Acknowledge(issued_);
  if (dice < 895) {
    const bool sync = random_.OneIn(3);
    ENGRAM_TRY(store_->Drain({.sync = sync}));
    AcknowledgeDrained(sync);
    return Status::Ok();
  }
  if (dice < 915) return store_->RecycleLog();
  if (dice < 940) return Convert();
  if (dice < 960) return Ingest();
  if (dice < 972) return Checkpoint();
  if (dice < 980) return Compact();
  if (dice < 990) {
    Check();
    return Status::Ok();
  }
  ENGRAM_TRY(Close());
  if (!Open() && !machine_.disk().crashed()) return open_status_;
  return Status::Ok();
}

Status StoreSimulation::Acknowledge(uint64_t lsn) {
  if (lsn == 0) return Status::Ok();
  ENGRAM_TRY(store_->WaitDurable(Lsn{lsn}));
  for (const Issued& issued : history_) {
    if (issued.lsn <= lsn && !issued.is_bulk) acknowledged_ = std::max(acknowledged_, issued.lsn);
  }
  ++outcome_.acknowledged;
  return Status::Ok();
}

// Everything staged is durable; bulk batches only if LMDB was flushed behind them.
void StoreSimulation::AcknowledgeDrained(bool with_sync) {
  for (const Issued& issued : history_) {
    if (with_sync || !issued.is_bulk) acknowledged_ = std::max(acknowledged_, issued.lsn);
  }
}

// One to four changes in one transaction; now and then it is dropped instead.
Status StoreSimulation::Transaction() {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store_->Begin());
  StoreModel model = live_;
  Issued issued;
  const uint64_t count = random_.OneIn(4) ? 2 + random_.Below(3) : 1;
  for (uint64_t i = 0; i < count; ++i) ENGRAM_TRY(StageOne(*txn, &model, &issued.changes));
  if (random_.OneIn(30)) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(Lsn lsn, txn->Stage());
  txn.reset();
  if (lsn.value != issued_ + 1) Fail("LSN " + std::to_string(lsn.value) + " is not the next one");
  issued.lsn = lsn.value;
  Record(std::move(issued));
  return random_.Percent(70) ? Acknowledge(lsn.value) : Status::Ok();
}

Status StoreSimulation::StageOne(WriteTxn& txn, StoreModel* model,
                                 std::vector<ModelChange>* changes) {
  const uint64_t dice = random_.Below(1000);
  if (dice < 480) return StagePut(txn, model, changes, AnyId());
  if (dice < 600) return StageActivation(txn, model, changes);
  if (dice < 740) return StageRemove(txn, model, changes, AnyId());
  if (dice < 850) return StageEdge(txn, model, changes);
  if (dice < 950) return StageBinding(txn, model, changes);
  if (dice < 996) return StageModeOrMeta(txn, model, changes);
  ENGRAM_TRY(txn.Clear({}).status());
  auto change = [](StoreModel* m) {
    const auto records = m->records;
    for (const auto& [id, record] : records) m->RemoveRecord(id);
    m->edges.clear();
    m->bindings.clear();
  };
  change(model);
  changes->push_back(change);
  return Status::Ok();
}

Result<NodeKey> StoreSimulation::KeyOf(WriteTxn& txn, const std::string& id) {
  return txn.KeyFor(id, engine::NodeUuid(space_, id));
}

DualNode StoreSimulation::RandomNode(const std::string& id) {
  DualNode node;
  node.uuid = engine::NodeUuid(space_, id);
  node.activation = static_cast<float>(random_.Below(1001)) / 1000;
  node.confidence = static_cast<float>(random_.Below(1001)) / 1000;
  node.created_at = engine::Timestamp{static_cast<int64_t>(random_.Below(2000000000)), 5};
  node.residual.decay_rate = 0.25f;
  if (random_.OneIn(2)) node.residual.recall_count = static_cast<uint32_t>(random_.Below(100));
  if (random_.OneIn(3)) {
    node.extension.type = NodeType::kConcept;
    node.extension.coherence = 0.5f;
    node.extension.instance_count = static_cast<uint32_t>(1 + random_.Below(9));
  } else if (random_.OneIn(3)) {
    node.extension.strength = 0.125f;
  }
  node.text.id = id;
  const uint64_t size = random_.OneIn(15) ? random_.Below(9000) : random_.Below(80);
  node.text.content = std::string(size, static_cast<char>('a' + random_.Below(26)));
  return node;
}

// The write that interception would make of `node` in the current mode.
Status StoreSimulation::Write(WriteTxn& txn, const DualNode& node, bool new_embedding,
                              uint64_t embedding_seed, bool new_text) {
  ENGRAM_ASSIGN_OR_RETURN(NodeKey key, KeyOf(txn, node.text.id));
  const Sha256Digest digest = engine::RecordDigest(node);
  WriteTxn::Record record = compat::internal::PlanRecord(txn.view().mode(), key, node, digest);
  Embedding embedding;
  if (new_embedding) {
    FillEmbedding(embedding_seed, &embedding);
    record.embedding = &embedding;
  }
  if (new_text) record.text = &node.text;
  const bool plain = compat::internal::IsDefaultExtension(node.extension);
  record.extension = plain ? nullptr : &node.extension;
  record.remove_extension = plain;
  return txn.PutRecord(record);
}

Status StoreSimulation::StagePut(WriteTxn& txn, StoreModel* model,
                                 std::vector<ModelChange>* changes, const std::string& id) {
  ModelRecord record;
  record.node = RandomNode(id);
  auto old = model->records.find(id);
  const bool new_embedding = old == model->records.end() || random_.OneIn(2);
  record.embedding_seed = new_embedding ? ++next_embedding_ : old->second.embedding_seed;
  record.node.embedding_sha256 = EmbeddingSha256(record.embedding_seed);
  ENGRAM_TRY(Write(txn, record.node, new_embedding, record.embedding_seed, true));
  auto change = [record](StoreModel* m) { m->records[record.node.text.id] = record; };
  change(model);
  changes->push_back(std::move(change));
  return Status::Ok();
}

Status StoreSimulation::StageActivation(WriteTxn& txn, StoreModel* model,
                                        std::vector<ModelChange>* changes) {
  const std::string id = AnyId();
  auto found = model->records.find(id);
  if (found == model->records.end()) return Status::Ok();
  DualNode node = found->second.node;
  node.activation = static_cast<float>(random_.Below(1001)) / 1000;
  ENGRAM_TRY(Write(txn, node, false, 0, false));
  auto change = [id, activation = node.activation](StoreModel* m) {
    m->records[id].node.activation = activation;
  };
  change(model);
  changes->push_back(std::move(change));
  return Status::Ok();
}

Status StoreSimulation::StageRemove(WriteTxn& txn, StoreModel* model,
                                    std::vector<ModelChange>* changes, const std::string& id) {
  if (!model->records.contains(id)) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(NodeKey key, KeyOf(txn, id));
  ENGRAM_TRY(txn.RemoveRecord(key, id));
  auto change = [id](StoreModel* m) { m->RemoveRecord(id); };
  change(model);
  changes->push_back(std::move(change));
  return Status::Ok();
}

Status StoreSimulation::StageEdge(WriteTxn& txn, StoreModel* model,
                                  std::vector<ModelChange>* changes) {
  const ModelLink link = {AnyId(), AnyId(), 0, static_cast<float>(random_.Below(8)), 0};
  ENGRAM_ASSIGN_OR_RETURN(NodeKey from, KeyOf(txn, link.from));
  ENGRAM_ASSIGN_OR_RETURN(NodeKey to, KeyOf(txn, link.to));
  ModelChange change;
  if (random_.Percent(70)) {
    ENGRAM_TRY(txn.AddEdge(from, to, link.weight));
    change = [link](StoreModel* m) { m->AddLink(&m->edges, link); };
  } else {
    ENGRAM_TRY(txn.RemoveEdges(from, to).status());
    change = [link](StoreModel* m) {
      std::erase_if(m->edges,
                    [&](const ModelLink& e) { return e.from == link.from && e.to == link.to; });
    };
  }
  change(model);
  changes->push_back(std::move(change));
  return Status::Ok();
}

Status StoreSimulation::StageBinding(WriteTxn& txn, StoreModel* model,
                                     std::vector<ModelChange>* changes) {
  ModelChange change;
  if (!model->bindings.empty() && random_.OneIn(3)) {
    const ModelLink binding = model->bindings[random_.Below(model->bindings.size())];
    const float strength = static_cast<float>(random_.Below(5)) / 4;
    ENGRAM_ASSIGN_OR_RETURN(NodeKey from, KeyOf(txn, binding.from));
    ENGRAM_ASSIGN_OR_RETURN(NodeKey to, KeyOf(txn, binding.to));
    ENGRAM_TRY(txn.SetBindingStrength(from, to, binding.ordinal, strength));
    change = [binding, strength](StoreModel* m) {
      for (ModelLink& b : m->bindings) {
        if (b.from == binding.from && b.ordinal == binding.ordinal) b.weight = strength;
      }
    };
  } else {
    const ModelLink link = {AnyId(), AnyId(), 0, 0.5f, 0.25f};
    if (!model->records.contains(link.from) || !model->records.contains(link.to)) {
      return Status::Ok();
    }
    ENGRAM_ASSIGN_OR_RETURN(NodeKey from, KeyOf(txn, link.from));
    ENGRAM_ASSIGN_OR_RETURN(NodeKey to, KeyOf(txn, link.to));
    ENGRAM_TRY(txn.AddBinding(from, to, link.weight, link.contribution));
    change = [link](StoreModel* m) { m->AddLink(&m->bindings, link); };
  }
  change(model);
  changes->push_back(std::move(change));
  return Status::Ok();
}

Status StoreSimulation::StageModeOrMeta(WriteTxn& txn, StoreModel* model,
                                        std::vector<ModelChange>* changes) {
  ModelChange change;
  if (random_.OneIn(2) && model->mode != Mode::kFinalized) {
    const Mode mode = kModes[random_.Below(4)];
    ENGRAM_TRY(txn.SetMode(mode));
    change = [mode](StoreModel* m) { m->mode = mode; };
  } else {
    const std::string name = "note" + std::to_string(random_.Below(3));
    const std::string value = std::to_string(random_.Next());
    ENGRAM_TRY(txn.SetMeta(name, value));
    change = [name, value](StoreModel* m) { m->meta[name] = value; };
  }
  change(model);
  changes->push_back(std::move(change));
  return Status::Ok();
}

// Converts some of what is old, with a receipt in the same transaction, as the migrator does.
Status StoreSimulation::Convert() {
  ENGRAM_ASSIGN_OR_RETURN(auto bulk, store_->BeginBulk());
  AcknowledgeDrained(false);
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  const bool all = random_.OneIn(2);
  std::vector<NodeKey> keys;
  ENGRAM_TRY(view->ScanIds(std::nullopt, [&](std::string_view, NodeKey key) -> Result<bool> {
    keys.push_back(key);
    return true;
  }));
  for (NodeKey key : keys) {
    ENGRAM_ASSIGN_OR_RETURN(auto record, view->Record(key));
    if (!record || record->is_dual() || (!all && random_.OneIn(2))) continue;
    engine::DualHead head;
    head.common = record->old_head->common;
    compat::ToDualHead(record->old_head->memory, engine::NodeUuid(space_, record->text.id),
                       record->extension, &head.node);
    ENGRAM_ASSIGN_OR_RETURN(bool installed, bulk->InstallDualHead(key, head.common.seq, head));
    if (!installed) Fail("a conversion of an old record was refused");
  }
  view.reset();
  migration::Job job;
  job.id = job_id_;
  job.state = migration::JobState::kBackfill;
  job.counters.found = receipts_issued_ + 1;
  ENGRAM_TRY(bulk->SetMeta(migration::kJobRow, job.EncodeRow()));
  ENGRAM_TRY(bulk->SetMeta(migration::kReceiptsRow, Receipts(job.counters.found).Encode()));
  receipts_issued_ = job.counters.found;
  const bool sync = random_.OneIn(2);
  ENGRAM_TRY(bulk->Commit({.sync = sync}));
  if (sync) receipts_synced_ = receipts_issued_;
  return Status::Ok();
}

Status StoreSimulation::Migrate() {
  Trace("migrate");
  migration::online::MigratorOptions options;
  options.history_scan = !random_.OneIn(4);
  options.log_directory = machine_.Path("dual/log");
  const engine::Environment environment{.fs = machine_.fs()};
  ENGRAM_ASSIGN_OR_RETURN(auto migrator,
                          migration::online::Migrator::Open(*store_, environment, options));
  const bool to_the_end = random_.OneIn(3);
  constexpr int kStepsMax = 10000;
  for (int left = to_the_end ? kStepsMax : static_cast<int>(random_.Below(5)); left > 0; --left) {
    ENGRAM_ASSIGN_OR_RETURN(const auto state, migrator->Step(1 + random_.Below(30)));
    if (state.phase == migration::online::Phase::kFailed) Fail("a migrator failed");
    if (state.done == 0) break;
    if (left == 1 && to_the_end) Fail("a migrator never came to the end");
  }
  if (!to_the_end || !options.history_scan) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(const auto counts, view->Count());
  if (counts.old != 0) Fail(std::to_string(counts.old) + " old records after a migration");
  return Status::Ok();
}

// Adds records past the log, as the ingest of a source does.
Status StoreSimulation::Ingest() {
  ENGRAM_ASSIGN_OR_RETURN(auto bulk, store_->BeginBulk());
  AcknowledgeDrained(false);
  Issued issued;
  issued.lsn = bulk->lsn().value;
  issued.is_bulk = true;
  StoreModel model = live_;
  for (int i = 0; i < 5; ++i) {
    const std::string id = "ingested-" + std::to_string(random_.Below(30));
    ENGRAM_ASSIGN_OR_RETURN(auto row, bulk->GetRow(Table::kIds, AsBytes(engine::EncodeIdKey(id))));
    if (row) continue;
    ModelRecord record;
    record.node = RandomNode(id);
    record.node.extension = {};
    record.embedding_seed = ++next_embedding_;
    record.node.embedding_sha256 = EmbeddingSha256(record.embedding_seed);
    ENGRAM_ASSIGN_OR_RETURN(NodeKey key, bulk->AllocateNodeKeys(1));
    ENGRAM_ASSIGN_OR_RETURN(VectorKey vector_key, bulk->AllocateVectorKeys(1));
    auto put_key = [&](Table table, Bytes row_key) {
      std::string value;
      engine::EncodeChecked(row_key, AsBytes(U64Body(key.value)), &value);
      return bulk->PutRow(table, row_key, AsBytes(value));
    };
    const std::string id_key = engine::EncodeIdKey(id);
    ENGRAM_TRY(put_key(Table::kIds, AsBytes(id_key)));
    ENGRAM_TRY(put_key(Table::kUuids, record.node.uuid.bytes));
    const std::string row_key = engine::EncodeU64Key(key.value);
    const std::string row_vector_key = engine::EncodeU64Key(vector_key.value);
    engine::Memory memory;
    compat::ToMemoryHead(record.node, &memory);
    engine::BulkTxn::NewRecord rows;
    engine::HeadCommon common = {bulk->lsn(), vector_key, engine::RecordDigest(record.node),
                                 engine::TierOf(record.node.activation), 1};
    std::string head, text, embedding_row;
    Embedding embedding;
    FillEmbedding(record.embedding_seed, &embedding);
    engine::EncodeOldHead(AsBytes(row_key), common, memory, &head);
    engine::EncodeTextFields(AsBytes(row_key), record.node.text, &text);
    engine::EncodeEmbedding(AsBytes(row_vector_key), key,
                            {reinterpret_cast<const uint8_t*>(embedding.data()), sizeof embedding},
                            &embedding_row);
    rows.key = key;
    rows.vector_key = vector_key;
    rows.old_head = AsBytes(head);
    rows.text = AsBytes(text);
    rows.embedding = AsBytes(embedding_row);
    rows.digest = common.digest;
    rows.tier = common.tier;
    ENGRAM_TRY(bulk->AppendRecord(rows));
    if (std::find(ids_.begin(), ids_.end(), id) == ids_.end()) ids_.push_back(id);
    issued.changes.push_back([id, record](StoreModel* m) { m->records[id] = record; });
  }
  const bool sync = random_.OneIn(2);
  if (issued.changes.empty()) return Status::Ok();
  const uint64_t lsn = issued.lsn;
  Record(std::move(issued));
  ENGRAM_TRY(bulk->Commit({.sync = sync}));
  if (sync) acknowledged_ = lsn;
  return Status::Ok();
}

// The checkpoint of the job, written only after what it claims was flushed.
Status StoreSimulation::Checkpoint() {
  ENGRAM_TRY(store_->Drain({.sync = true}));
  acknowledged_ = issued_;
  receipts_synced_ = receipts_issued_;
  migration::Checkpoint checkpoint;
  checkpoint.store_uuid = store_->Info().store_uuid;
  checkpoint.job_id = job_id_;
  checkpoint.space = space_.str();
  checkpoint.state = migration::JobState::kBackfill;
  const migration::CoverageLedger ledger = Receipts(receipts_issued_);
  checkpoint.receipts = ledger.ranges();
  checkpoint.position = ledger.ContiguousFrom(1);
  checkpoint.nodes = receipts_issued_;
  checkpoint.start.lsn = issued_;
  checkpoint.time_s = static_cast<int64_t>(checkpoints_.size() + 1);
  checkpoints_.push_back(checkpoint);
  ENGRAM_TRY(migration::WriteCheckpoint(
      machine_.fs(), migration::CheckpointPath(machine_.Path("dual")), checkpoint));
  checkpoints_synced_ = checkpoints_.size();
  return Status::Ok();
}

Status StoreSimulation::Compact() {
  engine::CompactOptions options;
  if (may_finalize_ && live_.mode == Mode::kDual && random_.OneIn(2)) {
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
    ENGRAM_ASSIGN_OR_RETURN(auto counts, view->Count());
    options.drop_old_heads = counts.old == 0 && issued_ == acknowledged_;
  }
  finalizing_ = finalizing_ || options.drop_old_heads;
  ENGRAM_ASSIGN_OR_RETURN(auto report, store_->Compact(options));
  if (report.digest_before != report.digest_after) Fail("compaction changed the digest");
  acknowledged_ = issued_;
  receipts_synced_ = receipts_issued_;
  if (options.drop_old_heads) {
    live_.mode = Mode::kFinalized;
    Adopt(live_, issued_);
  }
  return Status::Ok();
}

Status StoreSimulation::Put(const std::string& id) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store_->Begin());
  StoreModel model = live_;
  Issued issued;
  ENGRAM_TRY(StagePut(*txn, &model, &issued.changes, id));
  ENGRAM_ASSIGN_OR_RETURN(Lsn lsn, txn->Stage());
  txn.reset();
  issued.lsn = lsn.value;
  Record(std::move(issued));
  return Acknowledge(lsn.value);
}

Status StoreSimulation::Remove(const std::string& id) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store_->Begin());
  StoreModel model = live_;
  Issued issued;
  ENGRAM_TRY(StageRemove(*txn, &model, &issued.changes, id));
  if (issued.changes.empty()) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(Lsn lsn, txn->Stage());
  txn.reset();
  issued.lsn = lsn.value;
  Record(std::move(issued));
  return Acknowledge(lsn.value);
}

}  // namespace engram::testing
