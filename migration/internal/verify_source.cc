#include "migration/internal/verify_source.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "compat/conversion.h"
#include "compat/upstream_codec.h"
#include "migration/audit_decoder.h"
#include "migration/audit_rows.h"
#include "migration/internal/ordered_pool.h"
#include "migration/source_registry.h"
#include "migration/sources/source_index.h"

namespace engram::migration::internal {
namespace {

using engine::Table;

constexpr uint64_t kIdsPerUnit = 2048;

struct SourceUnit {
  VerifyReport report;
  uint64_t done = 0;
};

double DistanceL2(Bytes a, Bytes b) {
  double sum = 0;
  for (size_t i = 0; i + 4 <= a.size() && i + 4 <= b.size(); i += 4) {
    const double difference = static_cast<double>(LoadLe<float>(a.data() + i)) -
                              static_cast<double>(LoadLe<float>(b.data() + i));
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

std::string OrderedText(const AuditMap& map) {
  std::string out;
  for (const auto& [key, value] : map) out += std::string(key) + "=" + std::string(value) + ";";
  return out;
}

// One per thread.
class IdChecker {
 public:
  IdChecker(engine::Store& store, const SourceIndex& index, const SourceCheck& check)
      : store_(store), index_(index), check_(check) {}

  Status Run(uint64_t first, uint64_t last, uint64_t stride, SourceUnit* out) {
    *out = SourceUnit();
    report_ = &out->report;
    ENGRAM_ASSIGN_OR_RETURN(view_, store_.Snapshot());
    for (uint64_t i = first; i < last; ++i) {
      if (!index_.alive(i) || i % stride != 0) continue;
      ENGRAM_TRY(CheckId(i));
      out->done += 1;
    }
    view_.reset();
    return Status::Ok();
  }

 private:
  Status CheckId(uint64_t i) {
    ENGRAM_TRY(FoldSource(i));
    const std::string id(index_.id(i));
    ENGRAM_ASSIGN_OR_RETURN(const auto key, view_->FindId(id));
    if (key.has_value()) ENGRAM_TRY(ReadStored(key->value));
    if (!key.has_value() || !found_) {
      ENGRAM_ASSIGN_OR_RETURN(const auto tombstone, view_->Tombstone(id));
      if (!tombstone.has_value()) report_->Missing(id);
      return Status::Ok();
    }
    // Written here since, or brought in again by a later source.
    if (head_.origin == 0 || head_.origin > check_.origin) return Status::Ok();
    return Compare(id);
  }

  // Reads the payloads that count for id `i` and folds them.
  Status FoldSource(uint64_t i) {
    index_.Contributions(i, &refs_);
    payloads_.resize(std::max(payloads_.size(), refs_.size()));
    contributions_.clear();
    for (size_t n = 0; n < refs_.size(); ++n) {
      const RecordRef& ref = refs_[n];
      payloads_[n].resize(ref.payload_size_bytes);
      ENGRAM_ASSIGN_OR_RETURN(const uint64_t got,
                              index_.file(ref.file).ReadAt(
                                  ref.offset + compat::kUpstreamHeaderSizeBytes, payloads_[n]));
      if (got != ref.payload_size_bytes) {
        return Status::Corruption(index_.file(ref.file).path() +
                                  " became shorter while it was read");
      }
      contributions_.push_back({ref.type, payloads_[n]});
    }
    return audit_.Fold(contributions_);
  }

  // The stored row under `key`, copied; false if there is none.
  Result<bool> ReadRow(Table table, uint64_t key, std::string* out) {
    bool found = false;
    const std::string wanted = engine::EncodeU64Key(key);
    ENGRAM_TRY(view_->ScanTable(table, AsBytes(wanted), [&](Bytes at, Bytes value) -> Result<bool> {
      found = AsView(at) == wanted;
      if (found) out->assign(AsView(value));
      return false;
    }));
    return found;
  }

  Status ReadStored(uint64_t key) {
    const std::string name = engine::EncodeU64Key(key);
    key_ = key;
    AuditHead old_head;
    AuditHead dual_head;
    ENGRAM_ASSIGN_OR_RETURN(const bool has_old, ReadRow(Table::kOldHeads, key, &old_row_));
    ENGRAM_ASSIGN_OR_RETURN(const bool has_dual, ReadRow(Table::kHeads, key, &dual_row_));
    ENGRAM_ASSIGN_OR_RETURN(const bool has_text, ReadRow(Table::kContent, key, &text_row_));
    found_ = (has_old || has_dual) && has_text;
    if (!found_) return Status::Ok();
    std::string damage;
    if (has_old) damage += ReadOldHead(AsBytes(name), AsBytes(old_row_), &old_head);
    if (has_dual) damage += ReadDualHead(AsBytes(name), AsBytes(dual_row_), &dual_head);
    stored_.Clear();
    damage += ReadText(AsBytes(name), AsBytes(text_row_), &stored_);
    // Damage itself was reported by the record pass.
    head_ = has_dual && (!has_old || dual_head.seq >= old_head.seq) ? dual_head : old_head;
    ENGRAM_ASSIGN_OR_RETURN(const bool typed, ReadRow(Table::kExtensions, key, &extension_row_));
    AuditExtension extension;
    if (typed) damage += ReadExtension(AsBytes(name), AsBytes(extension_row_), &extension);
    ApplyExtension(extension, &stored_);
    ApplyHead(head_, &stored_);
    return Status::Ok();
  }

  Status Compare(const std::string& id) {
    const AuditRecord& source = audit_.record();
    if (audit_.digest() != head_.digest) CompareFields(id, source);
    if (source.layout != head_.layout) {
      report_->Mismatch({id, "layout", std::string(source.layout), std::string(head_.layout)});
    }
    ENGRAM_TRY(CompareEmbedding(source));
    if (!check_.full) return Status::Ok();
    CompareOrder(id, source);
    return contributions_.size() == 1 ? CompareEncoding(id) : Status::Ok();
  }

  void CompareFields(const std::string& id, const AuditRecord& source) {
    const auto expected = AuditFields(source);
    const auto actual = AuditFields(stored_);
    const uint64_t before = report_->finding_count;
    for (size_t i = 0; i < expected.size() && i < actual.size(); ++i) {
      if (expected[i].name == actual[i].name && expected[i].value == actual[i].value) continue;
      report_->Mismatch({id, expected[i].name, expected[i].value,
                         expected[i].name == actual[i].name ? actual[i].value : "null"});
      if (expected[i].name != actual[i].name) break;
    }
    if (report_->finding_count == before) {
      report_->Mismatch({id, "digest", ToHex(audit_.digest()), ToHex(head_.digest)});
    }
  }

  // How far the stored vector is from the source's; that it differs at all is in the digests.
  Status CompareEmbedding(const AuditRecord& source) {
    ENGRAM_ASSIGN_OR_RETURN(const bool found,
                            ReadRow(Table::kEmbeddings, head_.vector_key, &embedding_row_));
    if (!found || embedding_row_.size() < 8 + 3072) return Status::Ok();
    const Bytes stored = AsBytes(embedding_row_).subspan(8, 3072);
    if (AsView(stored) == AsView(source.embedding)) return Status::Ok();
    report_->max_l2 = std::max(report_->max_l2, DistanceL2(source.embedding, stored));
    return Status::Ok();
  }

  void CompareOrder(const std::string& id, const AuditRecord& source) {
    if (OrderedText(source.metadata) != OrderedText(stored_.metadata)) {
      report_->Mismatch(
          {id, "metadata order", OrderedText(source.metadata), OrderedText(stored_.metadata)});
    }
    if (!source.has_provenance || !stored_.has_provenance) return;
    const std::string expected = OrderedText(source.provenance.metadata);
    const std::string actual = OrderedText(stored_.provenance.metadata);
    if (expected != actual) {
      report_->Mismatch({id, "embedding_provenance.metadata order", expected, actual});
    }
  }

  // Encoding the stored record again must give the source's bytes.
  Status CompareEncoding(const std::string& id) {
    ENGRAM_ASSIGN_OR_RETURN(const auto record, view_->Record(NodeKey{key_}));
    if (!record.has_value()) return Status::Ok();
    engine::Memory memory;
    if (record->is_dual()) {
      compat::ToMemoryHead(record->dual_head->node, &memory);
    } else {
      memory = record->old_head->memory;
    }
    memory.text = record->text;
    ENGRAM_ASSIGN_OR_RETURN(const bool found,
                            ReadRow(Table::kEmbeddings, head_.vector_key, &embedding_row_));
    if (!found || embedding_row_.size() < 8 + 3072) return Status::Ok();
    encoded_.clear();
    const Status encoded =
        compat::EncodeUpstreamPayload(memory, AsBytes(embedding_row_).subspan(8, 3072), &encoded_);
    const Bytes payload = contributions_[0].payload;
    if (encoded.ok() && encoded_ == AsView(payload)) return Status::Ok();
    report_->Mismatch({id, "encoded bytes", ToHex(Sha256Of(payload)),
                       encoded.ok() ? ToHex(Sha256Of(AsBytes(encoded_))) : encoded.message()});
    return Status::Ok();
  }

  engine::Store& store_;
  const SourceIndex& index_;
  const SourceCheck& check_;
  VerifyReport* report_ = nullptr;
  std::unique_ptr<engine::ReadView> view_;
  AuditDecoder audit_;
  std::vector<RecordRef> refs_;
  std::vector<std::vector<uint8_t>> payloads_;
  std::vector<AuditPayload> contributions_;
  uint64_t key_ = 0;
  bool found_ = false;
  AuditRecord stored_;
  AuditHead head_;
  std::string old_row_;
  std::string dual_row_;
  std::string text_row_;
  std::string extension_row_;
  std::string embedding_row_;
  std::string encoded_;
};

// How many ids it looked at.
Result<uint64_t> CheckSome(engine::Store& store, const SourceIndex& index, const SourceCheck& check,
                           uint64_t stride, VerifyReport* report) {
  uint64_t done = 0;
  const uint64_t units = (index.id_count() + kIdsPerUnit - 1) / kIdsPerUnit;
  const uint32_t workers = std::max(1u, check.workers);
  std::vector<std::unique_ptr<IdChecker>> checkers;
  for (uint32_t i = 0; i < workers; ++i) {
    checkers.push_back(std::make_unique<IdChecker>(store, index, check));
  }
  OrderedPool<SourceUnit> pool(
      workers, units, [&](uint32_t worker, uint64_t unit, SourceUnit* out) {
        const uint64_t first = unit * kIdsPerUnit;
        return checkers[worker]->Run(first, std::min(index.id_count(), first + kIdsPerUnit), stride,
                                     out);
      });
  for (uint64_t unit = 0; unit < units; ++unit) {
    if (check.cancel != nullptr && *check.cancel) {
      return Status::Cancelled("the verification was interrupted", "run it again");
    }
    ENGRAM_ASSIGN_OR_RETURN(const SourceUnit* part, pool.Next());
    report->MergeFindings(VerifyReport(part->report));
    done += part->done;
    if (check.meter != nullptr) {
      check.meter->Advance(part->done);
      check.meter->Poll();
    }
  }
  ENGRAM_TRY(pool.Finish());
  return done;
}

Status CheckAll(engine::Store& store, const SourceIndex& index, const SourceCheck& check,
                VerifyReport* report) {
  uint64_t stride = check.sample == 0 ? 1 : std::max<uint64_t>(1, index.found() / check.sample);
  // Of ids that all lie beside the stride the sample would be empty, and say that all is well.
  for (;; stride = std::max<uint64_t>(1, stride / 2)) {
    ENGRAM_ASSIGN_OR_RETURN(const uint64_t done, CheckSome(store, index, check, stride, report));
    if (done > 0 || stride == 1) return Status::Ok();
  }
}

}  // namespace

Status VerifyAgainstSource(const engine::Environment& environment, engine::Store& store,
                           const SourceCheck& check, VerifyReport* report) {
  ENGRAM_ASSIGN_OR_RETURN(Source source,
                          DiscoverSource(environment.fs, check.source, store.space()));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
  ENGRAM_ASSIGN_OR_RETURN(const auto known, ReadKnownSources(*view));
  view.reset();
  for (SourceSpace& space : source.spaces) {
    if (space.space != store.space()) continue;
    KeepFilesOfStore(known, &space);
    SourceIndex::Options options;
    options.cancel = check.cancel;
    ENGRAM_ASSIGN_OR_RETURN(const auto index, SourceIndex::Build(environment.fs, space, options));
    SourceCheck of_space = check;
    for (const KnownSource& from : known) {
      if (from.directory == CanonicalDirectory(check.source)) of_space.origin = from.number;
    }
    if (check.meter != nullptr) check.meter->Begin("source", index->found());
    ENGRAM_TRY(CheckAll(store, *index, of_space, report));
    if (check.meter != nullptr) check.meter->End();
  }
  return Status::Ok();
}

}  // namespace engram::migration::internal
