// INV-6 / INV-LOG-7: the tailer delivers every record once, in order, or says that it cannot before
// it delivers anything behind the gap.
#include <atomic>
#include <thread>

#include "tests/testing/golden.h"
#include "tests/wal/log_fixture.h"
#include "wal/log_directory.h"

namespace engram::wal {
namespace {

constexpr Lsn kEverything{UINT64_MAX};
constexpr uint64_t kNoLimit = UINT64_MAX;

class TailerTest : public LogIoTest {
 protected:
  std::unique_ptr<Tailer> Follow(const TailPosition& position = {}) {
    auto tailer = Tailer::Open(fs(), directory(), position);
    EXPECT_TRUE(tailer.ok()) << tailer.status().ToString();
    return tailer.ok() ? std::move(*tailer) : nullptr;
  }

  // Polls and checks that what comes continues `seen_`.
  Result<uint64_t> Poll(Tailer& tailer, Lsn visible = kEverything, uint64_t max = kNoLimit) {
    return tailer.Poll(visible, max, [this](const LogRecord& record) {
      EXPECT_EQ(record.lsn.value, seen_ + 1);
      EXPECT_EQ(AsView(record.payload), Payload(record.lsn.value));
      seen_ = record.lsn.value;
      return Status::Ok();
    });
  }
  void ExpectPoll(Tailer& tailer, uint64_t delivered, Lsn visible = kEverything,
                  uint64_t max = kNoLimit) {
    const auto polled = Poll(tailer, visible, max);
    ASSERT_TRUE(polled.ok()) << polled.status().ToString();
    EXPECT_EQ(*polled, delivered);
  }

  static std::string Payload(uint64_t lsn) {
    return "record " + std::to_string(lsn) + std::string(lsn * 37 % 5000, 'p');
  }
  void PutNext(Log& log) { Put(log, Payload(log.next_lsn().value)); }
  // Several records in one group.
  void PutGroup(Log& log, int count) {
    Lsn last;
    for (int i = 0; i < count; ++i) {
      last = *log.Append(1, AsBytes(Payload(log.next_lsn().value)), {});
    }
    ASSERT_TRUE(log.WaitDurable(last).ok());
  }

  uint64_t seen_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Io, TailerTest, ::testing::Values(LogIo::kPwrite, LogIo::kUring), IoName);

TEST_P(TailerTest, ALogThatDoesNotExistYetIsFollowedFromItsFirstRecord) {
  auto tailer = Follow();
  ExpectPoll(*tailer, 0);
  auto log = Open();
  ExpectPoll(*tailer, 0);
  PutNext(*log);
  ExpectPoll(*tailer, 1);
  ExpectPoll(*tailer, 0);
}

TEST_P(TailerTest, NothingAboveTheVisibleLsnIsDelivered) {
  auto log = Open();
  PutGroup(*log, 6);
  auto tailer = Follow();
  ExpectPoll(*tailer, 0, Lsn{0});
  ExpectPoll(*tailer, 4, Lsn{4});
  ExpectPoll(*tailer, 0, Lsn{4});
  ExpectPoll(*tailer, 1, kEverything, 1);
  ExpectPoll(*tailer, 1);
}

TEST_P(TailerTest, ThePositionSurvivesRotationAndRestartAtEveryRecord) {
  auto log = Open();
  TailPosition position;
  for (int i = 0; i < 40; ++i) {
    PutGroup(*log, 1 + i % 3);
    if (i % 7 == 3) log = Open();  // unclean: new epoch
    if (i % 7 == 6) {
      ASSERT_TRUE(log->CloseClean().ok());
      log = Open();
    }
    // A new tailer each time, with the stored position, one record at a time.
    while (seen_ < log->durable().value) {
      auto tailer = Follow(position);
      ASSERT_NE(tailer, nullptr);
      ExpectPoll(*tailer, 1, log->durable(), 1);
      const std::string stored = EncodeTailPosition(tailer->position());
      position = *DecodeTailPosition(AsBytes(stored));
    }
  }
  EXPECT_GT(position.segment, 5u);
  EXPECT_GT(position.epoch, 2u);
}

TEST_P(TailerTest, AnLsnAloneIsFoundInTheMiddleOfASegmentAndOfAGroup) {
  auto log = Open();
  for (int i = 0; i < 40; ++i) PutGroup(*log, 3);
  const uint64_t last = log->durable().value;
  for (uint64_t next = 1; next <= last + 1; ++next) {
    TailPosition position;
    position.next = Lsn{next};
    seen_ = next - 1;
    auto tailer = Follow(position);
    EXPECT_EQ(tailer->position().next, position.next);
    ExpectPoll(*tailer, last + 1 - next);
  }
  auto tailer = Follow();
  seen_ = 0;
  ExpectPoll(*tailer, last);
  PutNext(*log);
  ExpectPoll(*tailer, 1);
}

TEST_P(TailerTest, APositionWhoseSegmentWasReleasedAfterItsEndContinues) {
  auto log = Open();
  auto tailer = Follow();
  for (int i = 0; i < 12; ++i) {
    PutNext(*log);
    ExpectPoll(*tailer, 1, log->durable());
    const TailPosition position = tailer->position();
    ASSERT_TRUE(log->ReleaseBelow(log->durable()).ok());
    tailer = Follow(position);
    ASSERT_NE(tailer, nullptr) << i;
  }
}

TEST_P(TailerTest, ARecycledSegmentIsNoticedBeforeAnythingIsDelivered) {
  auto log = Open();
  for (int i = 0; i < 3; ++i) PutNext(*log);
  auto open = Follow();
  ExpectPoll(*open, 2, kEverything, 2);
  const TailPosition stored = open->position();
  for (int i = 0; i < 30; ++i) {
    PutNext(*log);
    ASSERT_TRUE(log->ReleaseBelow(log->durable()).ok());
  }
  EXPECT_EQ(Tailer::Open(fs(), directory(), stored).status().code(),
            StatusCode::kFailedPrecondition);
  // The open one may still read what its file holds, and nothing else: Poll checks the order.
  const auto polled = Poll(*open, log->durable());
  EXPECT_EQ(polled.status().code(), StatusCode::kFailedPrecondition) << polled.status().ToString();
  EXPECT_LE(seen_, 3u);
}

TEST_P(TailerTest, APositionOfAnotherStoreIsRefused) {
  auto log = Open();
  PutNext(*log);
  auto tailer = Follow();
  ExpectPoll(*tailer, 1);
  TailPosition position = tailer->position();
  position.store_uuid.bytes[3] ^= 1;
  EXPECT_EQ(Tailer::Open(fs(), directory(), position).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST_P(TailerTest, AnotherLogWithTheSameNumbersIsNoticedByTheChain) {
  TailPosition position;
  {
    auto log = Open();
    PutNext(*log);
    auto tailer = Follow();
    ExpectPoll(*tailer, 1);
    position = tailer->position();
  }
  // A restored or recreated log: same store, segment, epoch and LSNs, other contents.
  std::filesystem::remove_all(directory());
  auto log = Open();
  Put(*log, "something else");
  Put(*log, Payload(2));
  auto tailer = Tailer::Open(fs(), directory(), position);
  ASSERT_TRUE(tailer.ok());
  EXPECT_FALSE(Poll(**tailer, log->durable()).ok());
  EXPECT_EQ(seen_, 1u);
}

TEST_P(TailerTest, ADamagedGroupBelowTheVisibleLsnIsCorruptionWithFileAndOffset) {
  auto log = Open();
  for (int i = 0; i < 8; ++i) PutNext(*log);
  const std::string path = ListLog(fs(), directory())->segments[0].path;
  auto file = std::move(*fs().Open(path, OpenMode::kReadWrite));
  const uint8_t garbage = 0x5a;
  ASSERT_TRUE(file->WriteAt(kPageSizeBytes + 100, {&garbage, 1}).ok());
  for (const Lsn visible : {log->durable(), kEverything}) {
    auto tailer = Follow();
    const auto polled = Poll(*tailer, visible);
    EXPECT_EQ(polled.status().code(), StatusCode::kCorruption) << polled.status().ToString();
    EXPECT_NE(polled.status().message().find(path + " at offset 4096"), std::string::npos);
    EXPECT_EQ(seen_, 0u);
  }
}

TEST_P(TailerTest, ATornTailIsWaitedForAndPassedAfterTheRestart) {
  auto log = Open();
  PutNext(*log);
  PutNext(*log);
  auto tailer = Follow();
  ExpectPoll(*tailer, 2);
  // What an interrupted write leaves behind.
  const Recovered recovered = RecoverAll(fs(), directory());
  const std::string path = ListLog(fs(), directory())->segments.back().path;
  auto file = std::move(*fs().Open(path, OpenMode::kReadWrite));
  const std::string torn(100, 'E');
  ASSERT_TRUE(file->WriteAt(recovered.result.end.offset_bytes, AsBytes(torn)).ok());
  ExpectPoll(*tailer, 0);
  ExpectPoll(*tailer, 0, Lsn{2});
  log = Open();
  PutNext(*log);
  ExpectPoll(*tailer, 1, log->durable());
}

TEST_P(TailerTest, AFailingVisitorSeesTheRecordAgain) {
  auto log = Open();
  PutGroup(*log, 3);
  auto tailer = Follow();
  int calls = 0;
  const auto polled = tailer->Poll(kEverything, kNoLimit, [&](const LogRecord& record) {
    ++calls;
    return record.lsn.value == 2 ? Status::Busy("later") : Status::Ok();
  });
  EXPECT_EQ(polled.status().code(), StatusCode::kBusy);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(tailer->position().next.value, 2u);
  seen_ = 1;
  ExpectPoll(*tailer, 2);
}

TEST_P(TailerTest, EveryRecordOnceWhileTheLogIsWrittenRotatedAndReleased) {
  auto log = Open();
  constexpr uint64_t kRecords = 200;
  std::atomic<uint64_t> followed{0};
  std::thread writer([&] {
    for (uint64_t i = 1; i <= kRecords; ++i) {
      PutNext(*log);
      // Released only behind the tailer, as its owner holds the log back for it.
      if (i % 3 == 0) {
        ASSERT_TRUE(log->ReleaseBelow({followed}).ok());
      }
    }
  });
  auto tailer = Follow();
  while (seen_ < kRecords) {
    const auto polled = Poll(*tailer, log->durable(), 7);
    ASSERT_TRUE(polled.ok()) << polled.status().ToString();
    followed = seen_;
    if (*polled == 0) std::this_thread::yield();
  }
  writer.join();
}

TEST_P(TailerTest, AnotherProcessFollowsWithoutKnowingWhatIsDurable) {
  auto log = Open();
  constexpr uint64_t kRecords = 150;
  std::thread writer([&] {
    for (uint64_t i = 1; i <= kRecords; ++i) PutNext(*log);
  });
  auto tailer = Follow();
  while (seen_ < kRecords) {
    const auto polled = Poll(*tailer);
    ASSERT_TRUE(polled.ok()) << polled.status().ToString();
    if (*polled == 0) std::this_thread::yield();
  }
  writer.join();
}

TEST(TailPositionTest, ComesBackFromItsStoredForm) {
  const TailPosition position{TestStore(), 3, 9, 81920, {77}, 0xdeadbeef};
  const std::string stored = EncodeTailPosition(position);
  EXPECT_EQ(stored.size(), 60u);
  testing::ExpectGolden("tail-position-1.bin", stored);
  const auto back = DecodeTailPosition(AsBytes(stored));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(EncodeTailPosition(*back), stored);
  EXPECT_EQ(back->next.value, 77u);
}

TEST(TailPositionTest, EveryDamageIsRefusedAndAnotherVersionIsUnsupported) {
  const std::string stored = EncodeTailPosition({TestStore(), 3, 9, 81920, {77}, 0xdeadbeef});
  for (size_t size = 0; size < stored.size(); ++size) {
    EXPECT_FALSE(DecodeTailPosition(AsBytes(std::string_view(stored).substr(0, size))).ok());
  }
  for (size_t bit = 0; bit < stored.size() * 8; ++bit) {
    std::string damaged = stored;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeTailPosition(AsBytes(damaged)).ok()) << bit;
  }
  std::string newer = stored;
  newer[3] = '2';
  EXPECT_EQ(DecodeTailPosition(AsBytes(newer)).status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace engram::wal
