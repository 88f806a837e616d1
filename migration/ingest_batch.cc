#include "migration/ingest_batch.h"

#include <utility>

#include "compat/conversion.h"
#include "engine/rows.h"

namespace engram::migration {
namespace {

using engine::Layout;
using engine::StoredRecord;

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
  out->has_dual_heads = options_.convert_for.has_value();
  out->items.reserve(last - first);  // drafts point to them
  view_.reset();
  ENGRAM_TRY(CollectRefs(work, first, last));
  for (uint64_t begin = first; begin < last; begin += Sha256Batch::kGroupSize) {
    ENGRAM_TRY(BuildGroup(work, begin, std::min(last, begin + Sha256Batch::kGroupSize), out));
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

Status BatchBuilder::BuildGroup(const WorkList& work, uint64_t first, uint64_t last,
                                IngestBatch* out) {
  drafts_.resize(Sha256Batch::kGroupSize);
  draft_count_ = 0;
  sha256_.Clear();
  for (uint64_t i = first; i < last; ++i) {
    IngestItem& item = out->items.emplace_back();
    item.work = work[i];
    item.id = index_.id(work[i].index_id);
    const Contributions& refs = contributions_[i - out->first];
    if (refs.count == 0) {
      ENGRAM_TRY(DecideRemoval(&item, out));
      continue;
    }
    Draft& draft = drafts_[draft_count_++];
    draft.item = &item;
    draft.refs = refs;
    ENGRAM_TRY(Merge(&draft));
    sha256_.Add(draft.merged.embedding, &draft.merged.memory.embedding_sha256);
  }
  sha256_.Finish();
  for (Draft& draft : Drafts()) ENGRAM_TRY(AddDigests(&draft));
  sha256_.Finish();
  for (Draft& draft : Drafts()) ENGRAM_TRY(Finish(&draft, out));
  return Status::Ok();
}

// The converter's decoder and merge.
Status BatchBuilder::Merge(Draft* draft) {
  for (size_t i = 0; i < draft->refs.count; ++i) {
    const RecordRef& ref = refs_[draft->refs.first + i];
    Bytes payload = reader_.payload(draft->refs.first + i);
    Status decoded = compat::DecodeUpstreamPayload(ref.type, payload, &next_);
    if (!decoded.ok()) {
      return decoded.WithContext(index_.file(ref.file).path() + " at " +
                                 std::to_string(ref.offset));
    }
    FoldVersion(i == 0, &draft->merged, &next_);
  }
  return Status::Ok();
}

// The digest of the converted node, and the audit decoder's of the same payloads.
Status BatchBuilder::AddDigests(Draft* draft) {
  const engine::Memory& memory = draft->merged.memory;
  const Uuid uuid =
      options_.convert_for ? engine::NodeUuid(*options_.convert_for, memory.text.id) : Uuid();
  compat::ToDualHead(memory, uuid, engine::Extension(), &draft->node);
  engine::AppendCanonical(draft->node, memory.text, sha256_.buffer());
  sha256_.AddBuffered(&draft->item->digest);
  payloads_.clear();
  for (size_t i = 0; i < draft->refs.count; ++i) {
    payloads_.push_back(
        {refs_[draft->refs.first + i].type, reader_.payload(draft->refs.first + i)});
  }
  audit_.SetKnownHash({draft->merged.embedding, memory.embedding_sha256});
  const Status folded = audit_.Fold(payloads_);
  if (!folded.ok()) {
    const RecordRef& last = refs_[draft->refs.first + draft->refs.count - 1];
    return folded.WithContext(index_.file(last.file).path() + " at " + std::to_string(last.offset));
  }
  *sha256_.buffer() += audit_.canonical();
  sha256_.AddBuffered(&draft->audit_digest);
  return Status::Ok();
}

Status BatchBuilder::Finish(Draft* draft, IngestBatch* out) {
  IngestItem& item = *draft->item;
  item.tier = engine::TierOf(draft->merged.memory.activation);
  item.layout = draft->merged.memory.layout;
  EncodeRows(*draft, out);
  ENGRAM_TRY(Decide(item, out, &item.action));
  AddSums(*draft, out);
  return Status::Ok();
}

void BatchBuilder::EncodeRows(const Draft& draft, IngestBatch* out) {
  IngestItem& item = *draft.item;
  const engine::Memory& memory = draft.merged.memory;
  uint8_t key[8];
  StoreBe64(key, item.work.key.value);
  engine::HeadCommon common;
  common.vector_key = item.work.vector_key;
  common.digest = item.digest;
  common.tier = item.tier;
  common.origin = options_.origin;
  item.heads_begin = out->rows.size();
  engine::EncodeOldHead(key, common, memory, &out->rows);
  if (out->has_dual_heads) engine::EncodeDualHead(key, common, draft.node, &out->rows);
  item.text_begin = out->rows.size();
  engine::EncodeTextFields(key, memory.text, &out->rows);
  item.text_size = out->rows.size() - item.text_begin;
  StoreBe64(key, item.work.vector_key.value);
  item.embedding_begin = out->rows.size();
  engine::EncodeEmbedding(key, item.work.key, draft.merged.embedding, &out->rows);
  item.embedding_size = out->rows.size() - item.embedding_begin;
}

Status BatchBuilder::Decide(const IngestItem& item, IngestBatch* out, IngestAction* action) {
  stored_head_.reset();
  *action = IngestAction::kAppend;
  if (!item.work.known) return Status::Ok();
  out->all_new = false;
  if (!view_) {
    ENGRAM_ASSIGN_OR_RETURN(view_, options_.store->View());
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
  bool earlier_source =
      head.origin != 0 && (options_.origin == 0 || head.origin <= options_.origin);
  stored_head_ = head;
  if (!earlier_source) {
    *action = IngestAction::kKeepLocal;
    return Status::Ok();
  }
  *action = IngestAction::kReplace;
  if (head.digest != item.digest || StoredLayout(stored) != item.layout) {
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
    ENGRAM_ASSIGN_OR_RETURN(view_, options_.store->View());
  }
  ENGRAM_ASSIGN_OR_RETURN(std::optional<StoredRecord> stored, view_->Record(item->work.key));
  if (!stored || stored->current().origin != options_.origin || options_.origin == 0)
    return Status::Ok();
  item->action = IngestAction::kRemove;
  Subtract(stored->current(), &out->planned_change);
  return Status::Ok();
}

void BatchBuilder::AddSums(const Draft& draft, IngestBatch* out) {
  const IngestItem& item = *draft.item;
  if (item.action == IngestAction::kKeepLocal) return;
  if (item.action == IngestAction::kAppend) Add(item, &out->appended);
  if (item.action == IngestAction::kReplace) {
    Subtract(*stored_head_, &out->planned_change);
    Add(item, &out->planned_change);
  }
  if (draft.audit_digest != item.digest) {
    ++out->mismatches;
    out->source_minus_stored.Add(draft.audit_digest);
    out->source_minus_stored.Remove(item.digest);
  }
}

}  // namespace engram::migration
