// Reads: one view, one mode; an old record is converted on the fly where the mode serves the new
// form, without I/O and without waiting for anyone's.
#include "compat/conversion.h"
#include "compat/internal/backend.h"
#include "compat/internal/write_plan.h"
#include "compat/text_search.h"

namespace engram::compat::internal {

using engine::DualHead;
using engine::Embedding;
using engine::Extension;
using engine::Mode;
using engine::ReadView;
using engine::StoredRecord;

namespace {

constexpr uint64_t kShadowMismatchIdsMax = 64;

Status ReadOwnEmbedding(ReadView& view, const FullRecord& record, Embedding* out) {
  ENGRAM_ASSIGN_OR_RETURN(NodeKey owner, view.ReadEmbedding(record.head.vector_key, out));
  if (owner == record.key) return Status::Ok();
  return Status::Corruption("table embeddings, row " +
                                std::to_string(record.head.vector_key.value) +
                                ": it belongs to node " + std::to_string(owner.value) +
                                ", expected node " + std::to_string(record.key.value),
                            "run engram verify to list what is damaged");
}

// The records that a scan had to leave out.
class Unreadable {
 public:
  void Add(const Status& why) {
    if (count_++ == 0) first_ = why;
  }
  Status ToStatus() const {
    if (count_ <= 1) return first_;
    return first_.WithContext(std::to_string(count_) + " records cannot be read, the first");
  }

 private:
  Status first_;
  uint64_t count_ = 0;
};

// Which records a scan passes over, decided by their heads alone.
class PassOver {
 public:
  PassOver(ReadView& view, const MemoryBackend::ScanOptions& options)
      : view_(view), tier_(options.tier), left_(options.skip) {}
  Result<bool> Asks(NodeKey key) {
    if (left_ == 0 && !tier_) return false;
    const auto found = view_.Head(key);
    if (found.status().code() == StatusCode::kCorruption) return false;  // the read reports it
    ENGRAM_ASSIGN_OR_RETURN(const auto head, found);
    if (!head || (tier_ && head->tier != *tier_)) return true;
    if (left_ == 0) return false;
    --left_;
    return true;
  }

 private:
  ReadView& view_;
  const std::optional<engine::Tier> tier_;
  uint64_t left_;
};

}  // namespace

Result<std::optional<FullRecord>> Backend::Get(std::string_view id, Embedding* embedding) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto key, view->FindId(id));
  if (!key) return std::optional<FullRecord>();
  return ReadRecord(*view, *key, embedding, {.use_cache = true});
}

Result<bool> Backend::Contains(std::string_view id) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(auto key, view->FindId(id));
  if (!key) return false;
  ENGRAM_ASSIGN_OR_RETURN(auto record, view->CurrentRecord(*key));
  return record.has_value();
}

Result<std::optional<FullRecord>> Backend::ReadRecord(ReadView& view, NodeKey key,
                                                      Embedding* embedding,
                                                      const ReadOptions& options) {
  const Mode mode = view.mode();
  ENGRAM_ASSIGN_OR_RETURN(auto record,
                          ServesOldHeads(mode) ? view.Record(key) : view.CurrentRecord(key));
  if (!record) return std::optional<FullRecord>();
  std::optional<FullRecord> out(std::in_place);
  FillHeads(*record, mode, options, &*out);
  out->memory.text = record->text;
  out->node.text = std::move(record->text);
  ENGRAM_ASSIGN_OR_RETURN(auto concepts, view.ConceptsOf(key));
  ENGRAM_ASSIGN_OR_RETURN(auto episodes, view.EpisodesOf(key));
  out->binding_count = concepts.size() + episodes.size();
  if (embedding != nullptr) ENGRAM_TRY(ReadOwnEmbedding(view, *out, embedding));
  return out;
}

void Backend::FillHeads(const StoredRecord& record, Mode mode, const ReadOptions& options,
                        FullRecord* out) {
  out->key = record.key;
  out->head = record.current();
  out->stored_dual = record.is_dual();
  if (ServesOldHeads(mode) && HasCurrentOldHead(record)) {
    if (mode == Mode::kShadow) CompareShadow(record);
    out->memory = record.old_head->memory;
    ToDualHead(record.old_head->memory, UuidOf(record.text.id), record.extension, &out->node);
    return;
  }
  if (record.is_dual()) {
    out->node = record.dual_head->node;
  } else {
    ConvertOnRead(record, mode, options, &out->node);
  }
  out->node.extension = record.extension;
  ToMemoryHead(out->node, &out->memory);
}

void Backend::ConvertOnRead(const StoredRecord& record, Mode mode, const ReadOptions& options,
                            engine::DualNode* out) {
  if (!options.use_cache || !ConvertsLazily(mode)) {
    return ToDualHead(record.old_head->memory, UuidOf(record.text.id), record.extension, out);
  }
  Lsn seq = record.current().seq;
  auto found = cache_.GetOrConvert(record.key, seq, [&](DualHead* head) {
    head->common = record.old_head->common;
    ToDualHead(record.old_head->memory, UuidOf(record.text.id), record.extension, &head->node);
  });
  *out = found.head->node;
  if (!found.converted) {
    cache_hits_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  converted_on_read_.fetch_add(1, std::memory_order_relaxed);
  installer_.Offer(record.key, seq, std::move(found.head));
}

void Backend::CompareShadow(const StoredRecord& record) {
  if (!record.is_dual()) return;  // history that is not converted yet
  shadow_compared_.fetch_add(1, std::memory_order_relaxed);
  if (SameContent(record.old_head->memory, record.dual_head->node, record.extension)) return;
  shadow_mismatches_.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard lock(shadow_mutex_);
  if (shadow_mismatch_ids_.size() < kShadowMismatchIdsMax) {
    shadow_mismatch_ids_.push_back(record.text.id);
  }
}

Status Backend::Scan(
    const ScanOptions& options,
    const std::function<Result<bool>(const FullRecord&, const Embedding*)>& visit) {
  if (options.limit == 0) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.Snapshot());
  std::optional<std::string_view> after;
  if (options.after) after = *options.after;
  auto buffer = std::make_unique<Embedding>();
  Embedding* embedding = options.embeddings ? buffer.get() : nullptr;
  uint64_t visited = 0;
  Unreadable unreadable;
  PassOver pass_over(*view, options);
  const Status scanned = view->ScanIds(after, [&](std::string_view, NodeKey key) -> Result<bool> {
    auto passed = pass_over.Asks(key);
    if (passed.status().code() == StatusCode::kCorruption) {
      unreadable.Add(passed.status());
      return true;
    }
    ENGRAM_TRY(passed.status());
    if (*passed) return true;
    // A scan reads each record once: filling the cache would only push out what point reads use.
    auto record = ReadRecord(*view, key, embedding, {.use_cache = false});
    if (record.status().code() == StatusCode::kCorruption) {
      unreadable.Add(record.status());
      return true;  // the other records are readable
    }
    ENGRAM_TRY(record.status());
    if (!*record) return true;  // an edge points to this id
    ENGRAM_ASSIGN_OR_RETURN(const bool more, visit(**record, embedding));
    return more && ++visited < options.limit;
  });
  return scanned.ok() ? unreadable.ToStatus() : scanned;
}

Result<std::vector<MemoryBackend::ScoredId>> Backend::Search(const Embedding& query, uint32_t k) {
  std::vector<ScoredId> found;
  if (k == 0) return found;
  ENGRAM_ASSIGN_OR_RETURN(auto hits, store_.Search(query, k));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  found.reserve(hits.size());
  for (const engine::SearchHit& hit : hits) {
    auto id = view->IdOf(hit.node);
    if (id.status().code() == StatusCode::kNotFound) continue;  // deleted since the search
    ENGRAM_TRY(id.status());
    found.push_back({std::move(*id), hit.score});
  }
  return found;
}

Result<std::vector<MemoryBackend::ScoredId>> Backend::SearchText(std::string_view query,
                                                                 float threshold, uint32_t k) {
  ENGRAM_ASSIGN_OR_RETURN(auto hits, SearchTexts(store_, query, threshold, k));
  std::vector<ScoredId> found;
  found.reserve(hits.size());
  for (TextHit& hit : hits) found.push_back({std::move(hit.id), hit.score});
  return found;
}

}  // namespace engram::compat::internal
