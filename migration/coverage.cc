#include "migration/coverage.h"

namespace engram::migration {

Status CoverageLedger::Add(const KeyRange& receipt) {
  if (receipt.first > receipt.last || receipt.last == UINT64_MAX) {
    return Status::Fatal("a receipt for the empty range " + std::to_string(receipt.first) + ".." +
                         std::to_string(receipt.last));
  }
  auto next = ranges_.upper_bound(receipt.last);
  // The range before `next` is the only one that can overlap.
  if (next != ranges_.begin() && std::prev(next)->second >= receipt.first) {
    return Status::Fatal("node keys " + std::to_string(receipt.first) + ".." +
                         std::to_string(receipt.last) + " were handed out twice");
  }
  uint64_t first = receipt.first;
  uint64_t last = receipt.last;
  if (next != ranges_.end() && next->first == last + 1) {
    last = next->second;
    next = ranges_.erase(next);
  }
  if (next != ranges_.begin() && std::prev(next)->second + 1 == first) {
    first = std::prev(next)->first;
  }
  ranges_[first] = last;
  return Status::Ok();
}

bool CoverageLedger::Covers(const KeyRange& range) const { return Missing(range).empty(); }

std::vector<KeyRange> CoverageLedger::Missing(const KeyRange& whole) const {
  std::vector<KeyRange> missing;
  uint64_t at = whole.first;
  for (const auto& [first, last] : ranges_) {
    if (at > whole.last || first > whole.last) break;
    if (last < at) continue;
    if (first > at) missing.push_back({at, first - 1});
    at = last + 1;
  }
  if (at <= whole.last && whole.first <= whole.last) missing.push_back({at, whole.last});
  return missing;
}

uint64_t CoverageLedger::ContiguousFrom(uint64_t first) const {
  auto next = ranges_.upper_bound(first);
  if (next == ranges_.begin() || std::prev(next)->second < first) return first - 1;
  return std::prev(next)->second;
}

std::vector<KeyRange> CoverageLedger::ranges() const {
  std::vector<KeyRange> out;
  for (const auto& [first, last] : ranges_) out.push_back({first, last});
  return out;
}

std::string CoverageLedger::Encode() const {
  std::string out;
  PutLe<uint32_t>(&out, static_cast<uint32_t>(ranges_.size()));
  for (const auto& [first, last] : ranges_) {
    PutLe<uint64_t>(&out, first);
    PutLe<uint64_t>(&out, last);
  }
  return out;
}

Result<CoverageLedger> CoverageLedger::Decode(Bytes bytes) {
  ByteReader reader(bytes);
  CoverageLedger ledger;
  uint32_t count = 0;
  if (!reader.ReadLe(&count) || reader.remaining() != uint64_t{16} * count) {
    return Status::Corruption("the meta row migration.receipts has " +
                                  std::to_string(bytes.size()) + " bytes for " +
                                  std::to_string(count) + " ranges",
                              "run migrate-dual without --resume");
  }
  for (uint32_t i = 0; i < count; ++i) {
    KeyRange range;
    reader.ReadLe(&range.first);
    reader.ReadLe(&range.last);
    if (!ledger.Add(range).ok()) {
      return Status::Corruption("the meta row migration.receipts holds overlapping ranges",
                                "run migrate-dual without --resume");
    }
  }
  return ledger;
}

}  // namespace engram::migration
