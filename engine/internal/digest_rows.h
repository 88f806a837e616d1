// The rows of the digest table: tier, edge and binding sums, counts, range sums; and the batch of
// changes that a transaction makes to them. Format: docs/format/store.md.
#ifndef ENGRAM_ENGINE_INTERNAL_DIGEST_ROWS_H_
#define ENGRAM_ENGINE_INTERNAL_DIGEST_ROWS_H_

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/internal/change_set.h"
#include "engine/lthash.h"
#include "engine/store.h"

namespace engram::engine {

// Reads one row of Table::kDigests as stored, or nothing.
using ReadDigestRow = std::function<Result<std::optional<Bytes>>(Bytes key)>;
using WriteDigestRow = std::function<Status(Bytes key, Bytes value)>;

std::string RangeRowKey(uint64_t range);

struct DigestRows {
  TierDigest tiers[kTierCount];
  LtHash edges;
  LtHash bindings;
  Counts counts;

  // Missing rows are zero: an empty store has none.
  static Result<DigestRows> Load(const ReadDigestRow& read);
  Status Store(const WriteDigestRow& write) const;
  void Apply(const DigestChange& change);
};

Result<RangeSum> DecodeRangeRow(Bytes key, Bytes value);

// Loads what a transaction touches once, changes it in memory, writes it back once.
class DigestBatch {
 public:
  DigestBatch(ReadDigestRow read, WriteDigestRow write)
      : read_(std::move(read)), write_(std::move(write)) {}
  Status Apply(const DigestChange& change);  // lanes and range
  Status ApplyToRange(NodeKey node, const Sha256Digest& digest, bool is_removal);
  Result<DigestRows*> rows();
  // Everything of `totals`, whatever was there. Range rows that it does not name stay: the caller
  // has removed them.
  void Replace(const BulkTxn::Totals& totals);
  Status Flush();

 private:
  Result<RangeSum*> Range(uint64_t range);
  ReadDigestRow read_;
  WriteDigestRow write_;
  std::optional<DigestRows> rows_;
  std::map<uint64_t, RangeSum> ranges_;
};

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_DIGEST_ROWS_H_
