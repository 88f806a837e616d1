// Ingest of one space of an upstream directory into the store: every memory that is still readable
// there, merged to its newest version, written once with its old head, and its dual one if asked.
//
// Two passes over the source, never writing to it. Pass 1 (IndexSource) frames the log, checks
// every checksum, resynchronises past damage and builds an index of ids and versions in an
// unlinked, memory-mapped temporary file. Pass 2 writes the records in node key order: workers
// decode (the converter's decoder, and the audit decoder on the same bytes), one thread commits.
//
// What holds:
//  - the same source again adds nothing; a grown one adds only what is new; a rewritten one is
//    refused (kFailedPrecondition, naming the file);
//  - a record written here (origin 0) or deleted here (tombstone) is never changed;
//  - every commit holds its records, its receipt and its digests; a run killed anywhere is
//  continued
//    by the next one with the same result.
#ifndef ENGRAM_MIGRATION_INGEST_H_
#define ENGRAM_MIGRATION_INGEST_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/crypto.h"
#include "base/file_system.h"
#include "base/result.h"
#include "engine/store.h"
#include "migration/checkpoint.h"
#include "migration/sources/source.h"

namespace engram::migration {

struct SourceDamage {
  std::string file;  // relative path
  uint64_t offset = 0;
  uint64_t length = 0;
  std::string kind;  // as cli.md names it
};

struct SourceQuarantine {
  std::string file;
  uint64_t offset = 0;
  std::string reason;
};

// What the source holds: the object "source" of `migrate-dual --json`.
// episodes + memories == found + versions_superseded + duplicates, with found ==
// IngestReport::found.
struct SourceCounters {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t records = 0;      // intact ones of any type
  uint64_t episodes = 0;     // decoded type-1 records
  uint64_t memories = 0;     // decoded type-2 records
  uint64_t deletes = 0;      // type-3 records
  uint64_t other_types = 0;  // types 4-6
  uint64_t versions_superseded = 0;
  uint64_t duplicates = 0;
  std::vector<SourceDamage> damaged;
  std::vector<SourceQuarantine> quarantined;
};

// With which heads records come in.
enum class IngestHeads {
  kOld,
  kAsMode,  // both in a mode that produces dual heads, else the old one
  kBoth,    // converted on the way
};

struct IngestOptions {
  // The store is open for others too: commits are small, and what is deleted from now on leaves
  // tombstones.
  bool served = false;
  IngestHeads heads = IngestHeads::kOld;
  bool dry_run = false;                  // count and predict; nothing at all is created or changed
  uint64_t batch_size = 1000;            // records per unit of work
  uint64_t checkpoint_interval = 10000;  // records between calls of IngestHooks::checkpoint
  uint64_t memory_budget_bytes = 512u << 20;  // anonymous memory for buffers and dirty pages
  uint32_t workers = 1;                       // decoding threads, at least 1
  // The store's directory, for the check that the disk has room; "": not checked.
  std::string store_directory;
  // Of the same check: what follows the ingest of a record needs as well.
  uint64_t later_bytes_per_record = 0;
  uint64_t other_bytes = 0;  // what else goes there before it
};

// All are called on the thread that called Ingest, and may be empty.
struct IngestHooks {
  // phase is "index" (bytes of total bytes), "ids" (rows of the id tables; only if they take
  // several commits) or "ingest" (records of total records).
  std::function<void(const char* phase, uint64_t done, uint64_t total)> progress;
  // Before `records` more records are written: waits as the rate limit and the pause switch demand.
  std::function<Status(uint64_t records)> throttle;
  // Whether that may take long: what is written is committed before it. Empty: it does not.
  std::function<bool()> waits;
  // After a commit that was flushed: everything up to `records_done` is durable in the store.
  // `source_hash` identifies the source's bytes as this run sees them.
  std::function<Status(uint64_t records_done, const Sha256Digest& source_hash)> checkpoint;
  // Just before each commit of records: what else shall be true with it. `converted` records have
  // got dual heads since the last call.
  std::function<Status(engine::BulkTxn& txn, uint64_t converted)> committing;
  // Before anything is written, once it is sure that the source may go on where it was and that
  // there is room: how much of which file this run sees. An error ends the ingest with it.
  std::function<Status(const std::vector<SourceExtent>& extents)> accepted;
  // True: stop at the next batch border, flush, checkpoint, return kCancelled.
  const std::atomic<bool>* cancel = nullptr;
};

struct IngestReport {
  SourceCounters source;
  uint32_t origin = 0;         // number of the source in this store; 0 in a dry run of a new one
  Sha256Digest source_hash{};  // over every file's relative path, size and SHA-256, in order
  uint64_t found = 0;          // ids that have a memory in the source
  uint64_t deleted = 0;        // ids whose last event in the source is a delete
  uint64_t written = 0;        // records added or replaced by this run
  uint64_t converted = 0;      // of these, those that got a dual head too
  uint64_t removed = 0;        // records removed by this run: a grown source deletes them
  uint64_t unchanged = 0;      // were here already
  uint64_t kept_local = 0;     // left alone: written or deleted here, or by a later source
  bool continued = false;      // an earlier run had been interrupted
  // The space's digest if every record that comes from this source had the audit decoder's digest
  // of the source bytes; true at `lsn`. In a dry run without a store: of the source alone.
  Sha256Digest source_digest{};
  Sha256Digest space_digest{};  // as stored, at the same LSN
  // The tiers after the ingest: as stored, or in a dry run as they would be.
  engine::TierDigest tiers[engine::kTierCount];
  Lsn lsn;
  uint64_t bytes_predicted = 0;  // growth of the store
  double seconds_predicted = 0;  // dry run: from decoding a sample
  uint64_t bytes_written = 0;
};

// `store` may be null only in a dry run. `space` names the store's space (node UUIDs depend on it).
// kFailedPrecondition: the source was rewritten since it was ingested, or the store is finalized;
// kFull: the prediction does not fit on the disk; kCancelled: see IngestHooks::cancel.
Result<IngestReport> Ingest(const engine::Environment& environment, engine::Store* store,
                            const Source& source, const SourceSpace& space,
                            const IngestOptions& options, const IngestHooks& hooks);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_INGEST_H_
