// The log beside the raw writes it cannot be cheaper than. Rows "<what>/ours" and "<what>/raw" of
// one run; records of 3400 bytes. Single puts report the median latency of one durable put.
//   wal_bench --benchmark_repetitions=5 --benchmark_out=wal.json --benchmark_out_format=json
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/check.h"
#include "bench/raw_log_harness.h"
#include "wal/log.h"

namespace engram::bench {
namespace {

using wal::LogIo;

constexpr uint64_t kRecordBytes = 3400;
constexpr uint64_t kRawFileBytes = 64u << 20;
constexpr uint64_t kSingles = 1500;
constexpr uint64_t kBatch = 512;
constexpr uint64_t kBatches = 40;
constexpr uint64_t kShared = 8000;
constexpr uint64_t kRecoveredBytes = 64u << 20;

// $ENGRAM_BENCH_FOLDER, else bench-data: on the device to measure.
std::string Folder() {
  const char* chosen = std::getenv("ENGRAM_BENCH_FOLDER");
  return std::string(chosen ? chosen : "bench-data") + "/wal-bench";
}

std::string FreshDirectory() {
  const std::string path = Folder();
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

double Now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Large segments: what is measured beside the harness is writing, not making files.
wal::LogOptions LargeSegments(LogIo io) {
  wal::LogOptions options;
  options.io = io;
  options.segment_size_bytes_min = options.segment_size_bytes_max = 64u << 20;
  return options;
}

std::unique_ptr<wal::Log> OpenLog(const std::string& directory,
                                  const wal::LogOptions& log_options) {
  wal::Log::OpenOptions options;
  options.directory = directory + "/log";
  options.store_uuid.bytes[0] = 1;
  options.recovered.clean_shutdown = true;
  options.log = log_options;
  auto log = wal::Log::Open(FileSystem::Posix(), Logger::Null(), options);
  ENGRAM_CHECK(log.ok());
  return std::move(*log);
}

Lsn Append(wal::Log& log, const std::string& record) {
  const auto lsn = log.Append(1, AsBytes(record), {});
  ENGRAM_CHECK(lsn.ok());
  return *lsn;
}

// Pre-writes the first segment, so that a rate is that of writing.
void Warm(wal::Log& log) { ENGRAM_CHECK(log.WaitDurable(Append(log, "warm")).ok()); }

void PutSingleOurs(benchmark::State& state, LogIo io) {
  const std::string directory = FreshDirectory();
  auto log = OpenLog(directory, LargeSegments(io));
  const std::string record(kRecordBytes, 'r');
  Warm(*log);
  for (auto _ : state) {
    std::vector<double> seconds;
    for (uint64_t i = 0; i < kSingles; ++i) {
      const double start = Now();
      ENGRAM_CHECK(log->WaitDurable(Append(*log, record)).ok());
      seconds.push_back(Now() - start);
    }
    state.SetIterationTime(Median(seconds));
  }
}

void PutSingleRaw(benchmark::State& state) {
  RawLog raw(FreshDirectory() + "/raw", kRawFileBytes);
  for (auto _ : state) state.SetIterationTime(Median(raw.WriteEach(kSingles, kRecordBytes)));
}

void PutBatchOurs(benchmark::State& state, LogIo io) {
  auto log = OpenLog(FreshDirectory(), LargeSegments(io));
  const std::string record(kRecordBytes, 'r');
  Warm(*log);
  for (auto _ : state) {
    const double start = Now();
    for (uint64_t b = 0; b < kBatches; ++b) {
      Lsn last;
      for (uint64_t i = 0; i < kBatch; ++i) last = Append(*log, record);
      ENGRAM_CHECK(log->WaitDurable(last).ok());
      // As a store does that applies what it acknowledged: segments come back.
      ENGRAM_CHECK(log->ReleaseBelow(last).ok());
    }
    state.SetIterationTime(Now() - start);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBatches * kBatch));
}

void PutBatchRaw(benchmark::State& state) {
  RawLog raw(FreshDirectory() + "/raw", kRawFileBytes);
  for (auto _ : state) state.SetIterationTime(raw.WriteBatches(kBatches, kBatch, kRecordBytes));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBatches * kBatch));
}

void PutSharedOurs(benchmark::State& state, LogIo io, uint32_t client_count) {
  auto log = OpenLog(FreshDirectory(), LargeSegments(io));
  const std::string record(kRecordBytes, 'r');
  Warm(*log);
  for (auto _ : state) {
    std::mutex owner;
    uint64_t issued = 0;
    const double start = Now();
    std::vector<std::thread> clients;
    for (uint32_t t = 0; t < client_count; ++t) {
      clients.emplace_back([&] {
        for (;;) {
          Lsn lsn;
          {
            std::lock_guard lock(owner);
            if (issued++ >= kShared) return;
            lsn = Append(*log, record);
          }
          ENGRAM_CHECK(log->WaitDurable(lsn).ok());
        }
      });
    }
    for (auto& client : clients) client.join();
    state.SetIterationTime(Now() - start);
    ENGRAM_CHECK(log->ReleaseBelow(log->durable()).ok());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kShared));
}

void PutSharedRaw(benchmark::State& state, uint32_t client_count) {
  RawLog raw(FreshDirectory() + "/raw", kRawFileBytes);
  for (auto _ : state) state.SetIterationTime(raw.WriteShared(client_count, kShared, kRecordBytes));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kShared));
}

// Single puts, one group of one page each: the most groups 64 MB can hold.
void RecoverOurs(benchmark::State& state, uint64_t records_per_group) {
  const std::string directory = FreshDirectory();
  {
    auto log = OpenLog(directory, {});
    const std::string record(kRecordBytes, 'r');
    for (uint64_t bytes = 0; bytes < kRecoveredBytes; bytes += records_per_group * kRecordBytes) {
      Lsn last;
      for (uint64_t i = 0; i < records_per_group; ++i) last = Append(*log, record);
      ENGRAM_CHECK(log->WaitDurable(last).ok());
    }
  }
  wal::RecoverOptions options;
  options.directory = directory + "/log";
  options.store_uuid.bytes[0] = 1;
  for (auto _ : state) {
    uint64_t records = 0;
    const double start = Now();
    const auto result = wal::Recover(FileSystem::Posix(), options, [&](const wal::LogRecord&) {
      ++records;
      return Status::Ok();
    });
    state.SetIterationTime(Now() - start);
    ENGRAM_CHECK(result.ok() && records * kRecordBytes >= kRecoveredBytes - 512 * kRecordBytes);
  }
}

void RecoverRaw(benchmark::State& state) {
  RawLog raw(FreshDirectory() + "/raw", kRecoveredBytes);
  for (auto _ : state) state.SetIterationTime(raw.ReadAll());
}

void Register(const std::string& name, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Iterations(1);
}

void RegisterAll() {
  const std::pair<const char*, LogIo> ios[] = {{"pwrite", LogIo::kPwrite},
                                               {"uring", LogIo::kUring}};
  for (const auto& [name, chosen] : ios) {
    const std::string suffix = std::string("_") + name;
    const LogIo io = chosen;
    Register("log_put_single_p50" + suffix + "/ours", [io](auto& s) { PutSingleOurs(s, io); });
    Register("log_put_single_p50" + suffix + "/raw", PutSingleRaw);
    Register("log_put_batch_512" + suffix + "/ours", [io](auto& s) { PutBatchOurs(s, io); });
    Register("log_put_batch_512" + suffix + "/raw", PutBatchRaw);
    for (const uint32_t n : {16u, 64u}) {
      const std::string row = "log_put_" + std::to_string(n) + "_clients" + suffix;
      Register(row + "/ours", [io, n](auto& s) { PutSharedOurs(s, io, n); });
      Register(row + "/raw", [n](auto& s) { PutSharedRaw(s, n); });
    }
  }
  Register("log_recover_64mb_groups_of_512/ours", [](auto& s) { RecoverOurs(s, kBatch); });
  Register("log_recover_64mb_groups_of_512/raw", RecoverRaw);
}

}  // namespace
}  // namespace engram::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  engram::bench::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  std::filesystem::remove_all(engram::bench::Folder());
  return 0;
}
