// What the log tests share: a log in a temporary directory with domain verbs.
#ifndef ENGRAM_TESTS_WAL_LOG_FIXTURE_H_
#define ENGRAM_TESTS_WAL_LOG_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "tests/testing/temp_dir.h"
#include "wal/log.h"
#include "wal/log_format.h"

namespace engram::wal {

inline Uuid TestStore() {
  Uuid uuid;
  for (uint8_t i = 0; i < 16; ++i) uuid.bytes[i] = static_cast<uint8_t>(0xa0 + i);
  return uuid;
}

struct Found {
  uint64_t lsn = 0;
  uint8_t type = 0;
  std::string payload;
  bool operator==(const Found&) const = default;
};

struct Recovered {
  Status status;
  RecoveryResult result;
  std::vector<Found> records;
};

inline Recovered RecoverAll(FileSystem& fs, const std::string& directory, uint64_t applied = 0,
                            bool salvage = false) {
  Recovered out;
  RecoverOptions options;
  options.directory = directory;
  options.store_uuid = TestStore();
  options.applied.value = applied;
  options.salvage = salvage;
  auto result = Recover(fs, options, [&](const LogRecord& record) {
    out.records.push_back({record.lsn.value, record.type, std::string(AsView(record.payload))});
    return Status::Ok();
  });
  out.status = result.status();
  if (result.ok()) out.result = *result;
  return out;
}

inline LogOptions SmallSegments(LogIo io) {
  LogOptions options;
  options.io = io;
  options.segment_size_bytes_min = 5 * kPageSizeBytes;
  options.segment_size_bytes_max = 5 * kPageSizeBytes;
  return options;
}

// Recovers and opens; the recovery must succeed.
inline std::unique_ptr<Log> OpenLog(FileSystem& fs, const std::string& directory,
                                    const LogOptions& log, uint64_t applied = 0) {
  Recovered recovered = RecoverAll(fs, directory, applied);
  EXPECT_TRUE(recovered.status.ok()) << recovered.status.ToString();
  Log::OpenOptions options;
  options.directory = directory;
  options.store_uuid = TestStore();
  options.recovered = recovered.result;
  options.applied.value = applied;
  options.log = log;
  auto opened = Log::Open(fs, Logger::Null(), options);
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  return opened.ok() ? std::move(*opened) : nullptr;
}

// Appends and waits: one group per call when nobody else writes.
inline Lsn Put(Log& log, std::string_view payload, uint8_t type = 7) {
  auto lsn = log.Append(type, AsBytes(payload), {});
  EXPECT_TRUE(lsn.ok()) << lsn.status().ToString();
  if (!lsn.ok()) return {};
  const Status durable = log.WaitDurable(*lsn);
  EXPECT_TRUE(durable.ok()) << durable.ToString();
  return *lsn;
}

// The same tests run on every way of writing.
class LogIoTest : public ::testing::TestWithParam<LogIo> {
 protected:
  std::unique_ptr<Log> Open(uint64_t applied = 0) {
    return OpenLog(fs(), directory(), SmallSegments(GetParam()), applied);
  }
  FileSystem& fs() { return FileSystem::Posix(); }
  std::string directory() const { return dir_.path() + "/log"; }

  testing::TempDir dir_;
};

inline std::string IoName(const ::testing::TestParamInfo<LogIo>& info) {
  return info.param == LogIo::kUring ? "Uring" : "Pwrite";
}

}  // namespace engram::wal

#endif  // ENGRAM_TESTS_WAL_LOG_FIXTURE_H_
