#include <algorithm>
#include <bit>

#include "engine/internal/read_view.h"

namespace engram::engine {
namespace {

float LoadFloat(const uint8_t* p) { return std::bit_cast<float>(LoadLe<uint32_t>(p)); }

}  // namespace

const HeadCommon& StoredRecord::current() const {
  return is_dual() ? dual_head->common : old_head->common;
}

bool StoredRecord::is_dual() const {
  if (!dual_head) return false;
  return !old_head || dual_head->common.seq >= old_head->common.seq;
}

Sha256Digest DigestState::SpaceDigest() const {
  LtHash sum;
  for (const TierDigest& tier : tiers) sum.Add(tier.lanes);
  return sum.Publish();
}

std::string EncodeLinkKey(NodeKey node, uint64_t ordinal, NodeKey other) {
  std::string key;
  PutBe64(&key, node.value);
  PutBe64(&key, ordinal);
  PutBe64(&key, other.value);
  return key;
}

std::unique_ptr<ReadView> MakeReadView(ReadState state, StoreImpl* store) {
  return std::make_unique<ReadViewImpl>(std::move(state), nullptr, store);
}

Mode ReadViewImpl::mode() const {
  auto row = reader_.GetChecked(Table::kMeta, AsBytes(kMetaMode));
  if (!row.ok() || !*row || (*row)->size() != 8) return store_->mode();
  return static_cast<Mode>(LoadLe<uint64_t>((*row)->data()));
}

Result<std::optional<uint64_t>> ReadViewImpl::GetU64(Table table, Bytes key) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> body, reader_.GetChecked(table, key));
  if (!body) return std::optional<uint64_t>();
  if (body->size() != 8) {
    return reader_.Damaged(table, key, "size " + std::to_string(body->size()) + ", expected 8");
  }
  return std::optional<uint64_t>(LoadLe<uint64_t>(body->data()));
}

Result<std::optional<NodeKey>> ReadViewImpl::FindId(std::string_view id) {
  const std::string key = EncodeIdKey(id);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<uint64_t> node, GetU64(Table::kIds, AsBytes(key)));
  if (!node) return std::optional<NodeKey>();
  return std::optional<NodeKey>(NodeKey{*node});
}

Result<std::optional<NodeKey>> ReadViewImpl::FindUuid(const Uuid& uuid) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<uint64_t> node, GetU64(Table::kUuids, uuid.bytes));
  if (!node) return std::optional<NodeKey>();
  return std::optional<NodeKey>(NodeKey{*node});
}

Result<HeadRows> ReadViewImpl::ReadHeadRows(NodeKey key) const {
  uint8_t row_key[8];
  StoreBe64(row_key, key.value);
  HeadRows rows;
  ENGRAM_ASSIGN_OR_RETURN(rows.dual_head, reader_.Get(Table::kHeads, Bytes(row_key, 8)));
  ENGRAM_ASSIGN_OR_RETURN(rows.old_head, reader_.Get(Table::kOldHeads, Bytes(row_key, 8)));
  return rows;
}

Result<bool> ReadViewImpl::LoadHeads(NodeKey key, HeadChoice choice, StoredRecord* record) {
  uint8_t raw[8];
  StoreBe64(raw, key.value);
  const Bytes row_key(raw, 8);
  record->key = key;
  HeadRows rows;
  ENGRAM_ASSIGN_OR_RETURN(rows.dual_head, reader_.Get(Table::kHeads, row_key));
  const bool is_enough =
      choice == HeadChoice::kCurrent && rows.dual_head && TakeHeads(row_key, rows, record).ok();
  if (!is_enough) {
    ENGRAM_ASSIGN_OR_RETURN(rows.old_head, reader_.Get(Table::kOldHeads, row_key));
    if (rows.empty()) return false;
    IgnoreError(TakeHeads(row_key, rows, record), "noted in the record; Record() reports it");
  }
  ENGRAM_ASSIGN_OR_RETURN(auto value, reader_.Get(Table::kExtensions, row_key));
  if (value) {
    Status status = DecodeExtension(row_key, *value, &record->extension);
    if (!status.ok()) return reader_.Damaged(Table::kExtensions, row_key, status.message());
    record->has_extension = true;
  }
  return true;
}

// A record is large to move: it is filled where the caller gets it.
Result<std::optional<StoredRecord>> ReadViewImpl::RecordToReplace(NodeKey key) {
  Result<std::optional<StoredRecord>> record{std::optional<StoredRecord>()};
  const Result<bool> found = LoadHeads(key, HeadChoice::kBoth, &record->emplace());
  if (!found.ok() || !*found) record->reset();
  if (!found.ok()) record = found.status();
  return record;
}

Status ReadViewImpl::NoReadableHead(NodeKey key) const {
  const std::string row_key = EncodeU64Key(key.value);
  ENGRAM_ASSIGN_OR_RETURN(const HeadRows rows, ReadHeadRows(key));
  StoredRecord record;
  const Status status = TakeHeads(AsBytes(row_key), rows, &record);
  return reader_.Damaged(rows.dual_head ? Table::kHeads : Table::kOldHeads, AsBytes(row_key),
                         status.message());
}

Result<std::optional<StoredRecord>> ReadViewImpl::Record(NodeKey key) {
  return RecordWith(key, HeadChoice::kBoth);
}

Result<std::optional<StoredRecord>> ReadViewImpl::CurrentRecord(NodeKey key) {
  return RecordWith(key, HeadChoice::kCurrent);
}

Result<std::optional<StoredRecord>> ReadViewImpl::RecordWith(NodeKey key, HeadChoice choice) {
  Result<std::optional<StoredRecord>> record{std::optional<StoredRecord>()};
  const Result<bool> found = LoadRecord(key, choice, &record->emplace());
  if (!found.ok() || !*found) record->reset();
  if (!found.ok()) record = found.status();
  return record;
}

Result<bool> ReadViewImpl::LoadRecord(NodeKey key, HeadChoice choice, StoredRecord* record) {
  ENGRAM_ASSIGN_OR_RETURN(const bool found, LoadHeads(key, choice, record));
  if (!found) return false;
  const std::string row_key = EncodeU64Key(key.value);
  if (!record->has_head()) return NoReadableHead(key);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> text,
                          reader_.Get(Table::kContent, AsBytes(row_key)));
  if (!text) {
    return reader_.Damaged(Table::kContent, AsBytes(row_key),
                           "the row of a stored record is missing");
  }
  Status status = DecodeTextFields(AsBytes(row_key), *text, &record->text);
  if (!status.ok()) return reader_.Damaged(Table::kContent, AsBytes(row_key), status.message());
  return true;
}

Result<std::optional<HeadCommon>> ReadView::Head(NodeKey key) {
  ENGRAM_ASSIGN_OR_RETURN(const auto record, Record(key));
  return record ? std::optional<HeadCommon>(record->current()) : std::optional<HeadCommon>();
}

Result<std::optional<HeadCommon>> ReadViewImpl::Head(NodeKey key) {
  StoredRecord record;
  ENGRAM_ASSIGN_OR_RETURN(const bool found, LoadHeads(key, HeadChoice::kCurrent, &record));
  if (!found) return std::optional<HeadCommon>();
  if (!record.has_head()) return NoReadableHead(key);
  return std::optional<HeadCommon>(record.current());
}

Result<std::string> ReadViewImpl::IdOf(NodeKey key) {
  const std::string row_key = EncodeU64Key(key.value);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> row, reader_.Get(Table::kContent, AsBytes(row_key)));
  if (!row) return Status::NotFound("no node has the key " + std::to_string(key.value));
  TextFields text;
  Status status = DecodeTextFields(AsBytes(row_key), *row, &text);
  if (!status.ok()) return reader_.Damaged(Table::kContent, AsBytes(row_key), status.message());
  return std::move(text.id);
}

Result<NodeKey> ReadViewImpl::ReadEmbedding(VectorKey key, Embedding* out) {
  const std::string row_key = EncodeU64Key(key.value);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> row,
                          reader_.Get(Table::kEmbeddings, AsBytes(row_key)));
  if (!row) {
    return reader_.Damaged(Table::kEmbeddings, AsBytes(row_key),
                           "the embedding of a stored record is missing");
  }
  NodeKey owner;
  Status status = CopyEmbedding(AsBytes(row_key), *row, &owner, out);
  if (!status.ok()) return reader_.Damaged(Table::kEmbeddings, AsBytes(row_key), status.message());
  return owner;
}

Result<std::vector<Neighbour>> ReadViewImpl::Edges(Table table, NodeKey node) {
  std::vector<Neighbour> edges;
  const std::string prefix = EncodeU64Key(node.value);
  ENGRAM_TRY(reader_.Scan(table, {}, AsBytes(prefix), [&](Bytes key, Bytes value) -> Result<bool> {
    auto body = DecodeChecked(key, value);
    if (!body.ok() || body->size() != 4 || key.size() != kLinkKeySizeBytes) {
      return reader_.Damaged(table, key, "damaged edge row");
    }
    edges.push_back(
        {NodeKey{LoadBe64(key.data() + 16)}, LoadBe64(key.data() + 8), LoadFloat(body->data())});
    return true;
  }));
  return edges;
}

Result<std::vector<Neighbour>> ReadViewImpl::OutEdges(NodeKey source) {
  return Edges(Table::kEdgesOut, source);
}

Result<std::vector<Neighbour>> ReadViewImpl::InEdges(NodeKey target) {
  return Edges(Table::kEdgesIn, target);
}

Result<std::vector<Binding>> ReadViewImpl::Bindings(Table table, NodeKey node) {
  std::vector<Binding> bindings;
  const std::string prefix = EncodeU64Key(node.value);
  ENGRAM_TRY(reader_.Scan(table, {}, AsBytes(prefix), [&](Bytes key, Bytes value) -> Result<bool> {
    auto body = DecodeChecked(key, value);
    if (!body.ok() || body->size() != 8 || key.size() != kLinkKeySizeBytes) {
      return reader_.Damaged(table, key, "damaged binding row");
    }
    bindings.push_back({NodeKey{LoadBe64(key.data() + 16)}, LoadBe64(key.data() + 8),
                        LoadFloat(body->data()), LoadFloat(body->data() + 4)});
    return true;
  }));
  return bindings;
}

Result<std::vector<Binding>> ReadViewImpl::ConceptsOf(NodeKey episode) {
  return Bindings(Table::kBindingsOut, episode);
}

Result<std::vector<Binding>> ReadViewImpl::EpisodesOf(NodeKey concept_node) {
  return Bindings(Table::kBindingsIn, concept_node);
}

Result<DigestRows> ReadViewImpl::StoredDigests() const {
  const ReadState& state = reader_.state();
  return DigestRows::Load([&state](Bytes key) { return state.txn.Get(Table::kDigests, key); });
}

// What the memtables add to LMDB's rows; a transaction's own changes are not in.
ReadViewImpl::Changes ReadViewImpl::OverlayChanges() const {
  const ReadState& state = reader_.state();
  Changes changes;
  for (const auto& memtable : state.tables) {
    memtable->CollectChanges(state.applied, state.visible, &changes.digests, &changes.counts);
  }
  return changes;
}

Result<DigestState> ReadViewImpl::Digests() {
  ENGRAM_ASSIGN_OR_RETURN(DigestRows rows, StoredDigests());
  const Changes changes = OverlayChanges();
  for (const DigestChange& change : changes.digests) rows.Apply(change);
  DigestState out;
  out.lsn = lsn();
  std::copy(std::begin(rows.tiers), std::end(rows.tiers), std::begin(out.tiers));
  out.edges = rows.edges;
  out.bindings = rows.bindings;
  return out;
}

Result<Counts> ReadViewImpl::Count() {
  ENGRAM_ASSIGN_OR_RETURN(DigestRows rows, StoredDigests());
  OverlayChanges().counts.ApplyTo(&rows.counts);
  return rows.counts;
}

Result<std::optional<RangeSum>> ReadViewImpl::Range(uint64_t range) {
  const ReadState& state = reader_.state();
  const std::string key = RangeRowKey(range);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> value, state.txn.Get(Table::kDigests, AsBytes(key)));
  std::optional<RangeSum> sum;
  if (value) {
    ENGRAM_ASSIGN_OR_RETURN(sum, DecodeRangeRow(AsBytes(key), *value));
  }
  const Changes changes = OverlayChanges();
  for (const DigestChange& change : changes.digests) {
    if (change.sum > kTierCount || change.marks_dirty) continue;
    if (RangeOf(change.node) != range) continue;
    if (!sum) sum.emplace();
    if (change.is_removal) {
      sum->Remove(change.digest);
    } else {
      sum->Add(change.digest);
    }
  }
  return sum;
}

Result<std::optional<std::string>> ReadViewImpl::Meta(std::string_view name) {
  // Keys that were given above LMDB's rows are counted by the memtables; the newest has them all.
  const bool is_node = name == kMetaNextNodeKey;
  if (is_node || name == kMetaNextVectorKey) {
    const MemtableSpan tables = reader_.state().tables;
    for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
      if ((*table)->empty()) continue;
      std::string next;
      PutLe(&next, is_node ? (*table)->next_node_key() : (*table)->next_vector_key());
      return std::optional<std::string>(std::move(next));
    }
  }
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> body,
                          reader_.GetChecked(Table::kMeta, AsBytes(name)));
  if (!body) return std::optional<std::string>();
  return std::optional<std::string>(AsView(*body));
}

Result<std::optional<Lsn>> ReadViewImpl::Tombstone(std::string_view id) {
  const std::string key = EncodeIdKey(id);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<uint64_t> lsn, GetU64(Table::kTombstones, AsBytes(key)));
  if (!lsn) return std::optional<Lsn>();
  return std::optional<Lsn>(Lsn{*lsn});
}

Status ReadViewImpl::ScanTable(Table table, Bytes first,
                               const std::function<Result<bool>(Bytes, Bytes)>& visit) {
  return reader_.Scan(table, first, {}, visit);
}

// Ids above the prefix limit sort by a hash behind their shared prefix: each such group is
// gathered and put in the order of the full ids.
Status ReadViewImpl::ScanIds(std::optional<std::string_view> after,
                             const std::function<Result<bool>(std::string_view, NodeKey)>& visit) {
  std::string first;
  if (after) first = EncodeIdKey(*after).substr(0, 1 + kIdKeyPrefixSizeBytes);
  std::vector<std::pair<std::string, NodeKey>> group;
  std::string group_prefix;
  bool go_on = true;
  auto emit = [&](std::string_view id, NodeKey key) -> Status {
    if (!go_on || (after && id <= *after)) return Status::Ok();
    ENGRAM_ASSIGN_OR_RETURN(go_on, visit(id, key));
    return Status::Ok();
  };
  auto flush = [&]() -> Status {
    std::sort(group.begin(), group.end());
    for (const auto& [id, key] : group) ENGRAM_TRY(emit(id, key));
    group.clear();
    return Status::Ok();
  };
  Status scanned =
      reader_.Scan(Table::kIds, AsBytes(first), {}, [&](Bytes id_key, Bytes value) -> Result<bool> {
        auto body = DecodeChecked(id_key, value);
        if (!body.ok() || body->size() != 8) {
          return reader_.Damaged(Table::kIds, id_key, "damaged row");
        }
        const NodeKey key{LoadLe<uint64_t>(body->data())};
        if (!IdKeyIsTruncated(id_key)) {
          ENGRAM_TRY(flush());
          ENGRAM_TRY(emit(IdOfIdKey(id_key), key));
          return go_on;
        }
        const std::string_view prefix = AsView(id_key).substr(0, 1 + kIdKeyPrefixSizeBytes);
        if (prefix != group_prefix) ENGRAM_TRY(flush());
        group_prefix = prefix;
        Result<std::string> id = IdOf(key);
        if (!id.ok() && id.status().code() == StatusCode::kNotFound)
          return go_on;  // not written yet
        if (!id.ok()) return id.status();
        group.emplace_back(std::move(*id), key);
        return go_on;
      });
  ENGRAM_TRY(scanned);
  return flush();
}

}  // namespace engram::engine
