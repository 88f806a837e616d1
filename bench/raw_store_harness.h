// What the same rows cost on plain LMDB and plain files, with the same keys, sizes, flags and
// flushes as the store, and nothing else: no checksums, no digests, no conversion. The other side
// of every ratio in RESULTS.md. Shares no code with the product.
#ifndef ENGRAM_BENCH_RAW_STORE_HARNESS_H_
#define ENGRAM_BENCH_RAW_STORE_HARNESS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

struct MDB_env;

namespace engram::bench {

// Sizes of the rows of one record in bytes; RESULTS.md names those of the store.
struct RawShape {
  uint32_t old_head = 192;
  uint32_t dual_head = 216;
  uint32_t text = 120;
  uint32_t embedding = 3084;
  uint32_t id_key = 12;
  uint32_t id_value = 12;
};

class RawStore {
 public:
  // A new environment in `directory` (removed first): MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOTLS.
  RawStore(const std::string& directory, const RawShape& shape);
  ~RawStore();
  RawStore(const RawStore&) = delete;
  RawStore& operator=(const RawStore&) = delete;

  // All of these return seconds and end with everything on the device.

  // Appends old head, text and embedding rows of `count` records, `batch` per commit, then both id
  // tables sorted; reads `log_path` (if any) sequentially beside it and takes its bytes from there.
  double BulkLoad(uint64_t count, uint64_t batch, const std::string& log_path);
  // Cursor over the old heads, one new head row each in key order, `batch` per commit.
  double RewriteHeads(uint64_t batch);
  // Changes 24 bytes of every head row in place: the pass of storage-engine.md 2.4.
  double UpdateHeadsInPlace(uint64_t batch);
  // Opens the environment anew, so that the file is mapped anew, as by a command; then reads every
  // head, text and embedding row on `threads` threads, SHA-256 over the embedding.
  double ReopenAndHashAll(uint32_t threads);
  // Every record once, by id and in random order, after one BulkLoad: id table, head, text; with
  // `full` the embedding too; all copied out.
  double GetAll(bool full);
  // Two threads: log writes of `batch` records (pwrite + fdatasync on a pre-written file), and the
  // rows applied in commits of `batch`, id tables included. Appends `count` records.
  double LogAndApply(uint64_t count, uint64_t batch, const std::string& log_path);

  uint64_t count() const { return count_; }

 private:
  void Open();

  const std::string directory_;
  MDB_env* env_ = nullptr;
  unsigned tables_[6] = {};
  RawShape shape_;
  uint64_t count_ = 0;
  std::vector<std::pair<std::string, uint64_t>> ids_;  // shuffled
};

// Median seconds of one pwrite of `size_bytes` + fdatasync on a pre-written file.
double RawDurableWriteMedian(const std::string& path, uint64_t size_bytes, uint64_t operations);

}  // namespace engram::bench

#endif  // ENGRAM_BENCH_RAW_STORE_HARNESS_H_
