#include "migration/ingest_batch.h"

#include <utility>

#include "compat/conversion.h"
#include "engine/rows.h"

namespace engram::migration {
namespace {

using engine::Layout;
using engine::Memory;
using engine::StoredRecord;

// The scalars of `from`; its texts stay where they are.
void CopyScalars(Memory* from, Memory* to) {
  engine::TextFields text = std::move(from->text);
  from->text = engine::TextFields();
  *to = *from;
  from->text = std::move(text);
}

Layout StoredLayout(const StoredRecord& stored) {
  return stored.is_dual() ? stored.dual_head->node.residual.layout : stored.old_head->memory.layout;
}

void Add(const IngestItem& item, engine::BulkTxn::DigestDelta* delta) {
  engine::TierDigest& tier = delta->tiers[static_cast<int>(item.tier) - 1];
  tier.lanes.Add(item.digest);
  ++tier.count;
}

void Subtract(const engine::HeadCommon& head, engine::BulkTxn::DigestDelta* delta) {
  engine::TierDigest& tier = delta->tiers[static_cast<int>(head.tier) - 1];
  tier.lanes.Remove(head.digest);
  tier.count -= 1;  // a difference: wraps
}

}  // namespace

void IngestBatch::Clear() {
  items.clear();
  rows.clear();
  appended = {};
  source_minus_stored = {};
  planned_change = {};
  mismatches = 0;
  all_new = true;
}

Status BatchBuilder::Build(const WorkList& work, uint64_t first, uint64_t last, IngestBatch* out) {
  out->Clear();
  out->first = first;
  out->last = last;
  view_.reset();
  ENGRAM_TRY(CollectRefs(work, first, last));
  for (uint64_t i = first; i < last; ++i) {
    ENGRAM_TRY(BuildItem(work[i], contributions_[i - first], out));
  }
  view_.reset();
  return Status::Ok();
}

Status BatchBuilder::CollectRefs(const WorkList& work, uint64_t first, uint64_t last) {
  refs_.clear();
  contributions_.clear();
  for (uint64_t i = first; i < last; ++i) {
    index_.Contributions(work[i].index_id, &id_refs_);
    contributions_.push_back({refs_.size(), id_refs_.size()});
    refs_.insert(refs_.end(), id_refs_.begin(), id_refs_.end());
  }
  return reader_.Load(refs_);
}

Status BatchBuilder::BuildItem(const WorkItem& work, const Contributions& refs, IngestBatch* out) {
  IngestItem& item = out->items.emplace_back();
  item.work = work;
  item.id = index_.id(work.index_id);
  if (refs.count == 0) return DecideRemoval(&item, out);
  ENGRAM_TRY(Merge(refs));
  Memory& memory = merged_.memory;
  memory.embedding_sha256 = sha256_.Hash(merged_.embedding);
  ENGRAM_TRY(Audit(refs));
  item.digest = compat::MemoryDigest(memory, engine::Extension());
  item.tier = engine::TierOf(memory.activation);
  EncodeRows(&item, out);
  CopyScalars(&memory, &item.memory);
  ENGRAM_TRY(Decide(item, out, &item.action));
  AddSums(item, out);
  return Status::Ok();
}

// The converter's decoder and merge, into merged_.
Status BatchBuilder::Merge(const Contributions& refs) {
  for (size_t i = 0; i < refs.count; ++i) {
    const RecordRef& ref = refs_[refs.first + i];
    Bytes payload = reader_.payload(refs.first + i);
    Status decoded = compat::DecodeUpstreamPayload(ref.type, payload, &next_);
    if (!decoded.ok()) {
      return decoded.WithContext(index_.file(ref.file).path() + " at " +
                                 std::to_string(ref.offset));
    }
    FoldVersion(i == 0, &merged_, &next_);
  }
  return Status::Ok();
}

// The audit decoder's digest of the same bytes.
Status BatchBuilder::Audit(const Contributions& refs) {
  payloads_.clear();
  for (size_t i = 0; i < refs.count; ++i) {
    payloads_.push_back({refs_[refs.first + i].type, reader_.payload(refs.first + i)});
  }
  audit_.SetKnownHash({merged_.embedding, merged_.memory.embedding_sha256});
  Status folded = audit_.Fold(payloads_);
  if (folded.ok()) return folded;
  const RecordRef& last = refs_[refs.first + refs.count - 1];
  return folded.WithContext(index_.file(last.file).path() + " at " + std::to_string(last.offset));
}

void BatchBuilder::EncodeRows(IngestItem* item, IngestBatch* out) {
  uint8_t key[8];
  StoreBe64(key, item->work.key.value);
  item->text_begin = out->rows.size();
  engine::EncodeTextFields(key, merged_.memory.text, &out->rows);
  item->text_size = out->rows.size() - item->text_begin;
  StoreBe64(key, item->work.vector_key.value);
  item->embedding_begin = out->rows.size();
  engine::EncodeEmbedding(key, item->work.key, merged_.embedding, &out->rows);
  item->embedding_size = out->rows.size() - item->embedding_begin;
}

Status BatchBuilder::Decide(const IngestItem& item, IngestBatch* out, IngestAction* action) {
  stored_head_.reset();
  *action = IngestAction::kAppend;
  if (!item.work.known) return Status::Ok();
  out->all_new = false;
  if (!view_) {
    ENGRAM_ASSIGN_OR_RETURN(view_, store_->View());
  }
  ENGRAM_ASSIGN_OR_RETURN(std::optional<StoredRecord> stored, view_->Record(item.work.key));
  if (stored) return CheckAgainst(*stored, item, *out, action);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Lsn> tombstone, view_->Tombstone(item.id));
  if (tombstone) *action = IngestAction::kKeepLocal;
  return Status::Ok();
}

Status BatchBuilder::CheckAgainst(const StoredRecord& stored, const IngestItem& item,
                                  const IngestBatch& batch, IngestAction* action) {
  const engine::HeadCommon& head = stored.current();
  bool earlier_source = head.origin != 0 && (origin_ == 0 || head.origin <= origin_);
  stored_head_ = head;
  if (!earlier_source) {
    *action = IngestAction::kKeepLocal;
    return Status::Ok();
  }
  *action = IngestAction::kReplace;
  if (head.digest != item.digest || StoredLayout(stored) != item.memory.layout) {
    return Status::Ok();
  }
  // The digest does not see the order of maps.
  std::string text;
  uint8_t key[8];
  StoreBe64(key, item.work.key.value);
  engine::EncodeTextFields(key, stored.text, &text);
  if (AsView(batch.text_row(item)) == text) *action = IngestAction::kUnchanged;
  return Status::Ok();
}

// The source's last word on the id is a delete.
Status BatchBuilder::DecideRemoval(IngestItem* item, IngestBatch* out) {
  item->deleted_in_source = true;
  item->action = IngestAction::kKeepLocal;
  out->all_new = false;
  if (!view_) {
    ENGRAM_ASSIGN_OR_RETURN(view_, store_->View());
  }
  ENGRAM_ASSIGN_OR_RETURN(std::optional<StoredRecord> stored, view_->Record(item->work.key));
  if (!stored || stored->current().origin != origin_ || origin_ == 0) return Status::Ok();
  item->action = IngestAction::kRemove;
  Subtract(stored->current(), &out->planned_change);
  return Status::Ok();
}

void BatchBuilder::AddSums(const IngestItem& item, IngestBatch* out) {
  if (item.action == IngestAction::kKeepLocal) return;
  if (item.action == IngestAction::kAppend) Add(item, &out->appended);
  if (item.action == IngestAction::kReplace) {
    Subtract(*stored_head_, &out->planned_change);
    Add(item, &out->planned_change);
  }
  if (audit_.digest() != item.digest) {
    ++out->mismatches;
    out->source_minus_stored.Add(audit_.digest());
    out->source_minus_stored.Remove(item.digest);
  }
}

}  // namespace engram::migration
