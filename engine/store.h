// The node store of one space: one LMDB environment behind a write-ahead log, with an overlay for
// what is acknowledged and not applied yet. Formats: docs/format/{store,log}.md; invariants:
// docs/invariants.md.
//
// A write: Begin() -> stage rows -> Stage() (LSN fixed, appended to the log queue) -> WaitDurable()
// (group commit; visible to readers from then on) -> applied to LMDB in key-sorted batches by the
// applier. A read: a ReadView, consistent at one LSN.
//
// The engine never converts: a write hands it encoded heads and the record's digest.
#ifndef ENGRAM_ENGINE_STORE_H_
#define ENGRAM_ENGINE_STORE_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/result.h"
#include "engine/lthash.h"
#include "engine/record.h"
#include "engine/rows.h"
#include "wal/log.h"

namespace engram::engine {

// Durable, changed through the log (design.md section 6). Persisted, never renumbered.
enum class Mode : uint8_t { kLegacy = 1, kDualWrite = 2, kShadow = 3, kDual = 4, kFinalized = 5 };
std::string_view ModeName(Mode mode);  // "legacy", "dual_write", "shadow", "dual", "finalized"

// A meta row whose name begins like this remembers an ingested source.
inline constexpr std::string_view kMetaSourcePrefix = "source.";
// Names that begin like this are the engine's own; SetMeta refuses them.
inline constexpr std::string_view kMetaReservedPrefix = "engine.";
inline constexpr size_t kMetaNameSizeBytesMax = 511;

enum class Access {
  kReadOnly,   // shared lease; changes nothing but LMDB's lock.mdb; replays the log in memory
  kReadWrite,  // exclusive lease; kNotFound if there is no store
  kCreate,     // as kReadWrite, creates an empty store in mode legacy
};

struct StoreOptions {
  std::string directory;  // <data_root>/<space>/dual
  std::string space;      // a valid space id
  Access access = Access::kReadWrite;
  // Upper bound of the LMDB map. 0: min(1 TiB, 4 x the file system).
  uint64_t map_size_bytes = 0;
  // Bytes of acknowledged, unapplied writes above which writers wait for the applier.
  uint64_t overlay_size_bytes_max = 64u << 20;
  wal::LogOptions log;
  // False: nothing is applied until Drain() or a full overlay, on the caller's thread; no threads
  // at all. For tests that need one schedule per seed.
  bool background_apply = true;
  // Recovery continues past corruption and lists what is lost (RecoveryReport::lost). The tables
  // need salvage too then: migration/salvage.h.
  bool salvage = false;
};

// Services that outlive the store.
struct Environment {
  FileSystem& fs = FileSystem::Posix();
  Clock& clock = Clock::System();
  Logger& logger = Logger::Null();
};

// The raw rows of one record. A head that is absent or older than the other is not served.
struct StoredRecord {
  NodeKey key;
  std::optional<OldHead> old_head;
  std::optional<DualHead> dual_head;
  TextFields text;
  Extension extension;  // defaults when there is no row
  bool has_extension = false;
  // A head row that fails its check is left out. Every write gives the same sequence to all heads
  // that it leaves, so the other one, if it passes, is current.
  bool old_head_damaged = false;
  bool dual_head_damaged = false;
  bool has_head() const { return old_head || dual_head; }
  // Counted as dual: a dual head is there, damaged or not.
  bool counts_as_dual() const { return is_dual() || dual_head_damaged; }
  // The head with the highest seq; the dual one when equal. REQUIRES: one is present.
  const HeadCommon& current() const;
  // A dual head with the highest seq is present.
  bool is_dual() const;
};

struct Neighbour {
  NodeKey node;
  uint64_t ordinal = 0;  // position at the source: insertion order, gaps after removals
  float weight = 0;
};
struct Binding {
  NodeKey node;  // the other side
  uint64_t ordinal = 0;
  float strength = 0;
  float contribution = 0;
};

struct TierDigest {
  uint64_t count = 0;
  LtHash lanes;
  bool dirty = false;  // a record that failed its check could not be subtracted
};
struct DigestState {
  Lsn lsn;  // what follows is true at this LSN
  TierDigest tiers[kTierCount];
  LtHash edges;
  LtHash bindings;
  Sha256Digest SpaceDigest() const;  // of the lane sum of the tiers
};

struct Counts {
  uint64_t records = 0;
  uint64_t old = 0;  // without a current dual head
  uint64_t dual = 0;
  uint64_t episodes = 0;
  uint64_t concepts = 0;
  uint64_t edges = 0;
  uint64_t bindings = 0;
  uint64_t quarantined = 0;
};

// Reads at one LSN. Not thread-safe; several may exist; short-lived unless made by Snapshot().
class ReadView {
 public:
  virtual ~ReadView() = default;
  virtual Lsn lsn() const = 0;
  virtual Mode mode() const = 0;
  // kNotFound as an empty optional. An id can have a key without a record: an edge points to it.
  virtual Result<std::optional<NodeKey>> FindId(std::string_view id) = 0;
  virtual Result<std::optional<NodeKey>> FindUuid(const Uuid& uuid) = 0;
  // kCorruption if a row that the record needs fails its check: its text, or every head it has.
  virtual Result<std::optional<StoredRecord>> Record(NodeKey key) = 0;
  // The same record for one that asks only for what it says. No write leaves an old head that is
  // newer than the dual one, so where the dual head passes its check no old head is looked for.
  virtual Result<std::optional<StoredRecord>> CurrentRecord(NodeKey key) { return Record(key); }
  // For a write that replaces the whole record: damaged heads and text are left out (has_head()).
  virtual Result<std::optional<StoredRecord>> RecordToReplace(NodeKey key) { return Record(key); }
  // What both heads of a record have in common, of the current one, without its text. kCorruption
  // if every head fails its check.
  virtual Result<std::optional<HeadCommon>> Head(NodeKey key);
  // The id of a key that has no record (edge endpoint), else of its record.
  virtual Result<std::string> IdOf(NodeKey key) = 0;
  // Verifies the checksum; the SHA-256 is verification's business. kCorruption if the row is
  // missing.
  virtual Result<NodeKey> ReadEmbedding(VectorKey key, Embedding* out) = 0;
  virtual Result<std::vector<Neighbour>> OutEdges(NodeKey source) = 0;  // by ordinal
  virtual Result<std::vector<Neighbour>> InEdges(NodeKey target) = 0;
  virtual Result<std::vector<Binding>> ConceptsOf(NodeKey episode) = 0;  // by ordinal
  virtual Result<std::vector<Binding>> EpisodesOf(NodeKey concept_node) = 0;
  virtual Result<DigestState> Digests() = 0;
  virtual Result<Counts> Count() = 0;
  virtual Result<std::optional<RangeSum>> Range(uint64_t range) = 0;
  virtual Result<std::optional<std::string>> Meta(std::string_view name) = 0;
  virtual Result<std::optional<Lsn>> Tombstone(std::string_view id) = 0;

  // Scans. The visitor returns false to stop. Ids come sorted by their bytes, after `after` if set.
  virtual Status ScanIds(
      std::optional<std::string_view> after,
      const std::function<Result<bool>(std::string_view id, NodeKey key)>& visit) = 0;
  // Any table, in key order from `first` on; `value` unchecked. Both live as long as the view.
  virtual Status ScanTable(Table table, Bytes first,
                           const std::function<Result<bool>(Bytes key, Bytes value)>& visit) = 0;
};

// One change to the store, made under the space's write mutex from Begin() to Stage() or
// destruction (which drops it). Reads through `view()` see every staged write, durable or not.
// Begun, used and destroyed on one thread.
class WriteTxn {
 public:
  virtual ~WriteTxn() = default;
  virtual Lsn lsn() const = 0;  // the sequence this write gets
  virtual ReadView& view() = 0;

  // The key of `id`, allocated (with its uuid row) if it has none.
  virtual Result<NodeKey> KeyFor(std::string_view id, const Uuid& uuid) = 0;

  // Replaces the whole record under `key`. Heads are encoded by the engine from the decoded form
  // with `seq` = lsn(); an absent head removes that row. The text row is rewritten when `text` is
  // set, the embedding gets a new row when `embedding` is set (else the old one stays), the
  // extension row is written when set, removed when `remove_extension`.
  struct Record {
    NodeKey key;
    std::optional<Memory> old_head;     // text ignored
    std::optional<DualNode> dual_head;  // text ignored
    const TextFields* text = nullptr;
    const Embedding* embedding = nullptr;
    const Extension* extension = nullptr;
    bool remove_extension = false;
    Sha256Digest digest{};
    float activation = 0;  // decides the tier
  };
  virtual Status PutRecord(const Record& record) = 0;
  // Drops heads, rows, edges and bindings both ways, damaged ones too. If a source was ever
  // ingested (a meta row whose name begins with kMetaSourcePrefix) it leaves a tombstone, and the
  // id keeps its key. kNotFound if there is no record. REQUIRES: `key` is what FindId(id) found.
  virtual Status RemoveRecord(NodeKey key, std::string_view id) = 0;
  // Removes every record and every edge and binding, of up to `keys_max` ids behind `after`: a log
  // record is bounded. Returns the last id it took if there may be more.
  struct ClearOptions {
    std::optional<std::string> after;
    uint64_t keys_max = UINT64_MAX;
  };
  virtual Result<std::optional<std::string>> Clear(const ClearOptions& options) = 0;

  virtual Status AddEdge(NodeKey source, NodeKey target, float weight) = 0;
  virtual Result<uint64_t> RemoveEdges(NodeKey source, NodeKey target) = 0;  // all parallel ones
  virtual Status AddBinding(NodeKey episode, NodeKey concept_node, float strength,
                            float contribution) = 0;
  virtual Status SetBindingStrength(NodeKey episode, NodeKey concept_node, uint64_t ordinal,
                                    float strength) = 0;
  virtual Status SetMode(Mode mode) = 0;
  virtual Status SetMeta(std::string_view name, std::string_view value) = 0;

  // Ends the transaction: appends it to the log queue. Not durable and not visible yet.
  virtual Result<Lsn> Stage() = 0;
};

// A batch installed straight into LMDB, without the log: conversions and bulk ingest. One commit;
// the log must hold nothing unapplied when it begins (Store drains it first). It excludes writers
// from BeginBulk() to Commit() or destruction (which drops it). Begun, used and destroyed on one
// thread.
class BulkTxn {
 public:
  virtual ~BulkTxn() = default;
  // The sequence of what this batch writes: above that of every earlier write, below that of every
  // later one. A commit that changes digests leaves a marker with this LSN in the log.
  virtual Lsn lsn() const = 0;
  // The first of `count` new keys in a row. Dropped with the batch.
  virtual Result<NodeKey> AllocateNodeKeys(uint64_t count) = 0;
  virtual Result<VectorKey> AllocateVectorKeys(uint64_t count) = 0;
  // Installs a dual head by compare-and-rewrite: only if the old head's seq is still `seq` and no
  // dual head of that seq is there. Returns whether it was installed. INV-1.
  virtual Result<bool> InstallDualHead(NodeKey key, Lsn seq, const DualHead& head) = 0;
  // Encoded rows, any order; the caller keeps the digests below in step.
  virtual Status PutRow(Table table, Bytes key, Bytes value) = 0;
  virtual Status DeleteRow(Table table, Bytes key) = 0;
  virtual Result<std::optional<std::string>> GetRow(Table table, Bytes key) = 0;
  // Adds a new record's rows in ascending key order (appends). Counts and digests follow.
  struct NewRecord {
    NodeKey key;
    VectorKey vector_key;
    Bytes old_head;  // encoded rows
    Bytes text;
    Bytes embedding;
    Sha256Digest digest{};
    Tier tier = Tier::kCold;
    Bytes dual_head = {};  // encoded, of the same content; empty: the record comes in old
  };
  virtual Status AppendRecord(const NewRecord& record) = 0;
  // Replaces the record under `record.key` (added if there is none): its dual head and its old
  // embedding row go, extension, edges and bindings stay. Counts and digests follow.
  virtual Status ReplaceRecord(const NewRecord& record) = 0;
  // As WriteTxn::RemoveRecord, without a tombstone. The id keeps its key.
  virtual Status RemoveRecord(NodeKey key) = 0;
  // As AppendRecord with the tiers' sums and counts of the whole batch precomputed by workers;
  // range sums and Counts follow here.
  struct DigestDelta {
    TierDigest tiers[kTierCount];
  };
  virtual Status AppendRecordNoDigest(const NewRecord& record) = 0;
  virtual Status AddDigests(const DigestDelta& delta) = 0;
  virtual Status SetMeta(std::string_view name, std::string_view value) = 0;
  // Puts these in the place of all sums and counts, none of them dirty: for salvage, which has
  // counted the rows that stay.
  struct Totals {
    TierDigest tiers[kTierCount];
    LtHash edges;
    LtHash bindings;
    Counts counts;
    std::map<uint64_t, RangeSum> ranges;  // by range number; no other range has records
  };
  virtual Status ReplaceDigests(const Totals& totals) = 0;
  // Changes Counts::quarantined: records kept back, in rows of Table::kQuarantine.
  virtual Status CountQuarantined(int64_t change) = 0;
  // Commits; with `sync` the environment is flushed too (a checkpoint may then claim it).
  struct CommitOptions {
    bool sync = false;
  };
  virtual Status Commit(const CommitOptions& options) = 0;
};

struct SearchHit {
  NodeKey node;
  float score = 0;  // cosine, plain f32; 0 for a zero-norm vector
};

struct CompactOptions {
  bool drop_old_heads = false;  // --finalize: every record must have a current dual head
  std::function<Status(uint64_t rows_done, uint64_t rows_total)> progress;
};
struct CompactReport {
  uint64_t bytes_before = 0;
  uint64_t bytes_after = 0;
  Sha256Digest digest_before{};
  Sha256Digest digest_after{};
};

struct RecoveryReport {
  Lsn applied;    // in LMDB when opened
  Lsn recovered;  // last LSN found in the log
  uint64_t records_replayed = 0;
  uint64_t duration_ns = 0;  // of reading and opening the log
  bool torn_tail = false;
  std::string torn_detail;             // file and offset
  std::vector<wal::LostStretch> lost;  // with salvage: what is gone
};

struct StoreInfo {
  Uuid store_uuid;
  uint64_t generation = 0;
  uint64_t bytes = 0;          // allocated by environment and log
  uint64_t used_bytes = 0;     // up to the last page ever taken
  uint64_t old_head_rows = 0;  // in LMDB: what is not applied yet is not in it
  Lsn applied;
  Lsn durable;
  std::string log_io;               // "uring" or "pwrite"
  uint64_t overlay_size_bytes = 0;  // acknowledged, not applied
  uint64_t log_size_bytes = 0;      // of all segments
  bool latched = false;             // no write is taken until it is opened again
  wal::Log::Counters log;           // since the store was opened
};

// Thread-safe.
class Store {
 public:
  static Result<std::unique_ptr<Store>> Open(const Environment& environment,
                                             const StoreOptions& options);
  virtual ~Store() = default;  // as Close(), errors logged
  // Applies everything, flushes, writes the clean-shutdown record, releases the lease. On a full
  // device what cannot be applied stays in the log and is logged: that is no failure.
  virtual Status Close() = 0;

  // Without `wait`: kBusy where Begin() or the transaction's Stage() would wait for a flush, for
  // room, or longer than a moment for the writer before; nothing is written then. For threads that
  // many others depend on.
  struct BeginOptions {
    bool wait = true;
  };
  virtual Result<std::unique_ptr<WriteTxn>> Begin(const BeginOptions& options) = 0;
  Result<std::unique_ptr<WriteTxn>> Begin() { return Begin(BeginOptions{}); }
  // Returns when `lsn` is durable and visible. kFatal once the log is latched.
  virtual Status WaitDurable(Lsn lsn) = 0;

  // At the newest visible LSN. Cheap: for point reads.
  virtual Result<std::unique_ptr<ReadView>> View() = 0;
  // The same for scans: pins one LMDB transaction and a copy of the overlay's index, no writer.
  virtual Result<std::unique_ptr<ReadView>> Snapshot() = 0;

  // Applies all that is durable; on return applied == visible. With `sync` LMDB is flushed.
  struct DrainOptions {
    bool sync = false;
  };
  virtual Status Drain(const DrainOptions& options) = 0;
  virtual Result<std::unique_ptr<BulkTxn>> BeginBulk() = 0;
  // Removes or recycles log segments that lie below the previous commit's applied LSN.
  virtual Status RecycleLog() = 0;

  // Exact top-k by cosine over all embeddings, best first, ties by node key. All cores.
  virtual Result<std::vector<SearchHit>> Search(const Embedding& query, uint32_t k) = 0;

  virtual Result<CompactReport> Compact(const CompactOptions& options) = 0;
  // A whole store as of the newest visible LSN in `directory`, which exists and is empty: every row
  // checked, everything durable but the directory's own name. It opens as any other, read-only.
  virtual Result<DigestState> CopyTo(const std::string& directory) = 0;
  // Puts such a copy of this store, whose space digest must be `digest`, in the place of all
  // tables. LSNs and keys go on: the log gets one LSN for it. As Compact() otherwise: all or
  // nothing.
  virtual Status RestoreFrom(const std::string& directory, const Sha256Digest& digest) = 0;

  // The file of the tables, for messages about damage in it.
  virtual std::string data_path() const { return "data.mdb"; }
  virtual Mode mode() const = 0;
  virtual StoreInfo Info() = 0;
  // Bytes of the pages in use; reads the whole list of those that are free.
  virtual Result<uint64_t> LiveBytes() = 0;
  virtual const RecoveryReport& recovery() const = 0;
  virtual const std::string& space() const = 0;
  virtual bool read_only() const = 0;
};

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_STORE_H_
