#include "engine/internal/digest_rows.h"

#include <algorithm>

#include "base/check.h"
#include "engine/rows.h"

namespace engram::engine {
namespace {

constexpr char kTierKeys[kTierCount][7] = {"tier/1", "tier/2", "tier/3"};
constexpr char kEdgesKey[] = "edges";
constexpr char kBindingsKey[] = "bindings";
constexpr char kCountsKey[] = "counts";
constexpr size_t kTierRowSizeBytes = 16 + LtHash::kSizeBytes;
constexpr size_t kRangeRowSizeBytes = 40;

template <typename Visit>
void VisitCounts(Counts* c, Visit visit) {
  for (uint64_t* field : {&c->records, &c->old, &c->dual, &c->episodes, &c->concepts, &c->edges,
                          &c->bindings, &c->quarantined}) {
    visit(field);
  }
}

Status WrongRowSize(std::string_view key) {
  return Status::Corruption("the digest row \"" + std::string(key) + "\" has an unexpected size");
}

// The verified body of a row, or nothing.
Result<std::optional<Bytes>> LoadRow(const ReadDigestRow& read, std::string_view key,
                                     size_t size_bytes) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> value, read(AsBytes(key)));
  if (!value) return std::optional<Bytes>();
  ENGRAM_ASSIGN_OR_RETURN(Bytes body, DecodeChecked(AsBytes(key), *value));
  if (body.size() != size_bytes) return WrongRowSize(key);
  return std::optional<Bytes>(body);
}

Status StoreRow(const WriteDigestRow& write, std::string_view key, std::string_view body) {
  std::string value;
  EncodeChecked(AsBytes(key), AsBytes(body), &value);
  return write(AsBytes(key), AsBytes(value));
}

Status LoadTier(const ReadDigestRow& read, int index, TierDigest* out) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> body,
                          LoadRow(read, kTierKeys[index], kTierRowSizeBytes));
  if (!body) return Status::Ok();
  out->count = LoadLe<uint64_t>(body->data());
  out->dirty = LoadLe<uint64_t>(body->data() + 8) != 0;
  out->lanes = LtHash::FromBytes(body->subspan(16));
  return Status::Ok();
}

Status LoadLanes(const ReadDigestRow& read, std::string_view key, LtHash* out) {
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> body, LoadRow(read, key, LtHash::kSizeBytes));
  if (body) *out = LtHash::FromBytes(*body);
  return Status::Ok();
}

}  // namespace

std::string RangeRowKey(uint64_t range) { return "r" + EncodeU64Key(range); }

Result<DigestRows> DigestRows::Load(const ReadDigestRow& read) {
  DigestRows rows;
  for (int i = 0; i < kTierCount; ++i) ENGRAM_TRY(LoadTier(read, i, &rows.tiers[i]));
  ENGRAM_TRY(LoadLanes(read, kEdgesKey, &rows.edges));
  ENGRAM_TRY(LoadLanes(read, kBindingsKey, &rows.bindings));
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> body, LoadRow(read, kCountsKey, 64));
  if (body) {
    const uint8_t* at = body->data();
    VisitCounts(&rows.counts, [&at](uint64_t* field) {
      *field = LoadLe<uint64_t>(at);
      at += 8;
    });
  }
  return rows;
}

Status DigestRows::Store(const WriteDigestRow& write) const {
  for (int i = 0; i < kTierCount; ++i) {
    std::string body;
    PutLe(&body, tiers[i].count);
    PutLe(&body, static_cast<uint64_t>(tiers[i].dirty));
    PutBytes(&body, tiers[i].lanes.bytes());
    ENGRAM_TRY(StoreRow(write, kTierKeys[i], body));
  }
  ENGRAM_TRY(StoreRow(write, kEdgesKey, AsView(edges.bytes())));
  ENGRAM_TRY(StoreRow(write, kBindingsKey, AsView(bindings.bytes())));
  std::string body;
  Counts copy = counts;
  VisitCounts(&copy, [&body](uint64_t* field) { PutLe(&body, *field); });
  return StoreRow(write, kCountsKey, body);
}

void DigestRows::Apply(const DigestChange& change) {
  LtHash* lanes = nullptr;
  if (change.marks_dirty) {
    ENGRAM_CHECK(change.sum >= 1 && change.sum <= kTierCount);
    tiers[change.sum - 1].dirty = true;
    return;
  }
  if (change.sum == kSumEdges) {
    lanes = &edges;
  } else if (change.sum == kSumBindings) {
    lanes = &bindings;
  } else {
    ENGRAM_CHECK(change.sum >= 1 && change.sum <= kTierCount);
    TierDigest& tier = tiers[change.sum - 1];
    tier.count += change.is_removal ? uint64_t(-1) : 1;
    lanes = &tier.lanes;
  }
  if (change.is_removal) {
    lanes->Remove(change.digest);
  } else {
    lanes->Add(change.digest);
  }
}

Result<RangeSum> DecodeRangeRow(Bytes key, Bytes value) {
  ENGRAM_ASSIGN_OR_RETURN(Bytes body, DecodeChecked(key, value));
  if (body.size() != kRangeRowSizeBytes) return WrongRowSize("range");
  RangeSum sum;
  std::memcpy(sum.sum.data(), body.data(), 32);
  sum.count = LoadLe<uint64_t>(body.data() + 32);
  return sum;
}

Result<RangeSum*> DigestBatch::Range(uint64_t range) {
  auto found = ranges_.find(range);
  if (found != ranges_.end()) return &found->second;
  const std::string key = RangeRowKey(range);
  ENGRAM_ASSIGN_OR_RETURN(std::optional<Bytes> value, read_(AsBytes(key)));
  RangeSum sum;
  if (value) {
    ENGRAM_ASSIGN_OR_RETURN(sum, DecodeRangeRow(AsBytes(key), *value));
  }
  return &ranges_.emplace(range, sum).first->second;
}

Status DigestBatch::ApplyToRange(NodeKey node, const Sha256Digest& digest, bool is_removal) {
  ENGRAM_ASSIGN_OR_RETURN(RangeSum * sum, Range(RangeOf(node)));
  if (is_removal) {
    sum->Remove(digest);
  } else {
    sum->Add(digest);
  }
  return Status::Ok();
}

Status DigestBatch::Apply(const DigestChange& change) {
  ENGRAM_ASSIGN_OR_RETURN(DigestRows * all, rows());
  all->Apply(change);
  if (change.sum > kTierCount || change.marks_dirty) return Status::Ok();
  return ApplyToRange(change.node, change.digest, change.is_removal);
}

Result<DigestRows*> DigestBatch::rows() {
  if (!rows_) {
    ENGRAM_ASSIGN_OR_RETURN(rows_, DigestRows::Load(read_));
  }
  return &*rows_;
}

void DigestBatch::Replace(const BulkTxn::Totals& totals) {
  rows_.emplace();
  std::copy(std::begin(totals.tiers), std::end(totals.tiers), std::begin(rows_->tiers));
  rows_->edges = totals.edges;
  rows_->bindings = totals.bindings;
  rows_->counts = totals.counts;
  ranges_ = totals.ranges;
}

Status DigestBatch::Flush() {
  if (rows_) ENGRAM_TRY(rows_->Store(write_));
  for (const auto& [range, sum] : ranges_) {
    const std::string key = RangeRowKey(range);
    std::string body, value;
    PutBytes(&body, sum.sum);
    PutLe(&body, sum.count);
    EncodeChecked(AsBytes(key), AsBytes(body), &value);
    ENGRAM_TRY(write_(AsBytes(key), AsBytes(value)));
  }
  return Status::Ok();
}

}  // namespace engram::engine
