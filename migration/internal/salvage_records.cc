#include "migration/internal/salvage_records.h"

#include <algorithm>

#include "base/check.h"
#include "compat/conversion.h"
#include "migration/job.h"

namespace engram::migration::internal {
namespace {

using engine::Table;

constexpr uint64_t kKeysPerRange = engine::kRangeKeyCount;

SpaceId ParsedSpace(const std::string& name) {
  auto space = SpaceId::Parse(name);
  ENGRAM_CHECK(space.ok());  // of an open store
  return *space;
}

bool IsOnlyId(const engine::TextFields& text) {
  return !text.content && !text.where && !text.who && !text.provenance && text.metadata.empty();
}

// The key that a row of the id or uuid table leads to; 0 if the row fails its check.
uint64_t KeyOfName(Bytes name, Bytes value) {
  const auto body = engine::DecodeChecked(name, value);
  return body.ok() && body->size() == 8 ? LoadLe<uint64_t>(body->data()) : 0;
}

}  // namespace

SalvageRecords::SalvageRecords(engine::ReadView& view, const SalvageScope& scope, SalvageRows* rows)
    : view_(view),
      space_(ParsedSpace(scope.space)),
      writes_lost_(scope.writes_lost),
      rows_(*rows) {}

Status SalvageRecords::Run() {
  if (writes_lost_) ENGRAM_TRY(FindOwners());
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t last_head, LastRecordKey(view_));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t last_text, LastKeyOf(view_, Table::kContent));
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t last_extension, LastKeyOf(view_, Table::kExtensions));
  const uint64_t last = std::max({last_head, last_text, last_extension});
  for (uint64_t first = 0; first <= last; first += kKeysPerRange) {
    ENGRAM_TRY(CollectRange(first));
    for (Item& item : items_) ENGRAM_TRY(CheckItem(item));
  }
  ENGRAM_TRY(CheckIdTable());
  ENGRAM_TRY(CheckUuidTable());
  // What is left has no readable text row and no name anywhere.
  for (const auto& [key, reason] : nameless_) {
    rows_.plan().quarantined.push_back({"", key, reason});
  }
  return CheckEmbeddingTable();
}

// A lost write may have taken the embedding with it that later ones name; the one before is there.
Status SalvageRecords::FindOwners() {
  return view_.ScanTable(Table::kEmbeddings, {}, [&](Bytes key, Bytes value) -> Result<bool> {
    NodeKey owner;
    Bytes floats;
    if (key.size() != 8 || !engine::DecodeEmbedding(key, value, &owner, &floats).ok()) return true;
    newest_vector_of_[owner.value] = LoadBe64(key.data());  // keys rise
    return true;
  });
}

Status SalvageRecords::CollectRange(uint64_t first) {
  items_.assign(kKeysPerRange, Item());
  for (uint64_t i = 0; i < kKeysPerRange; ++i) items_[i].key = first + i;
  ENGRAM_TRY(Collect(Table::kHeads, first, &Item::dual_head));
  ENGRAM_TRY(Collect(Table::kOldHeads, first, &Item::old_head));
  ENGRAM_TRY(Collect(Table::kContent, first, &Item::text));
  return Collect(Table::kExtensions, first, &Item::extension);
}

Status SalvageRecords::Collect(Table table, uint64_t first, Row Item::*row) {
  return view_.ScanTable(table, AsBytes(engine::EncodeU64Key(first)),
                         [&](Bytes key, Bytes value) -> Result<bool> {
                           if (key.size() != 8) return true;
                           const uint64_t node = LoadBe64(key.data());
                           if (node >= first + kKeysPerRange) return false;
                           items_[node - first].*row = std::string(AsView(value));
                           return true;
                         });
}

Status SalvageRecords::CheckItem(Item& item) {
  if (!item.dual_head && !item.old_head) return CheckHeadless(item);
  Subject subject;
  subject.item = &item;
  subject.row_key = engine::EncodeU64Key(item.key);
  ENGRAM_ASSIGN_OR_RETURN(const std::string wrong, WhatIsWrong(&subject));
  if (wrong.empty()) {
    Keep(subject);
    return EnsureNames(item.key, subject.node.text.id);
  }
  Quarantine(subject, wrong);
  if (!subject.text_is_good || subject.is_superseded) return Status::Ok();
  return EnsureNames(item.key, subject.node.text.id);
}

Result<std::string> SalvageRecords::WhatIsWrong(Subject* subject) {
  // The text first: it has the id that the report names.
  const std::string text = ReadText(subject);
  std::string wrong = ReadHeads(subject);
  if (wrong.empty()) wrong = text;
  if (wrong.empty()) wrong = ReadExtension(subject);
  if (wrong.empty()) {
    ENGRAM_ASSIGN_OR_RETURN(wrong, ReadEmbedding(subject));
  }
  if (wrong.empty()) wrong = CheckDigest(subject);
  if (wrong.empty()) {
    ENGRAM_ASSIGN_OR_RETURN(wrong, CheckOwner(subject));
  }
  return wrong;
}

// An id may have a key and no record: the end of an edge. Then its text row is the id alone.
Status SalvageRecords::CheckHeadless(Item& item) {
  const std::string row_key = engine::EncodeU64Key(item.key);
  if (item.extension) {
    rows_.SetAside(Table::kExtensions, AsBytes(row_key), AsBytes(*item.extension));
    rows_.plan().quarantined.push_back({"", item.key, "an extension row without a record"});
  }
  if (!item.text) return Status::Ok();
  engine::TextFields text;
  const Status decoded = engine::DecodeTextFields(AsBytes(row_key), AsBytes(*item.text), &text);
  if (!decoded.ok()) {
    rows_.SetAside(Table::kContent, AsBytes(row_key), AsBytes(*item.text));
    nameless_[item.key] = decoded.message();
    return Status::Ok();
  }
  if (!IsOnlyId(text)) {
    rows_.SetAside(Table::kContent, AsBytes(row_key), AsBytes(*item.text));
    PutOnlyId(item.key, text.id);
    rows_.plan().quarantined.push_back({text.id, item.key, "its heads are missing"});
  }
  return EnsureNames(item.key, text.id);
}

std::string SalvageRecords::ReadText(Subject* subject) {
  if (!subject->item->text) return "its text row is missing";
  const Status decoded = engine::DecodeTextFields(
      AsBytes(subject->row_key), AsBytes(*subject->item->text), &subject->node.text);
  subject->text_is_good = decoded.ok();
  return decoded.ok() ? "" : decoded.message();
}

std::string SalvageRecords::ReadHeads(Subject* subject) {
  const Bytes key = AsBytes(subject->row_key);
  std::string damage;
  engine::OldHead old_head;
  bool has_old = false;
  if (subject->item->old_head) {
    const Status decoded = engine::DecodeOldHead(key, AsBytes(*subject->item->old_head), &old_head);
    has_old = decoded.ok();
    damage = decoded.message();
  }
  if (subject->item->dual_head) {
    engine::DualHead dual_head;
    const Status decoded =
        engine::DecodeDualHead(key, AsBytes(*subject->item->dual_head), &dual_head);
    if (decoded.ok() && (!has_old || dual_head.common.seq >= old_head.common.seq)) {
      subject->head = dual_head.common;
      engine::TextFields text = std::move(subject->node.text);
      subject->node = std::move(dual_head.node);
      subject->node.text = std::move(text);
      return "";
    }
    if (!decoded.ok()) damage = decoded.message();
  }
  if (!has_old) return "no head of it passes its check: " + damage;
  subject->head = old_head.common;
  compat::ToDualHead(old_head.memory, Uuid{}, engine::Extension{}, &subject->node);
  return "";
}

std::string SalvageRecords::ReadExtension(Subject* subject) {
  subject->node.uuid = UuidOf(subject->node.text.id);
  if (!subject->item->extension) return "";
  return engine::DecodeExtension(AsBytes(subject->row_key), AsBytes(*subject->item->extension),
                                 &subject->node.extension)
      .message();
}

Result<std::string> SalvageRecords::ReadEmbedding(Subject* subject) {
  auto owner = view_.ReadEmbedding(subject->head.vector_key, &embedding_);
  const auto another = newest_vector_of_.find(subject->item->key);
  if (!owner.ok() && another != newest_vector_of_.end()) {
    subject->mixed = "its embedding is that of an earlier write";
    subject->head.vector_key = VectorKey{another->second};
    owner = view_.ReadEmbedding(subject->head.vector_key, &embedding_);
  }
  if (!owner.ok() && owner.status().code() != StatusCode::kCorruption) return owner.status();
  if (!owner.ok()) return owner.status().message();
  if (owner->value == subject->item->key) return std::string();
  return "its embedding belongs to node key " + std::to_string(owner->value);
}

// After a lost write the rows that are left need not belong to one version: then the record stays
// as its rows say, and is named. Without one, rows that do not fit were changed behind our back.
std::string SalvageRecords::CheckDigest(Subject* subject) {
  const Sha256Digest embedding =
      Sha256Of({reinterpret_cast<const uint8_t*>(embedding_.data()), engine::kEmbeddingSizeBytes});
  const bool same_embedding = embedding == subject->node.embedding_sha256;
  if (!same_embedding && !writes_lost_) return "its embedding is not the one that was stored";
  subject->node.embedding_sha256 = embedding;
  const Sha256Digest digest = engine::RecordDigest(subject->node);
  if (digest == subject->head.digest) return "";
  if (!writes_lost_) return "its digest is not that of its rows";
  subject->head.digest = digest;
  if (subject->mixed.empty()) subject->mixed = "its text or typed fields are of an earlier write";
  return "";
}

// A write that is lost may have been the delete of the node that had the id before.
Result<std::string> SalvageRecords::CheckOwner(Subject* subject) {
  const std::string& id = subject->node.text.id;
  const auto owner = view_.FindId(id);
  if (!owner.ok() || !*owner || **owner == NodeKey{subject->item->key}) return std::string();
  const auto other = view_.Record(**owner);
  if (!other.ok() || !*other || (*other)->text.id != id) return std::string();
  subject->is_superseded = true;
  return "its id belongs to a later node, key " + std::to_string((*owner)->value);
}

void SalvageRecords::Keep(Subject& subject) {
  SalvagePlan& plan = rows_.plan();
  const std::string& id = subject.node.text.id;
  const engine::Tier tier = engine::TierOf(subject.node.activation);
  const bool moved = tier != subject.head.tier;
  subject.head.tier = tier;
  bool rewritten = false;
  RewriteHeads(subject, &rewritten);
  if (!subject.mixed.empty()) {
    plan.mixed.push_back({id, subject.item->key, subject.mixed});
  } else if (rewritten) {
    plan.repaired.push_back(
        {id, subject.item->key, moved ? "its tier was wrong" : "a head was made from the other"});
  } else {
    plan.intact += 1;
  }
  engine::TierDigest& sum = plan.totals.tiers[static_cast<int>(tier) - 1];
  sum.count += 1;
  sum.lanes.Add(subject.head.digest);
  plan.totals.ranges[engine::RangeOf(NodeKey{subject.item->key})].Add(subject.head.digest);
  engine::Counts& counts = plan.totals.counts;
  counts.records += 1;
  (subject.item->dual_head ? counts.dual : counts.old) += 1;
  const bool is_concept = subject.node.extension.type == engine::NodeType::kConcept;
  (is_concept ? counts.concepts : counts.episodes) += 1;
  vector_keys_.push_back(subject.head.vector_key.value);
}

// Every head that has a row says what the current one says.
void SalvageRecords::RewriteHeads(const Subject& subject, bool* changed) {
  const Bytes key = AsBytes(subject.row_key);
  const auto put = [&](Table table, const Row& stored, std::string row) {
    if (!stored || *stored == row) return;
    *changed = true;
    rows_.SetAside(table, key, AsBytes(*stored));
    rows_.Put(table, key, std::move(row));
  };
  std::string row;
  engine::EncodeDualHead(key, subject.head, subject.node, &row);
  put(Table::kHeads, subject.item->dual_head, std::move(row));
  engine::Memory memory;
  compat::ToMemoryHead(subject.node, &memory);
  row.clear();
  engine::EncodeOldHead(key, subject.head, memory, &row);
  put(Table::kOldHeads, subject.item->old_head, std::move(row));
}

void SalvageRecords::Quarantine(const Subject& subject, const std::string& reason) {
  const Bytes key = AsBytes(subject.row_key);
  const Item& item = *subject.item;
  const auto set_aside = [&](Table table, const Row& row) {
    if (row) rows_.SetAside(table, key, AsBytes(*row));
  };
  set_aside(Table::kHeads, item.dual_head);
  set_aside(Table::kOldHeads, item.old_head);
  set_aside(Table::kExtensions, item.extension);
  set_aside(Table::kContent, item.text);
  if (!subject.text_is_good) {
    nameless_[item.key] = reason;  // the id table may know it
    return;
  }
  if (subject.is_superseded) {
    superseded_.insert(item.key);
  } else {
    PutOnlyId(item.key, subject.node.text.id);
  }
  rows_.plan().quarantined.push_back({subject.node.text.id, item.key, reason});
}

void SalvageRecords::PutOnlyId(uint64_t key, std::string_view id) {
  engine::TextFields text;
  text.id = id;
  ids_[key] = text.id;
  std::string row;
  const std::string row_key = engine::EncodeU64Key(key);
  engine::EncodeTextFields(AsBytes(row_key), text, &row);
  rows_.Put(Table::kContent, AsBytes(row_key), std::move(row));
}

Status SalvageRecords::EnsureNames(uint64_t key, const std::string& id) {
  ENGRAM_TRY(EnsureName(Table::kIds, AsBytes(engine::EncodeIdKey(id)), key, id));
  return EnsureName(Table::kUuids, UuidOf(id).bytes, key, id);
}

Status SalvageRecords::EnsureName(Table table, Bytes name, uint64_t key, const std::string& id) {
  uint64_t found = 0;
  ENGRAM_TRY(view_.ScanTable(table, name, [&](Bytes at, Bytes value) -> Result<bool> {
    if (AsView(at) == AsView(name)) found = KeyOfName(at, value);
    return false;
  }));
  if (found == key) return Status::Ok();
  uint8_t body[8];
  StoreLe(body, key);
  std::string row;
  engine::EncodeChecked(name, body, &row);
  rows_.Put(table, name, std::move(row));
  rows_.plan().repaired.push_back({id, key,
                                   table == Table::kIds
                                       ? "its row in ids was damaged or missing"
                                       : "its row in uuids was damaged or missing"});
  return Status::Ok();
}

Result<std::optional<std::string>> SalvageRecords::IdOf(NodeKey key) {
  if (const auto made = ids_.find(key.value); made != ids_.end()) {
    return std::optional<std::string>(made->second);
  }
  if (nameless_.contains(key.value) || superseded_.contains(key.value))
    return std::optional<std::string>();
  auto id = view_.IdOf(key);
  if (id.ok()) return std::optional<std::string>(std::move(*id));
  const StatusCode code = id.status().code();
  if (code == StatusCode::kNotFound || code == StatusCode::kCorruption) {
    return std::optional<std::string>();
  }
  return id.status();
}

Status SalvageRecords::CheckIdTable() {
  return view_.ScanTable(Table::kIds, {}, [&](Bytes name, Bytes value) -> Result<bool> {
    const uint64_t key = KeyOfName(name, value);
    ENGRAM_ASSIGN_OR_RETURN(auto id, IdOf(NodeKey{key}));
    if (key != 0 && !id && !engine::IdKeyIsTruncated(name)) {
      // The name survives where the text did not: edges may end here.
      id = std::string(engine::IdOfIdKey(name));
      const auto lost = nameless_.find(key);
      if (lost != nameless_.end()) {
        rows_.plan().quarantined.push_back({*id, key, lost->second});
        nameless_.erase(lost);
      }
      PutOnlyId(key, *id);
      ENGRAM_TRY(EnsureName(Table::kUuids, UuidOf(*id).bytes, key, *id));
    }
    if (id && engine::EncodeIdKey(*id) == AsView(name)) return true;
    rows_.SetAside(Table::kIds, name, value);
    return true;
  });
}

Status SalvageRecords::CheckUuidTable() {
  return view_.ScanTable(Table::kUuids, {}, [&](Bytes name, Bytes value) -> Result<bool> {
    const uint64_t key = KeyOfName(name, value);
    ENGRAM_ASSIGN_OR_RETURN(const auto id, IdOf(NodeKey{key}));
    if (key != 0 && id && AsView(UuidOf(*id).bytes) == AsView(name)) return true;
    rows_.SetAside(Table::kUuids, name, value);
    return true;
  });
}

Status SalvageRecords::CheckEmbeddingTable() {
  std::sort(vector_keys_.begin(), vector_keys_.end());
  return view_.ScanTable(Table::kEmbeddings, {}, [&](Bytes key, Bytes value) -> Result<bool> {
    const uint64_t vector = key.size() == 8 ? LoadBe64(key.data()) : 0;
    if (std::binary_search(vector_keys_.begin(), vector_keys_.end(), vector)) return true;
    rows_.SetAside(Table::kEmbeddings, key, value);
    return true;
  });
}

}  // namespace engram::migration::internal
