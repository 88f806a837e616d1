// The record pass of verification: one range of node keys at a time.
#ifndef ENGRAM_MIGRATION_INTERNAL_VERIFY_RANGE_H_
#define ENGRAM_MIGRATION_INTERNAL_VERIFY_RANGE_H_

#include <map>
#include <string>
#include <vector>

#include "base/sha256_batch.h"
#include "engine/lthash.h"
#include "migration/audit_rows.h"
#include "migration/checkpoint.h"
#include "migration/verify.h"

namespace engram::migration::internal {

// What later passes need to know of each record; indexed by node key. Workers write disjoint parts.
struct RecordMarks {
  std::vector<uint64_t> id_hash;  // of the id table's key; 0: no record
  std::vector<uint64_t> uuid_hash;
};
uint64_t MarkOf(Bytes bytes);  // never 0

struct VerifiedRange {
  KeyRange range;
  VerifyReport report;
  engine::TierDigest tiers[engine::kTierCount];
  std::vector<uint64_t> vector_keys;  // that heads point to
  engine::RangeSum sum;
};

// One per thread.
class RangeVerifier {
 public:
  struct Options {
    std::string space;
    uint64_t stride = 1;  // look at every n-th node key only
    Lsn lsn;              // the snapshot every worker must see
    // The snapshot itself; null: each range takes its own, which must be at `lsn`.
    engine::ReadView* view = nullptr;
    // The ranges are parts of a range sum's: the caller adds up `sum` and compares.
    bool partial = false;
    // Node key -> old head of the records that are not judged while they are as found; null: none.
    const std::map<uint64_t, std::string>* quarantined = nullptr;
  };
  // `marks` may be null: then the cross tables are not checked later.
  RangeVerifier(engine::Store& store, const Options& options, RecordMarks* marks)
      : store_(store), options_(options), marks_(marks) {}
  Status Verify(const KeyRange& range, VerifiedRange* out);
  // Compares the recomputed sum of a whole range with the stored one.
  static void CheckRangeSum(engine::ReadView& view, uint64_t range, const engine::RangeSum& sum,
                            VerifyReport* report);

 private:
  Status VerifyAt(engine::ReadView& view);
  struct Slice {
    size_t offset = 0;
    size_t size = 0;
    bool present = false;
  };
  struct Item {
    uint64_t key = 0;
    Slice old_head;
    Slice dual_head;
    Slice extension;
    Slice text;
    uint64_t vector_key = 0;
    Sha256Digest embedding_sha256{};
    bool embedding_found = false;
    std::string embedding_damage;
  };

  // A record whose digest is still to be computed and compared.
  struct Claim {
    std::string name;
    Sha256Digest expected{};
    Sha256Digest actual{};
    int tier = 0;
    bool sound = false;  // nothing else was found wrong with it
  };

  Status Collect(engine::ReadView& view, engine::Table table, Slice Item::*slice);
  Bytes At(const Slice& slice) const {
    return AsBytes(std::string_view(rows_).substr(slice.offset, slice.size));
  }
  void ChooseVectors();
  Status HashEmbeddings(engine::ReadView& view);
  void CheckItem(Item& item);
  void CheckHeadless(const Item& item);
  bool CountQuarantined(const Item& item);
  bool ReadHeads(const Item& item, const std::string& name);
  void CompareHeads(const std::string& name);
  bool ClaimDigest(const Item& item, const std::string& name, const AuditHead& head);
  void CheckClaims();

  engine::Store& store_;
  const Options options_;
  RecordMarks* marks_;
  VerifiedRange* out_ = nullptr;
  std::vector<Item> items_;  // one per key of the range
  std::string rows_;
  std::vector<Item*> by_vector_;
  AuditRecord record_;
  AuditHead old_;
  AuditHead dual_;
  bool has_old_ = false;
  bool has_dual_ = false;
  AuditExtension extension_;
  std::vector<Claim> claims_;
  Sha256Batch sha256_;
};

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_VERIFY_RANGE_H_
