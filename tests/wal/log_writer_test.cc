#include <thread>

#include "tests/wal/log_fixture.h"
#include "wal/log_directory.h"

namespace engram::wal {
namespace {

class LogWriterTest : public LogIoTest {};
INSTANTIATE_TEST_SUITE_P(Io, LogWriterTest, ::testing::Values(LogIo::kPwrite, LogIo::kUring),
                         IoName);

TEST_P(LogWriterTest, AnOpenedButUnwrittenLogHasNoFiles) {
  auto log = Open();
  EXPECT_EQ(log->size_bytes(), 0u);
  ASSERT_TRUE(log->CloseClean().ok());
  EXPECT_TRUE(fs().List(directory())->empty());
}

TEST_P(LogWriterTest, WhatWasAcknowledgedIsRecovered) {
  {
    auto log = Open();
    EXPECT_EQ(log->io_name(), GetParam() == LogIo::kUring ? "uring" : "pwrite");
    EXPECT_EQ(log->next_lsn().value, 1u);
    EXPECT_EQ(Put(*log, "one").value, 1u);
    EXPECT_EQ(Put(*log, "").value, 2u);
    EXPECT_EQ(Put(*log, std::string(9000, 'x'), 255).value, 3u);
    EXPECT_EQ(log->durable().value, 3u);
  }
  const Recovered recovered = RecoverAll(fs(), directory());
  ASSERT_TRUE(recovered.status.ok()) << recovered.status.ToString();
  ASSERT_EQ(recovered.records.size(), 3u);
  EXPECT_EQ(recovered.records[0], (Found{1, 7, "one"}));
  EXPECT_EQ(recovered.records[1], (Found{2, 7, ""}));
  EXPECT_EQ(recovered.records[2], (Found{3, 255, std::string(9000, 'x')}));
  EXPECT_FALSE(recovered.result.clean_shutdown);
  EXPECT_FALSE(recovered.result.torn);
}

TEST_P(LogWriterTest, LsnsStayDenseOverFiftyReopensCleanAndUnclean) {
  uint64_t expected = 1;
  for (int i = 0; i < 50; ++i) {
    auto log = Open();
    ASSERT_EQ(log->next_lsn().value, expected);
    for (int j = 0; j < i % 4; ++j) {
      ASSERT_EQ(Put(*log, "r" + std::to_string(j)).value, expected++);
    }
    if (i % 3 != 0) {
      ASSERT_TRUE(log->CloseClean().ok());
    }
  }
  const Recovered recovered = RecoverAll(fs(), directory());
  ASSERT_TRUE(recovered.status.ok()) << recovered.status.ToString();
  ASSERT_EQ(recovered.records.size(), expected - 1);
  for (uint64_t i = 0; i < expected - 1; ++i) ASSERT_EQ(recovered.records[i].lsn, i + 1);
}

TEST_P(LogWriterTest, SixteenThreadsShareFlushes) {
  constexpr int kThreads = 16;
  constexpr int kEach = 40;
  std::mutex owner;
  std::vector<std::string> written(kThreads * kEach + 1);
  {
    auto log = Open();
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          const std::string payload = std::to_string(t) + ":" + std::to_string(i);
          Lsn lsn;
          {
            std::lock_guard lock(owner);
            auto appended = log->Append(1, AsBytes(payload), {});
            ASSERT_TRUE(appended.ok());
            lsn = *appended;
            written[lsn.value] = payload;
          }
          ASSERT_TRUE(log->WaitDurable(lsn).ok());
          ASSERT_GE(log->durable(), lsn);
        }
      });
    }
    for (auto& thread : threads) thread.join();
  }
  const Recovered recovered = RecoverAll(fs(), directory());
  ASSERT_TRUE(recovered.status.ok()) << recovered.status.ToString();
  ASSERT_EQ(recovered.records.size(), written.size() - 1);
  for (const Found& record : recovered.records) EXPECT_EQ(record.payload, written[record.lsn]);
  // Fewer flushes than records: records of one group stand behind one header.
  uint64_t groups = 0;
  ASSERT_TRUE(InspectLog(fs(), directory(), [&](const InspectedRecord& item) {
                groups += item.offset_bytes % kPageSizeBytes == kGroupHeaderSizeBytes;
                return Status::Ok();
              }).ok());
  EXPECT_LT(groups, recovered.records.size() / 2);
}

// Where it would write a segment first: at the beginning, and at the end of each.
TEST_P(LogWriterTest, AnAppendThatMayNotWaitIsBusyAndLeavesNothing) {
  auto log = Open();
  const Log::AppendOptions at_once{.wait = false};
  const std::string payload(kPageSizeBytes / 2, 'p');
  int taken = 0, refused = 0;
  while (refused < 3) {
    const uint64_t next = log->next_lsn().value;
    const auto lsn = log->Append(7, AsBytes(payload), at_once);
    if (lsn.ok()) {
      EXPECT_EQ(lsn->value, next);
      ++taken;
      ASSERT_TRUE(log->WaitDurable(*lsn).ok());
      continue;
    }
    ASSERT_EQ(lsn.status().code(), StatusCode::kBusy) << lsn.status().ToString();
    EXPECT_EQ(log->next_lsn().value, next);
    ++refused;
    EXPECT_EQ(Put(*log, payload).value, next);
  }
  EXPECT_GT(taken, refused);
  log.reset();
  EXPECT_EQ(RecoverAll(fs(), directory()).records.size(), static_cast<size_t>(taken + refused));
}

TEST_P(LogWriterTest, ReleasedSegmentsAreRecycledAndNothingStaleIsRead) {
  auto log = Open();
  for (int i = 0; i < 60; ++i) {
    const Lsn lsn = Put(*log, "payload " + std::to_string(i));
    ASSERT_TRUE(log->ReleaseBelow(lsn).ok());
  }
  const LogListing listing = *ListLog(fs(), directory());
  EXPECT_LE(listing.segments.size(), 2u);
  EXPECT_LE(listing.spares.size(), 2u);
  EXPECT_GT(listing.segments.back().number, 10u);
  EXPECT_TRUE(listing.segments.back().header->recycled);
  log.reset();
  const Recovered recovered = RecoverAll(fs(), directory(), 59);
  ASSERT_TRUE(recovered.status.ok()) << recovered.status.ToString();
  EXPECT_FALSE(recovered.result.torn) << recovered.result.detail;
  ASSERT_EQ(recovered.records.size(), 1u);
  EXPECT_EQ(recovered.records[0].payload, "payload 59");
}

// Pre-writing costs as much as the records: a log whose segments come back needs no larger ones.
TEST_P(LogWriterTest, SegmentsGrowOnlyWhileNothingComesBack) {
  LogOptions sizes = SmallSegments(GetParam());
  sizes.segment_size_bytes_max = 64 * sizes.segment_size_bytes_min;
  const auto newest_size = [&](const std::string& directory, bool releases) {
    auto log = OpenLog(fs(), directory, sizes);
    for (int i = 0; i < 200; ++i) {
      const Lsn lsn = Put(*log, std::string(kPageSizeBytes, 'x'));
      if (releases) {
        EXPECT_TRUE(log->ReleaseBelow(lsn).ok());
      }
    }
    return ListLog(fs(), directory)->segments.back().header->size_bytes;
  };
  EXPECT_LE(newest_size(directory() + "-released", true), 2 * sizes.segment_size_bytes_min);
  EXPECT_GE(newest_size(directory() + "-kept", false), 16 * sizes.segment_size_bytes_min);
}

}  // namespace
}  // namespace engram::wal
