#include "bench/raw_log_harness.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

namespace engram::bench {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kChunk = 1u << 20;

double Now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

void Must(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

void WriteAndFlush(int fd, const std::vector<char>& buffer, uint64_t bytes, uint64_t at) {
  Must(pwrite(fd, buffer.data(), bytes, static_cast<off_t>(at)) == static_cast<ssize_t>(bytes),
       "pwrite");
  Must(fdatasync(fd) == 0, "fdatasync");
}

}  // namespace

RawLog::RawLog(const std::string& path, uint64_t size_bytes) : size_bytes_(size_bytes) {
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  Must(fd_ >= 0, "open");
  const std::vector<char> zeros(kChunk);
  for (uint64_t at = 0; at < size_bytes; at += kChunk) {
    const uint64_t n = std::min(kChunk, size_bytes - at);
    Must(pwrite(fd_, zeros.data(), n, static_cast<off_t>(at)) == static_cast<ssize_t>(n), "pwrite");
  }
  Must(fdatasync(fd_) == 0, "fdatasync");
}

RawLog::~RawLog() { close(fd_); }

uint64_t RawLog::Place(uint64_t bytes) {
  bytes = (bytes + kPage - 1) / kPage * kPage;
  if (next_bytes_ + bytes > size_bytes_) next_bytes_ = 0;
  const uint64_t at = next_bytes_;
  next_bytes_ += bytes;
  return at;
}

std::vector<double> RawLog::WriteEach(uint64_t count, uint64_t record_bytes) {
  const std::vector<char> record(record_bytes, 'r');
  std::vector<double> seconds;
  seconds.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = Place(record_bytes);
    const double start = Now();
    WriteAndFlush(fd_, record, record_bytes, at);
    seconds.push_back(Now() - start);
  }
  return seconds;
}

double RawLog::WriteBatches(uint64_t batches, uint64_t batch, uint64_t record_bytes) {
  const std::vector<char> record(record_bytes, 'r');
  std::vector<char> buffer(batch * record_bytes);
  const double start = Now();
  for (uint64_t b = 0; b < batches; ++b) {
    for (uint64_t i = 0; i < batch; ++i) {
      std::memcpy(buffer.data() + i * record_bytes, record.data(), record_bytes);
    }
    WriteAndFlush(fd_, buffer, buffer.size(), Place(buffer.size()));
  }
  return Now() - start;
}

double RawLog::WriteShared(uint32_t threads, uint64_t count, uint64_t record_bytes) {
  std::mutex mutex;
  std::condition_variable written;
  uint64_t issued = 0, durable = 0;
  bool flushing = false;
  std::vector<char> pending, flushed;
  const std::vector<char> record(record_bytes, 'r');
  const auto client = [&] {
    std::unique_lock lock(mutex);
    while (issued < count) {
      const uint64_t mine = ++issued;
      pending.insert(pending.end(), record.begin(), record.end());
      while (durable < mine) {
        if (flushing) {
          written.wait(lock);
          continue;
        }
        flushing = true;
        std::swap(pending, flushed);
        const uint64_t target = issued;
        lock.unlock();
        WriteAndFlush(fd_, flushed, flushed.size(), Place(flushed.size()));
        flushed.clear();
        lock.lock();
        flushing = false;
        durable = target;
        written.notify_all();
      }
    }
  };
  const double start = Now();
  std::vector<std::thread> pool;
  for (uint32_t t = 0; t < threads; ++t) pool.emplace_back(client);
  for (auto& thread : pool) thread.join();
  return Now() - start;
}

double RawLog::ReadAll() {
  std::vector<char> buffer(kChunk);
  const double start = Now();
  uint64_t sum = 0;
  for (uint64_t at = 0; at < size_bytes_; at += kChunk) {
    const ssize_t n = pread(fd_, buffer.data(), kChunk, static_cast<off_t>(at));
    Must(n > 0, "pread");
    for (ssize_t i = 0; i + 8 <= n; i += 8) {
      uint64_t word;
      std::memcpy(&word, buffer.data() + i, sizeof word);
      sum += word;
    }
  }
  [[maybe_unused]] static volatile uint64_t sink;
  sink = sum;
  return Now() - start;
}

}  // namespace engram::bench
