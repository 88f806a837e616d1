#include "migration/internal/verify_range.h"

#include <algorithm>
#include <cmath>

namespace engram::migration::internal {
namespace {

using engine::Table;

// A jump in vector keys beyond which seeking beats walking.
constexpr uint64_t kSeekDistance = 16;

std::string NodeName(uint64_t key) { return "node key " + std::to_string(key); }

std::string HexOf(const Sha256Digest& digest) { return ToHex(digest); }

// The checksum at the end of a row.
bool Passes(uint64_t key, Bytes row) {
  Bytes ignored;
  return ReadSmall(AsBytes(engine::EncodeU64Key(key)), row, &ignored).empty();
}

std::string TierText(int tier) {
  static constexpr const char* kNames[] = {"hot", "warm", "cold"};
  return tier >= 0 && tier < 3 ? kNames[tier] : std::to_string(tier);
}

}  // namespace

uint64_t MarkOf(Bytes bytes) { return std::hash<std::string_view>()(AsView(bytes)) | 1; }

Status RangeVerifier::Verify(const KeyRange& range, VerifiedRange* out) {
  *out = VerifiedRange();
  out->range = range;
  out_ = out;
  rows_.clear();
  sha256_.Clear();
  claims_.clear();
  claims_.reserve(Sha256Batch::kGroupSize);  // their digests are written into them
  items_.resize(range.last - range.first + 1);
  for (uint64_t i = 0; i < items_.size(); ++i) {
    items_[i] = Item();
    items_[i].key = range.first + i;
  }
  if (options_.view != nullptr) return VerifyAt(*options_.view);
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.Snapshot());
  if (view->lsn() != options_.lsn) {
    return Status::Busy("the space was written to while it was verified",
                        "stop writing to it and verify again");
  }
  return VerifyAt(*view);
}

Status RangeVerifier::VerifyAt(engine::ReadView& view) {
  ENGRAM_TRY(Collect(view, Table::kOldHeads, &Item::old_head));
  ENGRAM_TRY(Collect(view, Table::kHeads, &Item::dual_head));
  ENGRAM_TRY(Collect(view, Table::kExtensions, &Item::extension));
  ENGRAM_TRY(Collect(view, Table::kContent, &Item::text));
  ChooseVectors();
  ENGRAM_TRY(HashEmbeddings(view));
  for (Item& item : items_) {
    CheckItem(item);
    if (claims_.size() == Sha256Batch::kGroupSize) CheckClaims();
  }
  CheckClaims();
  if (options_.stride == 1 && !options_.partial) {
    CheckRangeSum(view, out_->range.first / engine::kRangeKeyCount, out_->sum, &out_->report);
  }
  return Status::Ok();
}

Status RangeVerifier::Collect(engine::ReadView& view, Table table, Slice Item::*slice) {
  const KeyRange& range = out_->range;
  return view.ScanTable(
      table, AsBytes(engine::EncodeU64Key(range.first)),
      [&](Bytes key, Bytes value) -> Result<bool> {
        if (key.size() != 8) {
          out_->report.Corrupt("a node key of " + std::to_string(key.size()) + " bytes");
          return true;
        }
        const uint64_t node = LoadBe64(key.data());
        if (node > range.last) return false;
        if (node % options_.stride != 0) return true;
        items_[node - range.first].*slice = {rows_.size(), value.size(), true};
        PutBytes(&rows_, value);
        return true;
      });
}

// Both heads hold the vector key at offset 16 and the sequence at 8; they are checked later.
void RangeVerifier::ChooseVectors() {
  by_vector_.clear();
  for (Item& item : items_) {
    uint64_t seq = 0;
    for (const Slice& slice : {item.old_head, item.dual_head}) {
      if (!slice.present || slice.size < 24) continue;
      const Bytes row = At(slice);
      // Where there are two, a damaged one has no say.
      if (item.old_head.present && item.dual_head.present && !Passes(item.key, row)) continue;
      if (item.vector_key != 0 && LoadLe<uint64_t>(row.data() + 8) < seq) continue;
      seq = LoadLe<uint64_t>(row.data() + 8);
      item.vector_key = LoadLe<uint64_t>(row.data() + 16);
    }
    if (item.vector_key != 0) by_vector_.push_back(&item);
  }
  std::sort(by_vector_.begin(), by_vector_.end(),
            [](const Item* a, const Item* b) { return a->vector_key < b->vector_key; });
}

// Rows live as long as the view, so that a group of them can wait to be hashed.
Status RangeVerifier::HashEmbeddings(engine::ReadView& view) {
  size_t at = 0;
  size_t waiting = 0;
  while (at < by_vector_.size()) {
    const std::string first = engine::EncodeU64Key(by_vector_[at]->vector_key);
    const size_t begun = at;
    ENGRAM_TRY(view.ScanTable(
        Table::kEmbeddings, AsBytes(first), [&](Bytes key, Bytes value) -> Result<bool> {
          const uint64_t vector = key.size() == 8 ? LoadBe64(key.data()) : 0;
          while (at < by_vector_.size() && by_vector_[at]->vector_key < vector) ++at;
          if (at == by_vector_.size() || by_vector_[at]->vector_key - vector > kSeekDistance) {
            return false;
          }
          for (; at < by_vector_.size() && by_vector_[at]->vector_key == vector; ++at) {
            Item& item = *by_vector_[at];
            uint64_t owner = 0;
            Bytes floats;
            item.embedding_found = true;
            item.embedding_damage = ReadEmbeddingRow(key, value, &owner, &floats);
            if (item.embedding_damage.empty() && owner != item.key) {
              item.embedding_damage = "owner expected " + std::to_string(item.key) + ", actual " +
                                      std::to_string(owner);
            }
            if (floats.size() != 3072) continue;
            sha256_.Add(floats, &item.embedding_sha256);
            if (++waiting % Sha256Batch::kGroupSize == 0) sha256_.Finish();
          }
          return at < by_vector_.size();
        }));
    if (at == begun) break;  // no row at or above it: it and the rest are missing
  }
  sha256_.Finish();
  return Status::Ok();
}

bool RangeVerifier::ReadHeads(const Item& item, const std::string& name) {
  const std::string key = engine::EncodeU64Key(item.key);
  has_old_ = item.old_head.present;
  has_dual_ = item.dual_head.present;
  if (has_old_) {
    const std::string damage = ReadOldHead(AsBytes(key), At(item.old_head), &old_);
    if (!damage.empty()) out_->report.Corrupt("old head of " + name + ": " + damage);
    has_old_ = damage.empty();
  }
  if (has_dual_) {
    const std::string damage = ReadDualHead(AsBytes(key), At(item.dual_head), &dual_);
    if (!damage.empty()) out_->report.Corrupt("dual head of " + name + ": " + damage);
    has_dual_ = damage.empty();
  }
  return has_old_ || has_dual_;
}

// The two physical forms of one version must say the same.
void RangeVerifier::CompareHeads(const std::string& name) {
  VerifyReport& report = out_->report;
  if (dual_.seq < old_.seq) return;  // a later legacy write: the old one is current
  if (dual_.seq > old_.seq) {
    report.Mismatch({name, "old_head.lsn", std::to_string(dual_.seq), std::to_string(old_.seq)});
    return;
  }
  if (SaysTheSame(old_, dual_)) return;
  AuditRecord from_old = record_;
  AuditRecord from_dual = record_;
  ApplyHead(old_, &from_old);
  ApplyHead(dual_, &from_dual);
  const auto expected = AuditFields(from_old);
  const auto actual = AuditFields(from_dual);
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i].value != actual[i].value) {
      report.Mismatch({name, expected[i].name, expected[i].value, actual[i].value});
    }
  }
  if (old_.digest != dual_.digest) {
    report.Mismatch({name, "digest", HexOf(old_.digest), HexOf(dual_.digest)});
  }
  if (old_.vector_key != dual_.vector_key) {
    report.Mismatch(
        {name, "vector_key", std::to_string(old_.vector_key), std::to_string(dual_.vector_key)});
  }
  if (old_.origin != dual_.origin) {
    report.Mismatch({name, "origin", std::to_string(old_.origin), std::to_string(dual_.origin)});
  }
  if (old_.layout != dual_.layout) {
    report.Mismatch({name, "layout", std::string(old_.layout), std::string(dual_.layout)});
  }
  if (old_.tier != dual_.tier) {
    report.Mismatch({name, "tier", TierText(old_.tier), TierText(dual_.tier)});
  }
}

// False: there is no embedding, and so no digest.
bool RangeVerifier::ClaimDigest(const Item& item, const std::string& name, const AuditHead& head) {
  VerifyReport& report = out_->report;
  if (!item.embedding_found) {
    report.Mismatch({name, "embedding", "vector " + std::to_string(head.vector_key), "missing"});
    return false;
  }
  if (!item.embedding_damage.empty()) {
    report.Corrupt("embedding row " + std::to_string(item.vector_key) + " of " + name + ": " +
                   item.embedding_damage);
  }
  if (item.embedding_sha256 != head.embedding_sha256) {
    report.Mismatch(
        {name, "embedding_sha256", HexOf(head.embedding_sha256), HexOf(item.embedding_sha256)});
  }
  record_.embedding_sha256 = item.embedding_sha256;
  AppendAuditCanonical(record_, sha256_.buffer());
  const int tier = AuditTierOf(record_.activation_bits);
  if (tier != head.tier) {
    report.Mismatch({name, "tier", TierText(tier), TierText(head.tier)});
  }
  Claim& claim = claims_.emplace_back();
  claim.name = name;
  claim.expected = head.digest;
  claim.tier = tier;
  sha256_.AddBuffered(&claim.actual);
  return true;
}

void RangeVerifier::CheckClaims() {
  sha256_.Finish();
  for (const Claim& claim : claims_) {
    if (claim.actual != claim.expected) {
      out_->report.Mismatch({claim.name, "digest", HexOf(claim.expected), HexOf(claim.actual)});
    } else if (claim.sound) {
      out_->report.matched += 1;
    }
    out_->tiers[claim.tier].count += 1;
    out_->tiers[claim.tier].lanes.Add(claim.actual);
    out_->sum.Add(claim.actual);
  }
  claims_.clear();
}

// An id may have a key and no record (an edge leads to it); then its text row holds the id alone.
void RangeVerifier::CheckHeadless(const Item& item) {
  VerifyReport& report = out_->report;
  if (item.extension.present) report.Orphan("extension row of " + NodeName(item.key));
  if (!item.text.present) return;
  record_.Clear();
  const std::string key = engine::EncodeU64Key(item.key);
  const std::string damage = ReadText(AsBytes(key), At(item.text), &record_);
  if (!damage.empty()) return report.Corrupt("text row of " + NodeName(item.key) + ": " + damage);
  const bool only_id = !record_.content && !record_.where && !record_.has_who &&
                       !record_.has_provenance && record_.metadata.empty();
  if (!only_id) report.Missing(std::string(record_.id));
}

// Adds a record that is in quarantine, as found, to the sums. False: it is judged as any other, and
// so is one whose heads cannot be read, since nobody knows what it adds.
bool RangeVerifier::CountQuarantined(const Item& item) {
  if (options_.quarantined == nullptr || !item.old_head.present) return false;
  const auto found = options_.quarantined->find(item.key);
  if (found == options_.quarantined->end() || found->second != AsView(At(item.old_head))) {
    return false;
  }
  const std::string key = engine::EncodeU64Key(item.key);
  if (!ReadOldHead(AsBytes(key), At(item.old_head), &old_).empty()) return false;
  if (item.dual_head.present) {
    const bool readable = ReadDualHead(AsBytes(key), At(item.dual_head), &dual_).empty();
    if (!readable || dual_.seq >= old_.seq) return false;
  }
  extension_ = AuditExtension();
  if (item.extension.present) {
    const std::string bad = ReadExtension(AsBytes(key), At(item.extension), &extension_);
    if (!bad.empty()) extension_ = AuditExtension();
  }
  out_->report.checked += 1;
  out_->report.old_records += 1;
  out_->report.concepts += extension_.node_type == 2 ? 1 : 0;
  out_->tiers[old_.tier].count += 1;
  out_->tiers[old_.tier].lanes.Add(old_.digest);
  out_->sum.Add(old_.digest);
  return true;
}

void RangeVerifier::CheckItem(Item& item) {
  VerifyReport& report = out_->report;
  if (item.vector_key != 0) out_->vector_keys.push_back(item.vector_key);
  const bool has_head = item.old_head.present || item.dual_head.present;
  const std::string key = engine::EncodeU64Key(item.key);
  if (!has_head) return CheckHeadless(item);
  if (CountQuarantined(item)) return;
  report.checked += 1;
  const uint64_t findings = report.finding_count;
  if (!item.text.present) return report.Missing("text row of " + NodeName(item.key));
  record_.Clear();
  const std::string damage = ReadText(AsBytes(key), At(item.text), &record_);
  if (!damage.empty()) return report.Corrupt("text row of " + NodeName(item.key) + ": " + damage);
  const std::string name(record_.id);
  const std::string id_key = AuditIdKey(record_.id);
  const auto uuid = AuditUuid(options_.space, record_.id);
  if (marks_ != nullptr) {
    marks_->id_hash[item.key] = MarkOf(AsBytes(id_key));
    marks_->uuid_hash[item.key] = MarkOf(uuid);
  }
  extension_ = AuditExtension();
  if (item.extension.present) {
    const std::string bad = ReadExtension(AsBytes(key), At(item.extension), &extension_);
    if (!bad.empty()) return report.Corrupt("extension row of " + name + ": " + bad);
  }
  ApplyExtension(extension_, &record_);
  if (!ReadHeads(item, name)) return;
  const bool dual = has_dual_ && (!has_old_ || dual_.seq >= old_.seq);
  // A damaged dual head beside a good old one is reported, and counts as what it was.
  const bool counts_as_dual = dual || (item.dual_head.present && !has_dual_);
  (counts_as_dual ? report.dual_records : report.old_records) += 1;
  report.concepts += extension_.node_type == 2 ? 1 : 0;
  if (has_old_ && has_dual_) CompareHeads(name);
  if (has_dual_ && dual_.uuid != uuid) {
    report.Mismatch({name, "node.uuid", ToHex(uuid), ToHex(dual_.uuid)});
  }
  const AuditHead& head = dual ? dual_ : old_;
  ApplyHead(head, &record_);
  if (ClaimDigest(item, name, head)) claims_.back().sound = report.finding_count == findings;
}

void RangeVerifier::CheckRangeSum(engine::ReadView& view, uint64_t range,
                                  const engine::RangeSum& sum, VerifyReport* report) {
  const auto stored = view.Range(range);
  const std::string name = "range " + std::to_string(range);
  if (!stored.ok()) return report->Corrupt(name + ": " + stored.status().message());
  const engine::RangeSum expected = stored->value_or(engine::RangeSum{});
  if (expected.count != sum.count) {
    report->Mismatch({name, "count", std::to_string(expected.count), std::to_string(sum.count)});
  }
  if (expected.sum != sum.sum) {
    report->Mismatch({name, "digest", ToHex(expected.sum), ToHex(sum.sum)});
  }
}

}  // namespace engram::migration::internal
