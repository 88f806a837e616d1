#include "tests/compat/fake_store.h"

#include <algorithm>

#include "base/check.h"
#include "engine/internal/vector_kernel.h"

namespace engram::compat::testing {

using engine::Binding;
using engine::DualHead;
using engine::Embedding;
using engine::HeadCommon;
using engine::Neighbour;
using engine::StoredRecord;
using engine::Table;

namespace {

Status NotInFake() { return Status::Unsupported("the fake store has no such thing"); }

std::optional<StoredRecord> MakeRecord(const FakeState& s, NodeKey key) {
  auto at = s.rows.find(key.value);
  if (at == s.rows.end()) return std::nullopt;
  const FakeRow& row = at->second;
  StoredRecord r;
  r.key = key;
  r.old_head = row.old_head;
  r.dual_head = row.dual_head;
  r.text = row.text;
  r.has_extension = row.extension.has_value();
  if (row.extension) r.extension = *row.extension;
  return r;
}

const HeadCommon& Current(const FakeRow& row) {
  if (!row.old_head) return row.dual_head->common;
  if (!row.dual_head) return row.old_head->common;
  bool dual = row.dual_head->common.seq >= row.old_head->common.seq;
  return dual ? row.dual_head->common : row.old_head->common;
}

bool IsDual(const FakeRow& row) {
  return row.dual_head && row.dual_head->common.seq == Current(row).seq;
}

}  // namespace

class FakeView final : public engine::ReadView {
 public:
  explicit FakeView(std::shared_ptr<const FakeState> state) : s_(std::move(state)) {}
  Lsn lsn() const override { return Lsn{s_->lsn}; }
  engine::Mode mode() const override { return s_->mode; }
  Result<std::optional<NodeKey>> FindId(std::string_view id) override {
    auto at = s_->ids.find(std::string(id));
    if (at == s_->ids.end()) return std::optional<NodeKey>();
    return std::optional<NodeKey>(NodeKey{at->second});
  }
  Result<std::optional<NodeKey>> FindUuid(const Uuid& uuid) override {
    auto at = s_->uuids.find(uuid);
    if (at == s_->uuids.end()) return std::optional<NodeKey>();
    return std::optional<NodeKey>(NodeKey{at->second});
  }
  Result<std::optional<StoredRecord>> Record(NodeKey key) override { return MakeRecord(*s_, key); }
  Result<std::optional<StoredRecord>> CurrentRecord(NodeKey key) override {
    auto record = MakeRecord(*s_, key);
    if (record && record->dual_head) record->old_head.reset();
    return record;
  }
  Result<std::string> IdOf(NodeKey key) override {
    auto at = s_->id_of.find(key.value);
    if (at == s_->id_of.end()) return Status::NotFound("no such key");
    return at->second;
  }
  Result<NodeKey> ReadEmbedding(VectorKey key, Embedding* out) override {
    auto at = s_->vectors.find(key.value);
    if (at == s_->vectors.end()) return Status::Corruption("table embeddings: missing row");
    *out = *at->second.second;
    return NodeKey{at->second.first};
  }
  Result<std::vector<Neighbour>> OutEdges(NodeKey source) override {
    std::vector<Neighbour> out;
    for (const FakeEdge& e : s_->edges) {
      if (e.source == source.value) out.push_back({NodeKey{e.target}, e.ordinal, e.weight});
    }
    return out;
  }
  Result<std::vector<Neighbour>> InEdges(NodeKey target) override {
    std::vector<Neighbour> in;
    for (const FakeEdge& e : s_->edges) {
      if (e.target == target.value) in.push_back({NodeKey{e.source}, e.ordinal, e.weight});
    }
    return in;
  }
  Result<std::vector<Binding>> ConceptsOf(NodeKey episode) override {
    std::vector<Binding> out;
    for (const FakeEdge& b : s_->bindings) {
      if (b.source != episode.value) continue;
      out.push_back({NodeKey{b.target}, b.ordinal, b.weight, b.contribution});
    }
    return out;
  }
  Result<std::vector<Binding>> EpisodesOf(NodeKey concept_node) override {
    std::vector<Binding> out;
    for (const FakeEdge& b : s_->bindings) {
      if (b.target != concept_node.value) continue;
      out.push_back({NodeKey{b.source}, b.ordinal, b.weight, b.contribution});
    }
    return out;
  }
  Result<engine::DigestState> Digests() override {
    engine::DigestState d;
    d.lsn = lsn();
    for (const auto& [key, row] : s_->rows) {
      engine::TierDigest& tier = d.tiers[static_cast<int>(Current(row).tier) - 1];
      ++tier.count;
      tier.lanes.Add(Current(row).digest);
    }
    return d;
  }
  Result<engine::Counts> Count() override {
    engine::Counts c;
    for (const auto& [key, row] : s_->rows) {
      ++c.records;
      ++(IsDual(row) ? c.dual : c.old);
      bool is_concept = row.extension && row.extension->type == engine::NodeType::kConcept;
      ++(is_concept ? c.concepts : c.episodes);
    }
    c.edges = s_->edges.size();
    c.bindings = s_->bindings.size();
    return c;
  }
  Result<std::optional<engine::RangeSum>> Range(uint64_t) override { return NotInFake(); }
  Result<std::optional<std::string>> Meta(std::string_view name) override {
    auto at = s_->meta.find(std::string(name));
    if (at == s_->meta.end()) return std::optional<std::string>();
    return std::optional<std::string>(at->second);
  }
  Result<std::optional<Lsn>> Tombstone(std::string_view) override { return NotInFake(); }
  Status ScanIds(std::optional<std::string_view> after,
                 const std::function<Result<bool>(std::string_view, NodeKey)>& visit) override {
    auto at = after ? s_->ids.upper_bound(std::string(*after)) : s_->ids.begin();
    for (; at != s_->ids.end(); ++at) {
      ENGRAM_ASSIGN_OR_RETURN(bool more, visit(at->first, NodeKey{at->second}));
      if (!more) break;
    }
    return Status::Ok();
  }
  Status ScanTable(Table table, Bytes,
                   const std::function<Result<bool>(Bytes, Bytes)>& visit) override {
    if (table != Table::kEdgesOut) return NotInFake();
    std::vector<FakeEdge> sorted = s_->edges;
    std::stable_sort(sorted.begin(), sorted.end(), [](const FakeEdge& a, const FakeEdge& b) {
      return std::pair(a.source, a.ordinal) < std::pair(b.source, b.ordinal);
    });
    for (const FakeEdge& e : sorted) {
      std::string key;
      for (uint64_t part : {e.source, e.ordinal, e.target}) PutBe64(&key, part);
      ENGRAM_ASSIGN_OR_RETURN(bool more, visit(AsBytes(key), {}));
      if (!more) break;
    }
    return Status::Ok();
  }

 private:
  std::shared_ptr<const FakeState> s_;
};

class FakeWrite final : public engine::WriteTxn {
 public:
  FakeWrite(FakeStore& store, std::unique_lock<std::mutex> lock)
      : store_(store), lock_(std::move(lock)) {
    std::lock_guard state_lock(store_.mutex_);
    state_ = std::make_shared<FakeState>(*store_.staged_);
    lsn_ = ++state_->lsn;
    view_ = std::make_unique<FakeView>(state_);
  }
  Lsn lsn() const override { return Lsn{lsn_}; }
  engine::ReadView& view() override { return *view_; }

  Result<NodeKey> KeyFor(std::string_view id, const Uuid& uuid) override {
    auto [at, added] = state_->ids.emplace(std::string(id), state_->next_key);
    if (!added) return NodeKey{at->second};
    bool uuid_is_new = state_->uuids.emplace(uuid, at->second).second;
    ENGRAM_CHECK(uuid_is_new);
    state_->id_of[at->second] = id;
    return NodeKey{state_->next_key++};
  }

  Status PutRecord(const Record& r) override {
    FakeRow& row = state_->rows[r.key.value];
    bool is_new = !row.old_head && !row.dual_head;
    HeadCommon common;
    if (!is_new) common.vector_key = Current(row).vector_key;
    ENGRAM_CHECK(!is_new || (r.text != nullptr && r.embedding != nullptr));
    ENGRAM_CHECK(r.old_head || r.dual_head);
    if (r.embedding != nullptr) {
      state_->vectors.erase(common.vector_key.value);
      common.vector_key.value = state_->next_vector++;
      state_->vectors[common.vector_key.value] = {r.key.value,
                                                  std::make_shared<Embedding>(*r.embedding)};
    }
    common.seq = lsn();
    common.digest = r.digest;
    common.tier = engine::TierOf(r.activation);
    if (r.text != nullptr) row.text = *r.text;
    if (r.extension != nullptr) row.extension = *r.extension;
    if (r.remove_extension) row.extension.reset();
    row.old_head.reset();
    row.dual_head.reset();
    if (r.old_head) row.old_head = {common, *r.old_head};
    if (r.dual_head) row.dual_head = {common, *r.dual_head};
    return Status::Ok();
  }
  Status RemoveRecord(NodeKey key, std::string_view) override {
    auto at = state_->rows.find(key.value);
    if (at == state_->rows.end()) return Status::NotFound("no record");
    state_->vectors.erase(Current(at->second).vector_key.value);
    state_->rows.erase(at);
    auto touches = [key](const FakeEdge& e) {
      return e.source == key.value || e.target == key.value;
    };
    std::erase_if(state_->edges, touches);
    std::erase_if(state_->bindings, touches);
    return Status::Ok();
  }
  Result<std::optional<std::string>> Clear(const ClearOptions&) override {
    state_->rows.clear();
    state_->ids.clear();
    state_->id_of.clear();
    state_->uuids.clear();
    state_->vectors.clear();
    state_->edges.clear();
    state_->bindings.clear();
    return std::optional<std::string>();
  }
  Status AddEdge(NodeKey source, NodeKey target, float weight) override {
    state_->edges.push_back({source.value, target.value, state_->next_ordinal++, weight, 0});
    return Status::Ok();
  }
  Result<uint64_t> RemoveEdges(NodeKey source, NodeKey target) override {
    return std::erase_if(state_->edges, [&](const FakeEdge& e) {
      return e.source == source.value && e.target == target.value;
    });
  }
  Status AddBinding(NodeKey episode, NodeKey concept_node, float strength,
                    float contribution) override {
    state_->bindings.push_back(
        {episode.value, concept_node.value, state_->next_ordinal++, strength, contribution});
    return Status::Ok();
  }
  Status SetBindingStrength(NodeKey episode, NodeKey concept_node, uint64_t ordinal,
                            float strength) override {
    for (FakeEdge& b : state_->bindings) {
      if (b.source != episode.value || b.target != concept_node.value || b.ordinal != ordinal) {
        continue;
      }
      b.weight = strength;
      return Status::Ok();
    }
    return Status::NotFound("no such binding");
  }
  Status SetMode(engine::Mode mode) override {
    state_->mode = mode;
    return Status::Ok();
  }
  Status SetMeta(std::string_view name, std::string_view value) override {
    state_->meta[std::string(name)] = value;
    return Status::Ok();
  }
  Result<Lsn> Stage() override {
    if (store_.fail_stage_at_lsn == lsn_) return Status::Full("planted: no space");
    {
      std::lock_guard state_lock(store_.mutex_);
      store_.staged_ = state_;
      store_.waiting_[lsn_] = state_;
    }
    lock_.unlock();
    return Lsn{lsn_};
  }

 private:
  FakeStore& store_;
  std::unique_lock<std::mutex> lock_;
  std::shared_ptr<FakeState> state_;
  std::unique_ptr<FakeView> view_;
  uint64_t lsn_ = 0;
};

class FakeBulk final : public engine::BulkTxn {
 public:
  FakeBulk(FakeStore& store, std::unique_lock<std::mutex> lock)
      : store_(store), lock_(std::move(lock)) {
    std::lock_guard state_lock(store_.mutex_);
    state_ = std::make_shared<FakeState>(*store_.staged_);
  }
  Lsn lsn() const override { return Lsn{state_->lsn}; }
  Result<NodeKey> AllocateNodeKeys(uint64_t) override { return NotInFake(); }
  Result<VectorKey> AllocateVectorKeys(uint64_t) override { return NotInFake(); }
  Status ReplaceRecord(const NewRecord&) override { return NotInFake(); }
  Status RemoveRecord(NodeKey) override { return NotInFake(); }
  Result<bool> InstallDualHead(NodeKey key, Lsn seq, const DualHead& head) override {
    if (store_.blind_install) {
      state_->rows[key.value].dual_head = head;
      return true;
    }
    auto at = state_->rows.find(key.value);
    if (at == state_->rows.end() || !at->second.old_head) return false;
    if (at->second.old_head->common.seq != seq || IsDual(at->second)) return false;
    at->second.dual_head = head;
    ++installed_;
    return true;
  }
  Status PutRow(Table, Bytes, Bytes) override { return NotInFake(); }
  Status DeleteRow(Table, Bytes) override { return NotInFake(); }
  Result<std::optional<std::string>> GetRow(Table, Bytes) override { return NotInFake(); }
  Status AppendRecord(const NewRecord&) override { return NotInFake(); }
  Status AppendRecordNoDigest(const NewRecord&) override { return NotInFake(); }
  Status AddDigests(const DigestDelta&) override { return NotInFake(); }
  Status ReplaceDigests(const Totals&) override { return NotInFake(); }
  Status CountQuarantined(int64_t) override { return NotInFake(); }
  Status SetMeta(std::string_view, std::string_view) override { return NotInFake(); }
  Status Commit(const CommitOptions&) override {
    store_.heads_installed += installed_;
    store_.Publish(state_);
    return Status::Ok();
  }

 private:
  FakeStore& store_;
  std::unique_lock<std::mutex> lock_;
  std::shared_ptr<FakeState> state_;
  uint64_t installed_ = 0;
};

Result<std::unique_ptr<engine::WriteTxn>> FakeStore::Begin(const BeginOptions&) {
  if (make_read_only) return Status::FailedPrecondition("the store is open read-only");
  return std::unique_ptr<engine::WriteTxn>(
      std::make_unique<FakeWrite>(*this, std::unique_lock(write_mutex_)));
}

Status FakeStore::WaitDurable(Lsn lsn) {
  ++waits;
  std::lock_guard lock(mutex_);
  auto end = waiting_.upper_bound(lsn.value);
  for (auto at = waiting_.begin(); at != end; ++at) visible_ = at->second;
  waiting_.erase(waiting_.begin(), end);
  return Status::Ok();
}

Result<std::unique_ptr<engine::ReadView>> FakeStore::View() {
  return std::unique_ptr<engine::ReadView>(std::make_unique<FakeView>(StateNow()));
}

Result<std::unique_ptr<engine::BulkTxn>> FakeStore::BeginBulk() {
  ++bulk_begun;
  if (fail_bulk) return Status::Full("planted: the map is full");
  std::unique_lock lock(write_mutex_);
  {
    std::lock_guard state_lock(mutex_);  // drains
    visible_ = staged_;
    waiting_.clear();
  }
  return std::unique_ptr<engine::BulkTxn>(std::make_unique<FakeBulk>(*this, std::move(lock)));
}

Result<std::vector<engine::SearchHit>> FakeStore::Search(const Embedding& query, uint32_t k) {
  auto state = StateNow();
  engine::internal::CosineScorer scorer(query, engine::internal::SupportedVectorKernels()[0].run);
  std::vector<engine::SearchHit> hits;
  for (const auto& [key, vector] : state->vectors) {
    float score = scorer.Score(reinterpret_cast<const uint8_t*>(vector.second->data()));
    hits.push_back({NodeKey{vector.first}, score});
  }
  std::sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) {
    return a.score != b.score ? a.score > b.score : a.node < b.node;
  });
  if (hits.size() > k) hits.resize(k);
  return hits;
}

Result<engine::CompactReport> FakeStore::Compact(const engine::CompactOptions& options) {
  if (options.drop_old_heads) {
    Tamper([](FakeState* s) {
      for (auto& [key, row] : s->rows) row.old_head.reset();
      s->mode = engine::Mode::kFinalized;
    });
  }
  return engine::CompactReport{};
}

std::shared_ptr<const FakeState> FakeStore::StateNow() const {
  std::lock_guard lock(mutex_);
  return visible_;
}

void FakeStore::Publish(std::shared_ptr<const FakeState> state) {
  std::lock_guard lock(mutex_);
  visible_ = state;
  staged_ = std::move(state);
}

void FakeStore::Tamper(const std::function<void(FakeState*)>& change) {
  std::unique_lock write_lock(write_mutex_);
  auto state = std::make_shared<FakeState>(*StateNow());
  change(state.get());
  Publish(std::move(state));
}

}  // namespace engram::compat::testing
