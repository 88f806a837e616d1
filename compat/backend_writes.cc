// Write interception: what is known without a lock is computed first (validation, hashes), then one
// short transaction decides by mode which heads the record gets.
#include <cstring>

#include "base/sha256_batch.h"
#include "compat/conversion.h"
#include "compat/internal/backend.h"
#include "compat/internal/write_plan.h"

namespace engram::compat::internal {

using engine::DualNode;
using engine::Embedding;
using engine::Extension;
using engine::Memory;
using engine::TextFields;
using engine::WriteTxn;

namespace {

// Staged bytes after which a batch flushes: more would only wait in the overlay.
constexpr uint64_t kBatchStagedBytesMax = 4u << 20;
constexpr uint64_t kStagedRemoveSizeBytes = 1024;  // about

Bytes EmbeddingBytes(const Embedding& embedding) {
  return {reinterpret_cast<const uint8_t*>(embedding.data()), engine::kEmbeddingSizeBytes};
}

const Sha256Digest& StoredSha256(const engine::StoredRecord& record) {
  return record.is_dual() ? record.dual_head->node.embedding_sha256
                          : record.old_head->memory.embedding_sha256;
}

// Whether the stored embedding of a record has exactly these bytes. A row that cannot be read is
// not the same: the write then heals it.
bool KeepsEmbedding(engine::ReadView& view, const engine::StoredRecord& record,
                    const Sha256Digest& sha256, const Embedding& embedding) {
  if (!record.has_head() || StoredSha256(record) != sha256) return false;
  Embedding stored;
  if (!view.ReadEmbedding(record.current().vector_key, &stored).ok()) return false;
  return std::memcmp(stored.data(), embedding.data(), engine::kEmbeddingSizeBytes) == 0;
}

uint64_t StagedSizeBytes(const TextFields& text) {
  uint64_t size = 4096 + text.id.size();
  if (text.content) size += text.content->size();
  for (const auto& [key, value] : text.metadata) size += key.size() + value.size();
  return size;
}

}  // namespace

Status Backend::Accept(const TextFields& text, const Embedding& embedding,
                       PreparedWrite* write) const {
  ENGRAM_TRY(ValidateText(text));
  ENGRAM_TRY(ValidateHead(write->head));
  write->text = &text;
  write->embedding = &embedding;
  write->head.uuid = UuidOf(text.id);
  return Status::Ok();
}

Status Backend::Prepare(const TextFields& text, const Embedding& embedding,
                        PreparedWrite* write) const {
  ENGRAM_TRY(Accept(text, embedding, write));
  write->head.embedding_sha256 = Sha256Of(EmbeddingBytes(embedding));
  write->digest = RecordDigest(write->head, text);
  return Status::Ok();
}

Result<Backend::PreparedWrite> Backend::PrepareMemory(const Memory& memory,
                                                      const Embedding& embedding) const {
  PreparedWrite write;
  ToDualHead(memory, Uuid{}, Extension{}, &write.head);
  ENGRAM_TRY(Prepare(memory.text, embedding, &write));
  return write;
}

Status Backend::PrepareGroup(std::span<const PutItem> items,
                             std::vector<PreparedWrite>* writes) const {
  thread_local Sha256Batch sha256;
  sha256.Clear();
  Status accepted;
  writes->clear();
  writes->reserve(items.size());  // the hashes are written into them
  for (const PutItem& item : items) {
    PreparedWrite& write = writes->emplace_back();
    ToDualHead(*item.memory, Uuid{}, Extension{}, &write.head);
    accepted = Accept(item.memory->text, *item.embedding, &write);
    if (!accepted.ok()) {
      writes->pop_back();
      break;
    }
    sha256.Add(EmbeddingBytes(*item.embedding), &write.head.embedding_sha256);
  }
  sha256.Finish();
  for (PreparedWrite& write : *writes) {
    engine::AppendCanonical(write.head, *write.text, sha256.buffer());
    sha256.AddBuffered(&write.digest);
  }
  sha256.Finish();
  return accepted;
}

Result<Lsn> Backend::StageWrite(PreparedWrite& write, const engine::Store::BeginOptions& options) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite(options));
  ENGRAM_ASSIGN_OR_RETURN(NodeKey key, txn->KeyFor(write.text->id, write.head.uuid));
  ENGRAM_ASSIGN_OR_RETURN(auto stored, txn->view().RecordToReplace(key));
  if (stored && !write.typed && stored->has_extension) {
    write.head.extension = stored->extension;
    write.digest = RecordDigest(write.head, *write.text);
  }
  WriteTxn::Record record = PlanRecord(txn->view().mode(), key, write.head, write.digest);
  record.text = write.text;
  bool keeps =
      stored && KeepsEmbedding(txn->view(), *stored, write.head.embedding_sha256, *write.embedding);
  if (!keeps) record.embedding = write.embedding;
  if (write.typed) {
    bool plain = IsDefaultExtension(write.head.extension);
    record.extension = plain ? nullptr : &write.head.extension;
    record.remove_extension = plain && stored && stored->has_extension;
  }
  ENGRAM_TRY(txn->PutRecord(record));
  return txn->Stage();
}

Result<Lsn> Backend::Commit(Result<Lsn> staged) {
  if (staged.ok()) ENGRAM_TRY(store_.WaitDurable(*staged));
  return staged;
}

Status Backend::AfterEarlierWrites(std::unique_ptr<WriteTxn> txn, Status status) {
  Lsn earlier{txn->lsn().value - 1};
  txn.reset();
  if (earlier.value != 0) ENGRAM_TRY(store_.WaitDurable(earlier));
  return status;
}

Result<Lsn> Backend::Put(const Memory& memory, const Embedding& embedding) {
  ENGRAM_ASSIGN_OR_RETURN(PreparedWrite write, PrepareMemory(memory, embedding));
  return Commit(StageWrite(write));
}

Result<Lsn> Backend::StagePut(const Memory& memory, const Embedding& embedding) {
  ENGRAM_ASSIGN_OR_RETURN(PreparedWrite write, PrepareMemory(memory, embedding));
  return StageWrite(write, {.wait = false});
}

// Staged writes of one batch that wait for their common flush.
class Backend::BatchCommit {
 public:
  BatchCommit(engine::Store& store, std::vector<Lsn>* lsns) : store_(store), lsns_(lsns) {}

  // `lsn` 0: nothing was written, it only keeps its place among the results.
  Status Add(Lsn lsn, uint64_t size_bytes) {
    staged_.push_back(lsn);
    last_ = std::max(last_, lsn);
    size_bytes_ += size_bytes;
    return size_bytes_ < kBatchStagedBytesMax ? Status::Ok() : Flush();
  }
  // Only what is durable is reported.
  Status Flush() {
    if (last_ != Lsn{}) ENGRAM_TRY(store_.WaitDurable(last_));
    lsns_->insert(lsns_->end(), staged_.begin(), staged_.end());
    staged_.clear();
    size_bytes_ = 0;
    return Status::Ok();
  }
  // Ends a batch that failed with `status` after some writes were staged.
  Status FlushAnd(const Status& status) {
    ENGRAM_TRY(Flush());
    return status;
  }

 private:
  engine::Store& store_;
  std::vector<Lsn>* const lsns_;
  std::vector<Lsn> staged_;
  Lsn last_;
  uint64_t size_bytes_ = 0;
};

Status Backend::PutBatch(const std::vector<PutItem>& items, std::vector<Lsn>* lsns) {
  BatchCommit batch(store_, lsns);
  std::vector<PreparedWrite> writes;
  for (std::span<const PutItem> left(items); !left.empty();) {
    const auto group = left.first(std::min(left.size(), Sha256Batch::kGroupSize));
    left = left.subspan(group.size());
    const Status prepared = PrepareGroup(group, &writes);
    for (PreparedWrite& write : writes) {
      auto lsn = StageWrite(write);
      if (!lsn.ok()) return batch.FlushAnd(lsn.status());
      ENGRAM_TRY(batch.Add(*lsn, StagedSizeBytes(*write.text)));
    }
    if (!prepared.ok()) return batch.FlushAnd(prepared);
  }
  return batch.Flush();
}

Result<Lsn> Backend::StageRemove(std::string_view id) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(auto key, txn->view().FindId(id));
  Status removed = key ? txn->RemoveRecord(*key, id) : Status::NotFound("no key");
  if (removed.code() == StatusCode::kNotFound) {
    ENGRAM_TRY(AfterEarlierWrites(std::move(txn), Status::Ok()));
    return Lsn{};
  }
  ENGRAM_TRY(removed);
  return txn->Stage();
}

Result<Lsn> Backend::Remove(std::string_view id) {
  ENGRAM_ASSIGN_OR_RETURN(Lsn lsn, Commit(StageRemove(id)));
  if (lsn == Lsn{}) {
    return Status::NotFound("there is no memory with this id", "list the ids: engram memory list");
  }
  return lsn;
}

Status Backend::RemoveBatch(const std::vector<std::string>& ids, std::vector<Lsn>* lsns) {
  BatchCommit batch(store_, lsns);
  for (const std::string& id : ids) {
    auto lsn = StageRemove(id);
    if (!lsn.ok()) return batch.FlushAnd(lsn.status());
    ENGRAM_TRY(batch.Add(*lsn, kStagedRemoveSizeBytes));
  }
  return batch.Flush();
}

Result<std::optional<Backend::Found>> Backend::Find(WriteTxn& txn, std::string_view id) const {
  ENGRAM_ASSIGN_OR_RETURN(auto key, txn.view().FindId(id));
  if (!key) return std::optional<Found>();
  return Find(txn, *key);
}

Result<std::optional<Backend::Found>> Backend::Find(WriteTxn& txn, NodeKey key) const {
  ENGRAM_ASSIGN_OR_RETURN(auto record, txn.view().Record(key));
  if (!record) return std::optional<Found>();
  Found found;
  found.key = key;
  found.record = std::move(*record);
  CurrentHead(found.record, UuidOf(found.record.text.id), &found.head);
  return std::optional<Found>(std::move(found));
}

// Rewrites the heads of an existing record from `found.head`; text, embedding and (unless given)
// extension rows stay as they are.
Status Backend::StageHead(WriteTxn& txn, const Found& found, const Extension* new_extension) const {
  Sha256Digest digest = RecordDigest(found.head, found.record.text);
  WriteTxn::Record record = PlanRecord(txn.view().mode(), found.key, found.head, digest);
  record.extension = new_extension;
  return txn.PutRecord(record);
}

Result<Lsn> Backend::EditRecord(std::string_view id, const Edit& edit) {
  ENGRAM_ASSIGN_OR_RETURN(auto txn, BeginWrite());
  ENGRAM_ASSIGN_OR_RETURN(auto found, Find(*txn, id));
  if (!found) {
    return AfterEarlierWrites(std::move(txn), Status::NotFound("there is no memory with this id",
                                                               "store it first, or list the ids"));
  }
  auto extension_changed = edit(&found->head);
  if (!extension_changed.ok()) {
    return AfterEarlierWrites(std::move(txn), extension_changed.status());
  }
  ENGRAM_TRY(StageHead(*txn, *found, *extension_changed ? &found->head.extension : nullptr));
  auto staged = txn->Stage();
  txn.reset();
  return Commit(std::move(staged));
}

Result<Lsn> Backend::UpdateActivation(std::string_view id, float activation) {
  return EditRecord(id, [activation](DualNode* head) -> Result<bool> {
    head->activation = ClampUnit(activation);
    return false;
  });
}

}  // namespace engram::compat::internal
