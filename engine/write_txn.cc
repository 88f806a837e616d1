#include <bit>
#include <unordered_map>

#include "base/check.h"
#include "engine/internal/read_view.h"
#include "engine/internal/store_impl.h"
#include "wal/log_format.h"

namespace engram::engine {
namespace {

// Half of what one log record takes.
constexpr size_t kClearSizeBytesMax = wal::kPayloadSizeBytesMax / 2;

std::string FloatBody(float value) {
  std::string body;
  PutLe(&body, std::bit_cast<uint32_t>(value));
  return body;
}

class WriteTxnImpl final : public WriteTxn {
 public:
  WriteTxnImpl(StoreImpl* store, std::unique_lock<std::mutex> lock, ReadState state,
               const Store::BeginOptions& options)
      : store_(store),
        options_(options),
        lock_(std::move(lock)),
        lsn_(store->NextLsn()),
        next_node_key_(store->next_node_key()),
        next_vector_key_(store->next_vector_key()),
        staged_(builder_),
        view_(std::move(state), &staged_, store) {}

  Lsn lsn() const override { return lsn_; }
  ReadView& view() override { return view_; }
  Result<NodeKey> KeyFor(std::string_view id, const Uuid& uuid) override;
  Status PutRecord(const Record& record) override;
  Status RemoveRecord(NodeKey key, std::string_view id) override;
  Result<std::optional<std::string>> Clear(const ClearOptions& options) override;
  Status AddEdge(NodeKey source, NodeKey target, float weight) override;
  Result<uint64_t> RemoveEdges(NodeKey source, NodeKey target) override;
  Status AddBinding(NodeKey episode, NodeKey concept_node, float strength,
                    float contribution) override;
  Status SetBindingStrength(NodeKey episode, NodeKey concept_node, uint64_t ordinal,
                            float strength) override;
  Status SetMode(Mode mode) override;
  Status SetMeta(std::string_view name, std::string_view value) override;
  Result<Lsn> Stage() override;

 private:
  void Put(Table table, Bytes key, Bytes value);
  void PutChecked(Table table, Bytes key, Bytes body);
  void Delete(Table table, Bytes key);
  void PutU64(Table table, Bytes key, uint64_t value);
  Status StageHeads(const Record& record, const StoredRecord& before, VectorKey vector_key);
  Result<VectorKey> StageEmbedding(const Record& record, const StoredRecord& before, bool existed);
  Status CountChange(const Record& record, const StoredRecord& before, bool existed);
  void SubtractRecord(const StoredRecord& record);
  // The row that the record's heads name; of a record without a readable head the row that one
  // claims, if it is its own.
  Result<std::optional<VectorKey>> VectorOf(const StoredRecord& record);
  void ChangeDigest(const HeadCommon& head, NodeKey node, bool is_removal);
  Result<bool> HasSources();
  Result<Uuid> UuidOfNode(NodeKey key);
  // Of a new link of `node` in a table of links.
  Result<uint64_t> NextOrdinal(Table table, NodeKey node);
  Status DropEdges(NodeKey source, const Neighbour& edge);
  Status DropBinding(NodeKey episode, const Binding& binding);
  Status DropLinks(NodeKey key);
  Status BindingDigestChange(NodeKey episode, NodeKey concept_node, const Binding& binding,
                             bool is_removal);

  StoreImpl* store_;
  const Store::BeginOptions options_;
  std::unique_lock<std::mutex> lock_;  // write_mutex_
  const Lsn lsn_;
  uint64_t next_node_key_;
  uint64_t next_vector_key_;
  ChangeSetBuilder builder_;
  StagedRows staged_;
  ReadViewImpl view_;
  std::string scratch_;
  std::unordered_map<uint64_t, std::string>
      new_ids_;  // keys whose text row is only the id, unless staged
  std::unordered_map<uint64_t, Uuid> uuids_;
  bool removes_ = false;             // records
  bool adds_ = false;                // anything
  std::optional<bool> has_sources_;  // once it was asked
  std::optional<Mode> new_mode_;
};

void WriteTxnImpl::Put(Table table, Bytes key, Bytes value) {
  staged_.Note(table, key, builder_.Put(table, key, value));
}

void WriteTxnImpl::PutChecked(Table table, Bytes key, Bytes body) {
  scratch_.clear();
  EncodeChecked(key, body, &scratch_);
  Put(table, key, AsBytes(scratch_));
}

void WriteTxnImpl::PutU64(Table table, Bytes key, uint64_t value) {
  uint8_t body[8];
  StoreLe(body, value);
  PutChecked(table, key, body);
}

void WriteTxnImpl::Delete(Table table, Bytes key) {
  staged_.Note(table, key, builder_.Delete(table, key));
}

Result<NodeKey> WriteTxnImpl::KeyFor(std::string_view id, const Uuid& uuid) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<NodeKey> found, view_.FindId(id));
  if (found) {
    // An ingest under way may have entered the id and not its text row.
    ENGRAM_ASSIGN_OR_RETURN(
        auto text, view_.reader().Get(Table::kContent, AsBytes(EncodeU64Key(found->value))));
    if (!text) new_ids_.emplace(found->value, id);
    return *found;
  }
  const NodeKey key{next_node_key_++};
  PutU64(Table::kIds, AsBytes(EncodeIdKey(id)), key.value);
  PutU64(Table::kUuids, uuid.bytes, key.value);
  new_ids_.emplace(key.value, id);
  uuids_.emplace(key.value, uuid);
  return key;
}

void WriteTxnImpl::ChangeDigest(const HeadCommon& head, NodeKey node, bool is_removal) {
  builder_.AddDigest({static_cast<uint8_t>(head.tier), is_removal, node, head.digest});
}

Result<VectorKey> WriteTxnImpl::StageEmbedding(const Record& record, const StoredRecord& before,
                                               bool existed) {
  if (record.embedding == nullptr) {
    if (!existed || !before.has_head()) {
      return Status::InvalidArgument("a new record needs an embedding");
    }
    return before.current().vector_key;
  }
  const VectorKey key{next_vector_key_++};
  const std::string row_key = EncodeU64Key(key.value);
  scratch_.clear();
  EncodeEmbedding(AsBytes(row_key), record.key,
                  {reinterpret_cast<const uint8_t*>(record.embedding->data()), kEmbeddingSizeBytes},
                  &scratch_);
  Put(Table::kEmbeddings, AsBytes(row_key), AsBytes(scratch_));
  if (!existed) return key;
  ENGRAM_ASSIGN_OR_RETURN(const auto replaced, VectorOf(before));
  if (replaced) Delete(Table::kEmbeddings, AsBytes(EncodeU64Key(replaced->value)));
  return key;
}

Result<std::optional<VectorKey>> WriteTxnImpl::VectorOf(const StoredRecord& record) {
  if (record.has_head()) return std::optional<VectorKey>(record.current().vector_key);
  ENGRAM_ASSIGN_OR_RETURN(const HeadRows rows, view_.ReadHeadRows(record.key));
  for (const auto& row : {rows.dual_head, rows.old_head}) {
    const VectorKey claimed = row ? ClaimedVectorKey(*row) : VectorKey{};
    Embedding ignored;
    const auto owner = view_.ReadEmbedding(claimed, &ignored);
    if (owner.ok() && *owner == record.key) return std::optional<VectorKey>(claimed);
  }
  return std::optional<VectorKey>();  // salvage finds what nobody names
}

Status WriteTxnImpl::StageHeads(const Record& record, const StoredRecord& before,
                                VectorKey vector_key) {
  const std::string row_key = EncodeU64Key(record.key.value);
  const HeadCommon head{lsn_, vector_key, record.digest, TierOf(record.activation), 0};
  if (record.old_head) {
    scratch_.clear();
    EncodeOldHead(AsBytes(row_key), head, *record.old_head, &scratch_);
    Put(Table::kOldHeads, AsBytes(row_key), AsBytes(scratch_));
  } else if (before.old_head || before.old_head_damaged) {
    Delete(Table::kOldHeads, AsBytes(row_key));
  }
  if (record.dual_head) {
    scratch_.clear();
    EncodeDualHead(AsBytes(row_key), head, *record.dual_head, &scratch_);
    Put(Table::kHeads, AsBytes(row_key), AsBytes(scratch_));
  } else if (before.dual_head || before.dual_head_damaged) {
    Delete(Table::kHeads, AsBytes(row_key));
  }
  ChangeDigest(head, record.key, false);
  return Status::Ok();
}

// Takes a record out of the digests and the counts. The digest of one without a readable head is
// not known, nor is its tier: no tier's sum can be trusted until salvage.
void WriteTxnImpl::SubtractRecord(const StoredRecord& record) {
  CountDeltas& counts = builder_.counts();
  if (record.has_head()) {
    ChangeDigest(record.current(), record.key, true);
  } else {
    for (uint8_t tier = 1; tier <= kTierCount; ++tier) {
      builder_.AddDigest({.sum = tier, .node = record.key, .marks_dirty = true});
    }
  }
  counts.records -= 1;
  (record.counts_as_dual() ? counts.dual : counts.old) -= 1;
  (record.extension.type == NodeType::kConcept ? counts.concepts : counts.episodes) -= 1;
}

Status WriteTxnImpl::CountChange(const Record& record, const StoredRecord& before, bool existed) {
  if (existed) SubtractRecord(before);
  NodeType type = before.extension.type;
  if (record.remove_extension) type = NodeType::kEpisode;
  if (record.extension != nullptr) type = record.extension->type;
  CountDeltas& counts = builder_.counts();
  counts.records += 1;
  (record.dual_head ? counts.dual : counts.old) += 1;
  (type == NodeType::kConcept ? counts.concepts : counts.episodes) += 1;
  return Status::Ok();
}

Status WriteTxnImpl::PutRecord(const Record& record) {
  adds_ = true;
  if (!record.old_head && !record.dual_head) {
    return Status::InvalidArgument("a record needs a head in at least one form");
  }
  StoredRecord before;
  ENGRAM_ASSIGN_OR_RETURN(const bool existed,
                          view_.LoadHeads(record.key, HeadChoice::kBoth, &before));
  if (!existed && record.text == nullptr) {
    return Status::InvalidArgument("a new record needs its text row");
  }
  ENGRAM_TRY(CountChange(record, before, existed));
  ENGRAM_ASSIGN_OR_RETURN(VectorKey vector_key, StageEmbedding(record, before, existed));
  ENGRAM_TRY(StageHeads(record, before, vector_key));
  const std::string row_key = EncodeU64Key(record.key.value);
  if (record.text != nullptr) {
    scratch_.clear();
    EncodeTextFields(AsBytes(row_key), *record.text, &scratch_);
    Put(Table::kContent, AsBytes(row_key), AsBytes(scratch_));
    new_ids_.erase(record.key.value);
    const std::string id_key = EncodeIdKey(record.text->id);
    ENGRAM_ASSIGN_OR_RETURN(auto tombstone,
                            view_.reader().Get(Table::kTombstones, AsBytes(id_key)));
    if (tombstone) Delete(Table::kTombstones, AsBytes(id_key));
  }
  if (record.extension != nullptr) {
    scratch_.clear();
    EncodeExtension(AsBytes(row_key), *record.extension, &scratch_);
    Put(Table::kExtensions, AsBytes(row_key), AsBytes(scratch_));
  } else if (record.remove_extension && before.has_extension) {
    Delete(Table::kExtensions, AsBytes(row_key));
  }
  return Status::Ok();
}

Status WriteTxnImpl::RemoveRecord(NodeKey key, std::string_view id) {
  StoredRecord record;
  ENGRAM_ASSIGN_OR_RETURN(const bool existed, view_.LoadHeads(key, HeadChoice::kBoth, &record));
  if (!existed) return Status::NotFound("there is no record to remove");
  const Uuid uuid = uuids_.try_emplace(key.value, store_->UuidOf(id)).first->second;
  ENGRAM_TRY(DropLinks(key));
  SubtractRecord(record);
  const std::string row_key = EncodeU64Key(key.value);
  if (record.dual_head || record.dual_head_damaged) Delete(Table::kHeads, AsBytes(row_key));
  if (record.old_head || record.old_head_damaged) Delete(Table::kOldHeads, AsBytes(row_key));
  if (record.has_extension) Delete(Table::kExtensions, AsBytes(row_key));
  ENGRAM_ASSIGN_OR_RETURN(const auto vector, VectorOf(record));
  if (vector) Delete(Table::kEmbeddings, AsBytes(EncodeU64Key(vector->value)));
  const std::string id_key = EncodeIdKey(id);
  ENGRAM_ASSIGN_OR_RETURN(const bool has_sources, HasSources());
  if (has_sources) {
    // The id keeps its key: an ingest that comes back to its source finds both.
    PutU64(Table::kTombstones, AsBytes(id_key), lsn_.value);
    new_ids_[key.value] = id;
  } else {
    Delete(Table::kContent, AsBytes(row_key));
    Delete(Table::kIds, AsBytes(id_key));
    Delete(Table::kUuids, uuid.bytes);
  }
  removes_ = true;
  return Status::Ok();
}

Result<std::optional<std::string>> WriteTxnImpl::Clear(const ClearOptions& options) {
  std::vector<std::pair<std::string, NodeKey>> found;
  ENGRAM_TRY(view_.ScanIds(options.after, [&](std::string_view id, NodeKey key) -> Result<bool> {
    found.emplace_back(id, key);
    return found.size() < options.keys_max;
  }));
  const bool is_all = found.size() < options.keys_max;
  for (auto& [id, key] : found) {
    const Status status = RemoveRecord(key, id);
    if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
    if (!status.ok()) ENGRAM_TRY(DropLinks(key));  // an edge's endpoint without a record
    // The links of a few nodes may be as much as a log record takes.
    if (builder_.size_bytes() > kClearSizeBytesMax)
      return std::optional<std::string>(std::move(id));
  }
  if (is_all) return std::optional<std::string>();
  return std::optional<std::string>(std::move(found.back().first));
}

Result<bool> WriteTxnImpl::HasSources() {
  if (has_sources_) return *has_sources_;
  bool found = false;
  ENGRAM_TRY(view_.reader().Scan(Table::kMeta, {}, AsBytes(kMetaSourcePrefix),
                                 [&found](Bytes, Bytes) -> Result<bool> {
                                   found = true;
                                   return false;
                                 }));
  has_sources_ = found;
  return found;
}

Result<Uuid> WriteTxnImpl::UuidOfNode(NodeKey key) {
  auto found = uuids_.find(key.value);
  if (found != uuids_.end()) return found->second;
  auto made = new_ids_.find(key.value);
  std::string id;
  if (made != new_ids_.end()) {
    id = made->second;
  } else {
    Result<std::string> stored = view_.IdOf(key);
    // Not the record that is written or deleted is missing, but the name of one that it is linked
    // to.
    if (stored.status().code() == StatusCode::kNotFound) {
      return view_.reader().Damaged(Table::kContent, AsBytes(EncodeU64Key(key.value)),
                                    "the row of a linked node is missing");
    }
    if (!stored.ok()) return stored.status();
    id = std::move(*stored);
  }
  const Uuid uuid = store_->UuidOf(id);
  uuids_.emplace(key.value, uuid);
  return uuid;
}

Result<uint64_t> WriteTxnImpl::NextOrdinal(Table table, NodeKey node) {
  const std::string prefix = EncodeU64Key(node.value);
  ENGRAM_ASSIGN_OR_RETURN(const auto last, view_.reader().Last(table, AsBytes(prefix)));
  if (!last) return uint64_t{1};
  const auto& [key, value] = *last;
  if (!DecodeChecked(key, value).ok() || key.size() != kLinkKeySizeBytes) {
    return view_.reader().Damaged(table, key, "damaged link row");
  }
  return LoadBe64(key.data() + prefix.size()) + 1;
}

Status WriteTxnImpl::AddEdge(NodeKey source, NodeKey target, float weight) {
  adds_ = true;
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t ordinal, NextOrdinal(Table::kEdgesOut, source));
  ENGRAM_ASSIGN_OR_RETURN(const Uuid from, UuidOfNode(source));
  ENGRAM_ASSIGN_OR_RETURN(const Uuid to, UuidOfNode(target));
  const std::string body = FloatBody(weight);
  PutChecked(Table::kEdgesOut, AsBytes(EncodeLinkKey(source, ordinal, target)), AsBytes(body));
  PutChecked(Table::kEdgesIn, AsBytes(EncodeLinkKey(target, ordinal, source)), AsBytes(body));
  builder_.AddDigest({kSumEdges, false, {}, EdgeDigest(from, ordinal, to, weight)});
  builder_.counts().edges += 1;
  return Status::Ok();
}

Status WriteTxnImpl::DropEdges(NodeKey source, const Neighbour& edge) {
  ENGRAM_ASSIGN_OR_RETURN(const Uuid from, UuidOfNode(source));
  ENGRAM_ASSIGN_OR_RETURN(const Uuid to, UuidOfNode(edge.node));
  Delete(Table::kEdgesOut, AsBytes(EncodeLinkKey(source, edge.ordinal, edge.node)));
  Delete(Table::kEdgesIn, AsBytes(EncodeLinkKey(edge.node, edge.ordinal, source)));
  builder_.AddDigest({kSumEdges, true, {}, EdgeDigest(from, edge.ordinal, to, edge.weight)});
  builder_.counts().edges -= 1;
  return Status::Ok();
}

Result<uint64_t> WriteTxnImpl::RemoveEdges(NodeKey source, NodeKey target) {
  ENGRAM_ASSIGN_OR_RETURN(auto edges, view_.OutEdges(source));
  uint64_t removed = 0;
  for (const Neighbour& edge : edges) {
    if (edge.node != target) continue;
    ENGRAM_TRY(DropEdges(source, edge));
    ++removed;
  }
  return removed;
}

Status WriteTxnImpl::BindingDigestChange(NodeKey episode, NodeKey concept_node,
                                         const Binding& binding, bool is_removal) {
  ENGRAM_ASSIGN_OR_RETURN(const Uuid from, UuidOfNode(episode));
  ENGRAM_ASSIGN_OR_RETURN(const Uuid to, UuidOfNode(concept_node));
  builder_.AddDigest(
      {kSumBindings,
       is_removal,
       {},
       BindingDigest(from, binding.ordinal, to, binding.strength, binding.contribution)});
  return Status::Ok();
}

Status WriteTxnImpl::AddBinding(NodeKey episode, NodeKey concept_node, float strength,
                                float contribution) {
  adds_ = true;
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t ordinal, NextOrdinal(Table::kBindingsOut, episode));
  const std::string body = FloatBody(strength) + FloatBody(contribution);
  PutChecked(Table::kBindingsOut, AsBytes(EncodeLinkKey(episode, ordinal, concept_node)),
             AsBytes(body));
  PutChecked(Table::kBindingsIn, AsBytes(EncodeLinkKey(concept_node, ordinal, episode)),
             AsBytes(body));
  builder_.counts().bindings += 1;
  return BindingDigestChange(episode, concept_node, {concept_node, ordinal, strength, contribution},
                             false);
}

Status WriteTxnImpl::SetBindingStrength(NodeKey episode, NodeKey concept_node, uint64_t ordinal,
                                        float strength) {
  ENGRAM_ASSIGN_OR_RETURN(auto bindings, view_.ConceptsOf(episode));
  for (Binding binding : bindings) {
    if (binding.ordinal != ordinal || binding.node != concept_node) continue;
    ENGRAM_TRY(BindingDigestChange(episode, concept_node, binding, true));
    binding.strength = strength;
    const std::string body = FloatBody(strength) + FloatBody(binding.contribution);
    PutChecked(Table::kBindingsOut, AsBytes(EncodeLinkKey(episode, ordinal, concept_node)),
               AsBytes(body));
    PutChecked(Table::kBindingsIn, AsBytes(EncodeLinkKey(concept_node, ordinal, episode)),
               AsBytes(body));
    return BindingDigestChange(episode, concept_node, binding, false);
  }
  return Status::NotFound("there is no such binding");
}

Status WriteTxnImpl::DropBinding(NodeKey episode, const Binding& binding) {
  Delete(Table::kBindingsOut, AsBytes(EncodeLinkKey(episode, binding.ordinal, binding.node)));
  Delete(Table::kBindingsIn, AsBytes(EncodeLinkKey(binding.node, binding.ordinal, episode)));
  builder_.counts().bindings -= 1;
  return BindingDigestChange(episode, binding.node, binding, true);
}

// Every edge and binding of a node, both ways. A self-loop shows up in both lists.
Status WriteTxnImpl::DropLinks(NodeKey key) {
  ENGRAM_ASSIGN_OR_RETURN(auto out_edges, view_.OutEdges(key));
  ENGRAM_ASSIGN_OR_RETURN(auto in_edges, view_.InEdges(key));
  for (const Neighbour& edge : out_edges) ENGRAM_TRY(DropEdges(key, edge));
  for (const Neighbour& edge : in_edges) {
    if (edge.node == key) continue;
    ENGRAM_TRY(DropEdges(edge.node, {key, edge.ordinal, edge.weight}));
  }
  ENGRAM_ASSIGN_OR_RETURN(auto concepts, view_.ConceptsOf(key));
  ENGRAM_ASSIGN_OR_RETURN(auto episodes, view_.EpisodesOf(key));
  for (const Binding& binding : concepts) ENGRAM_TRY(DropBinding(key, binding));
  for (Binding binding : episodes) {
    if (binding.node == key) continue;
    const NodeKey episode = binding.node;
    binding.node = key;
    ENGRAM_TRY(DropBinding(episode, binding));
  }
  return Status::Ok();
}

Status WriteTxnImpl::SetMode(Mode mode) {
  if (view_.mode() == Mode::kFinalized && mode != Mode::kFinalized) {
    return Status::FailedPrecondition(
        "the space is finalized: its old heads are gone, the mode can not change any more",
        "ingest the source into a new space to get the old form back");
  }
  PutU64(Table::kMeta, AsBytes(kMetaMode), static_cast<uint64_t>(mode));
  new_mode_ = mode;
  return Status::Ok();
}

Status WriteTxnImpl::SetMeta(std::string_view name, std::string_view value) {
  ENGRAM_TRY(CheckMetaName(name));
  PutChecked(Table::kMeta, AsBytes(name), AsBytes(value));
  has_sources_.reset();
  return Status::Ok();
}

Result<Lsn> WriteTxnImpl::Stage() {
  ENGRAM_CHECK(lock_.owns_lock());
  for (const auto& [key, id] : new_ids_) {
    TextFields text;
    text.id = id;
    const std::string row_key = EncodeU64Key(key);
    scratch_.clear();
    EncodeTextFields(AsBytes(row_key), text, &scratch_);
    Put(Table::kContent, AsBytes(row_key), AsBytes(scratch_));
  }
  wal::Log::AppendOptions append;
  append.use_reserve = removes_ && !adds_;
  append.wait = options_.wait;
  ChangeSet changes;
  std::string payload = builder_.Finish(next_node_key_, next_vector_key_, &changes);
  if (payload.size() > wal::kPayloadSizeBytesMax) {
    return Status::InvalidArgument(
        "a write of " + std::to_string(payload.size()) + " bytes, at most " +
            std::to_string(wal::kPayloadSizeBytesMax) + " are taken",
        "shorten the text or the metadata of the record; of one with very many "
        "edges or bindings remove some of them first");
  }
  ENGRAM_ASSIGN_OR_RETURN(Lsn lsn,
                          store_->StageChanges(std::move(payload), changes, new_mode_, append));
  ENGRAM_CHECK(lsn == lsn_);
  store_->SetNextKeys(next_node_key_, next_vector_key_);
  lock_.unlock();
  return lsn;
}

}  // namespace

Result<std::unique_ptr<WriteTxn>> MakeWriteTxn(StoreImpl* store, std::unique_lock<std::mutex> lock,
                                               const Store::BeginOptions& options) {
  ENGRAM_ASSIGN_OR_RETURN(ReadState state, store->OpenReadState(/*latest=*/true));
  state.unborn_node_key = store->next_node_key();
  return std::unique_ptr<WriteTxn>(
      std::make_unique<WriteTxnImpl>(store, std::move(lock), std::move(state), options));
}

}  // namespace engram::engine
