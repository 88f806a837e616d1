// What the log's device work costs without a log: plain writes and flushes of a pre-written file,
// and reading a file. The other side of every ratio of wal_bench. Shares no code with the product.
#ifndef ENGRAM_BENCH_RAW_LOG_HARNESS_H_
#define ENGRAM_BENCH_RAW_LOG_HARNESS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace engram::bench {

class RawLog {
 public:
  // A file of `size_bytes`, filled with zeros and flushed. Aborts with errno on any failure.
  RawLog(const std::string& path, uint64_t size_bytes);
  ~RawLog();
  RawLog(const RawLog&) = delete;
  RawLog& operator=(const RawLog&) = delete;

  // pwrite of one record at the next page, fdatasync; seconds of each of `count` such writes.
  std::vector<double> WriteEach(uint64_t count, uint64_t record_bytes);
  // `batch` records copied into one buffer, one pwrite and fdatasync for all; total seconds.
  double WriteBatches(uint64_t batches, uint64_t batch, uint64_t record_bytes);
  // `threads` threads, one record each, leader-follower: total seconds of `count` records.
  double WriteShared(uint32_t threads, uint64_t count, uint64_t record_bytes);
  // Reads the whole file in pieces of 1 MiB and adds its bytes up; seconds.
  double ReadAll();

 private:
  uint64_t Place(uint64_t bytes);  // where the next write of this size goes; wraps around

  int fd_ = -1;
  uint64_t size_bytes_ = 0;
  uint64_t next_bytes_ = 0;
};

}  // namespace engram::bench

#endif  // ENGRAM_BENCH_RAW_LOG_HARNESS_H_
