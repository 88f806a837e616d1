// INV-5 / INV-LOG-4: for every truncation and every flipped bit the reader yields exactly the
// longest valid prefix and the right class. The expected result comes from the layout of the
// undamaged log alone.
#include "base/crc32c.h"
#include "tests/wal/log_fixture.h"
#include "wal/log_directory.h"

namespace engram::wal {
namespace {

struct PlacedGroup {
  size_t segment = 0;  // index
  uint64_t begin_bytes = 0;
  uint64_t end_bytes = 0;
  uint64_t first_lsn = 0;
  uint64_t last_lsn = 0;  // first - 1 for a clean-shutdown record
};

enum class Class { kUnnoticed, kTorn, kCorrupt };

struct Expectation {
  Class damage = Class::kUnnoticed;
  uint64_t last_lsn = 0;  // what may be delivered
};

// Writes a log of three segments with one- and two-page groups of one to five records.
class LogDamageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto log = OpenLog(fs_, directory(), SmallSegments(LogIo::kPwrite));
    for (int i = 0, more = 1; CountSegments() < 3 || more-- > 0; ++i) {
      Lsn last;
      for (int j = 0; j <= i % 5; ++j) {
        const std::string payload(i % 3 == 1 ? 500 * (j + 1) : 10 * j, static_cast<char>('a' + i));
        last = *log->Append(static_cast<uint8_t>(1 + i), AsBytes(payload), {});
      }
      ASSERT_TRUE(log->WaitDurable(last).ok());
    }
    if (close_clean_) {
      ASSERT_TRUE(log->CloseClean().ok());
    }
    log.reset();
    ReadLayout();
  }

  std::string directory() const { return dir_.path() + "/log"; }
  size_t CountSegments() { return ListLog(fs_, directory())->segments.size(); }

  void ReadLayout() {
    const LogListing listing = *ListLog(fs_, directory());
    for (const SegmentFile& file : listing.segments) {
      paths_.push_back(file.path);
      sizes_.push_back(file.file_size_bytes);
    }
    ASSERT_EQ(paths_.size(), 3u);
    ASSERT_TRUE(InspectLog(fs_, directory(), [this](const InspectedRecord& item) {
                  Place(item);
                  return Status::Ok();
                }).ok());
    const Recovered whole = RecoverAll(fs_, directory());
    ASSERT_TRUE(whole.status.ok());
    records_ = whole.records;
    clean_ = whole.result.clean_shutdown;
  }

  void Place(const InspectedRecord& item) {
    ASSERT_EQ(item.damage, "");
    const size_t segment =
        static_cast<size_t>(std::find(paths_.begin(), paths_.end(), item.file) - paths_.begin());
    const bool marker = item.record.type == 0;
    const uint64_t offset = item.offset_bytes;
    if (marker || offset % kPageSizeBytes == kGroupHeaderSizeBytes) {
      if (groups_.empty() || groups_.back().segment != segment ||
          groups_.back().end_bytes <= offset) {
        groups_.push_back({segment, offset / kPageSizeBytes * kPageSizeBytes, 0,
                           item.record.lsn.value, item.record.lsn.value - 1});
      }
    }
    PlacedGroup& group = groups_.back();
    group.end_bytes = RoundUpToPage(offset + kRecordHeaderSizeBytes + item.record.payload.size());
    if (!marker) group.last_lsn = item.record.lsn.value;
  }

  bool IsLastGroup(const PlacedGroup& group) const { return &group == &groups_.back(); }
  uint64_t LastLsn() const { return records_.size(); }

  uint64_t LastLsnBefore(size_t segment) const {
    uint64_t last = 0;
    for (const PlacedGroup& group : groups_) {
      if (group.segment < segment) last = group.last_lsn;
    }
    return last;
  }

  Expectation ExpectFlip(size_t segment, uint64_t at, uint64_t applied) const {
    if (at < kPageSizeBytes) return {Class::kCorrupt, LastLsnBefore(segment)};
    const bool last_segment = segment + 1 == paths_.size();
    uint64_t end = kPageSizeBytes;
    for (const PlacedGroup& group : groups_) {
      if (group.segment != segment) continue;
      end = group.end_bytes;
      if (at < group.begin_bytes || at >= group.end_bytes) continue;
      const bool proved = !IsLastGroup(group) || applied >= group.first_lsn;
      return {proved ? Class::kCorrupt : Class::kTorn, group.first_lsn - 1};
    }
    // Behind the last group only the next page is looked at, and only at the end of the log.
    if (last_segment && at < end + kPageSizeBytes) return {Class::kTorn, LastLsn()};
    return {Class::kUnnoticed, LastLsn()};
  }

  Expectation ExpectTruncation(size_t segment, uint64_t size, uint64_t applied) const {
    if (size < kPageSizeBytes) return {Class::kCorrupt, LastLsnBefore(segment)};
    const bool last_segment = segment + 1 == paths_.size();
    for (const PlacedGroup& group : groups_) {
      if (group.segment != segment || group.end_bytes <= size) continue;
      const bool proved = !last_segment || applied >= group.first_lsn;
      return {proved ? Class::kCorrupt : Class::kTorn, group.first_lsn - 1};
    }
    return {last_segment ? Class::kTorn : Class::kUnnoticed, LastLsn()};
  }

  void Check(const Expectation& expected, uint64_t applied) {
    const Recovered actual = RecoverAll(fs_, directory(), applied);
    if (expected.damage == Class::kCorrupt) {
      ASSERT_EQ(actual.status.code(), StatusCode::kCorruption) << actual.status.ToString();
      ASSERT_NE(actual.status.message().find(".seg at offset "), std::string::npos);
    } else {
      ASSERT_TRUE(actual.status.ok()) << actual.status.ToString();
      ASSERT_EQ(actual.result.torn, expected.damage == Class::kTorn) << actual.result.detail;
      ASSERT_EQ(actual.result.clean_shutdown, clean_ && !actual.result.torn);
      ASSERT_EQ(actual.result.last.value, expected.last_lsn);
    }
    const uint64_t delivered = actual.records.size();
    ASSERT_EQ(delivered + applied, std::max(expected.last_lsn, applied));
    for (uint64_t i = 0; i < delivered; ++i) ASSERT_EQ(actual.records[i], records_[applied + i]);
  }

  void FlipEverywhere(uint64_t applied) {
    for (size_t segment = 0; segment < paths_.size(); ++segment) {
      auto file = std::move(*fs_.Open(paths_[segment], OpenMode::kReadWrite));
      for (uint64_t at = 0; at < sizes_[segment]; ++at) {
        const uint64_t in_page = at % kPageSizeBytes;
        const bool header = in_page < 88 || in_page >= kPageSizeBytes - 4;
        for (int bit = header ? 0 : static_cast<int>(at % 8); bit < 8; ++bit) {
          Flip(*file, at, bit);
          Check(ExpectFlip(segment, at, applied), applied);
          if (HasFatalFailure()) {
            FAIL() << "segment " << segment << " byte " << at << " bit " << bit;
          }
          Flip(*file, at, bit);
          if (!header) break;
        }
      }
    }
  }

  static void Flip(File& file, uint64_t at, int bit) {
    uint8_t byte = 0;
    ASSERT_TRUE(file.ReadAt(at, {&byte, 1}).ok());
    byte ^= static_cast<uint8_t>(1 << bit);
    ASSERT_TRUE(file.WriteAt(at, {&byte, 1}).ok());
  }

  void TruncateEverywhere(uint64_t applied) {
    for (size_t segment = 0; segment < paths_.size(); ++segment) {
      const std::string saved = *ReadFile(fs_, paths_[segment], 1u << 20);
      auto file = std::move(*fs_.Open(paths_[segment], OpenMode::kReadWrite));
      for (uint64_t size = sizes_[segment]; size-- > 0;) {
        ASSERT_TRUE(file->Truncate(size).ok());
        Check(ExpectTruncation(segment, size, applied), applied);
        if (HasFatalFailure()) FAIL() << "segment " << segment << " truncated to " << size;
      }
      ASSERT_TRUE(file->WriteAt(0, AsBytes(saved)).ok());
    }
  }

  FileSystem& fs_ = FileSystem::Posix();
  testing::TempDir dir_ = testing::TempDir::InMemory();
  bool close_clean_ = false;
  bool clean_ = false;
  std::vector<std::string> paths_;
  std::vector<uint64_t> sizes_;
  std::vector<PlacedGroup> groups_;
  std::vector<Found> records_;
};

TEST_F(LogDamageTest, EveryTruncationYieldsTheLongestValidPrefixAndItsClass) {
  TruncateEverywhere(0);
}
TEST_F(LogDamageTest, EveryFlippedBitYieldsTheLongestValidPrefixAndItsClass) { FlipEverywhere(0); }

TEST_F(LogDamageTest, DamageAtOrBelowTheAppliedLsnIsCorruption) {
  const PlacedGroup& last = groups_.back();
  auto file = std::move(*fs_.Open(paths_[last.segment], OpenMode::kReadWrite));
  Flip(*file, last.begin_bytes + 80, 3);
  Check({Class::kTorn, last.first_lsn - 1}, last.first_lsn - 1);
  Check({Class::kCorrupt, last.first_lsn - 1}, last.first_lsn);
}

TEST_F(LogDamageTest, ALogThatEndsBelowTheAppliedLsnIsCorrupt) {
  const Recovered recovered = RecoverAll(fs_, directory(), LastLsn() + 1);
  EXPECT_EQ(recovered.status.code(), StatusCode::kCorruption) << recovered.status.ToString();
}

TEST_F(LogDamageTest, AMissingSegmentIsCorruption) {
  ASSERT_TRUE(fs_.Unlink(paths_[1]).ok());
  EXPECT_EQ(RecoverAll(fs_, directory()).status.code(), StatusCode::kCorruption);
  ASSERT_TRUE(fs_.Unlink(paths_[0]).ok());
  EXPECT_EQ(RecoverAll(fs_, directory()).status.code(), StatusCode::kCorruption)
      << "the log begins above applied + 1";
}

TEST_F(LogDamageTest, AZeroedGroupBelowAProvedOneIsCorruption) {
  const PlacedGroup& first = groups_.front();
  auto file = std::move(*fs_.Open(paths_[0], OpenMode::kReadWrite));
  const std::string zeros(first.end_bytes - first.begin_bytes, '\0');
  ASSERT_TRUE(file->WriteAt(first.begin_bytes, AsBytes(zeros)).ok());
  Check({Class::kCorrupt, 0}, 0);
}

TEST_F(LogDamageTest, ASegmentOfAnotherStoreIsRefused) {
  RecoverOptions options;
  options.directory = directory();
  options.store_uuid = *Uuid::Parse("00000000-0000-4000-8000-000000000001");
  const auto result = Recover(fs_, options, [](const LogRecord&) { return Status::Ok(); });
  EXPECT_EQ(result.status().code(), StatusCode::kCorruption);
  EXPECT_NE(result.status().message().find("store expected"), std::string::npos);
}

TEST_F(LogDamageTest, AnUnknownVersionIsRefusedAsUnsupported) {
  auto file = std::move(*fs_.Open(paths_[1], OpenMode::kReadWrite));
  SegmentHeaderPage page;
  ASSERT_TRUE(file->ReadAt(0, {reinterpret_cast<uint8_t*>(&page), sizeof page}).ok());
  page.version = 2;
  const Bytes bytes(reinterpret_cast<const uint8_t*>(&page), sizeof page);
  page.checksum = Crc32c(bytes.first(offsetof(SegmentHeaderPage, checksum)));
  ASSERT_TRUE(file->WriteAt(0, bytes).ok());
  EXPECT_EQ(RecoverAll(fs_, directory()).status.code(), StatusCode::kUnsupported);
}

TEST_F(LogDamageTest, SalvageLosesTheDamagedGroupOnlyAndListsIt) {
  for (const PlacedGroup& damaged : groups_) {
    auto file = std::move(*fs_.Open(paths_[damaged.segment], OpenMode::kReadWrite));
    Flip(*file, damaged.begin_bytes + 20, 1);
    const Recovered salvaged = RecoverAll(fs_, directory(), 0, true);
    Flip(*file, damaged.begin_bytes + 20, 1);
    ASSERT_TRUE(salvaged.status.ok()) << salvaged.status.ToString();
    const uint64_t lost = damaged.last_lsn - damaged.first_lsn + 1;
    ASSERT_EQ(salvaged.records.size(), records_.size() - lost);
    for (const Found& record : salvaged.records) {
      ASSERT_EQ(record, records_[record.lsn - 1]);
      ASSERT_FALSE(record.lsn >= damaged.first_lsn && record.lsn <= damaged.last_lsn);
    }
    if (IsLastGroup(damaged)) {
      EXPECT_TRUE(salvaged.result.lost.empty()) << "torn, not corrupt";
      continue;
    }
    ASSERT_EQ(salvaged.result.lost.size(), 1u);
    const LostStretch& stretch = salvaged.result.lost[0];
    EXPECT_EQ(stretch.file, paths_[damaged.segment]);
    EXPECT_EQ(stretch.offset_bytes, damaged.begin_bytes);
    EXPECT_EQ(stretch.length_bytes, damaged.end_bytes - damaged.begin_bytes);
    EXPECT_EQ(stretch.first.value, damaged.first_lsn);
    EXPECT_EQ(stretch.last.value, damaged.last_lsn);
    const std::string& line = stretch.reason;
    EXPECT_NE(line.find("at offset " + std::to_string(damaged.begin_bytes)), line.npos) << line;
    EXPECT_NE(line.find("length " + std::to_string(damaged.end_bytes - damaged.begin_bytes)),
              line.npos)
        << line;
    EXPECT_NE(line.find("LSN " + std::to_string(damaged.first_lsn) + " to " +
                        std::to_string(damaged.last_lsn)),
              line.npos)
        << line;
  }
}

TEST_F(LogDamageTest, SalvageReadsBehindADamagedSegmentHeader) {
  for (size_t segment = 0; segment < paths_.size(); ++segment) {
    auto file = std::move(*fs_.Open(paths_[segment], OpenMode::kReadWrite));
    Flip(*file, 34, 0);
    const Recovered salvaged = RecoverAll(fs_, directory(), 0, true);
    Flip(*file, 34, 0);
    ASSERT_TRUE(salvaged.status.ok()) << salvaged.status.ToString();
    EXPECT_EQ(salvaged.records, records_) << "segment " << segment;
    EXPECT_EQ(salvaged.result.lost.size(), 1u);
  }
}

TEST_F(LogDamageTest, AfterASalvageTheDamagedSegmentsCanBeReleased) {
  auto file = std::move(*fs_.Open(paths_[2], OpenMode::kReadWrite));
  Flip(*file, 34, 0);
  const Recovered salvaged = RecoverAll(fs_, directory(), 0, true);
  ASSERT_TRUE(salvaged.status.ok());
  Log::OpenOptions options;
  options.directory = directory();
  options.store_uuid = TestStore();
  options.recovered = salvaged.result;
  options.log = SmallSegments(LogIo::kPwrite);
  auto log = std::move(*Log::Open(fs_, Logger::Null(), options));
  ASSERT_TRUE(log->ReleaseBelow(salvaged.result.last).ok());
  log.reset();
  const Recovered again = RecoverAll(fs_, directory(), salvaged.result.last.value);
  ASSERT_TRUE(again.status.ok()) << again.status.ToString();
  EXPECT_EQ(again.result.last, salvaged.result.last);
}

TEST_F(LogDamageTest, RecoveringTwiceGivesTheSame) {
  const PlacedGroup& last = groups_.back();
  auto file = std::move(*fs_.Open(paths_[last.segment], OpenMode::kReadWrite));
  Flip(*file, last.end_bytes - 1, 7);
  const Recovered first = RecoverAll(fs_, directory());
  const Recovered second = RecoverAll(fs_, directory());
  EXPECT_EQ(first.records, second.records);
  EXPECT_EQ(first.result.detail, second.result.detail);
  // Opening and closing without a write changes nothing, writing makes the torn rest irrelevant.
  ASSERT_TRUE(OpenLog(fs_, directory(), SmallSegments(LogIo::kPwrite))->CloseClean().ok());
  EXPECT_EQ(RecoverAll(fs_, directory()).result.detail, first.result.detail);
  auto log = OpenLog(fs_, directory(), SmallSegments(LogIo::kPwrite));
  EXPECT_EQ(Put(*log, "after").value, first.result.last.value + 1);
  log.reset();
  const Recovered third = RecoverAll(fs_, directory());
  ASSERT_TRUE(third.status.ok()) << third.status.ToString();
  EXPECT_FALSE(third.result.torn);
  EXPECT_EQ(third.records.size(), first.records.size() + 1);
  EXPECT_EQ(third.result.end.epoch, first.result.end.epoch + 1);
}

class CleanLogDamageTest : public LogDamageTest {
 protected:
  CleanLogDamageTest() { close_clean_ = true; }
};

TEST_F(CleanLogDamageTest, EveryFlippedBitBelowTheCleanShutdownRecordIsCorruption) {
  ASSERT_TRUE(clean_);
  FlipEverywhere(0);
}

// The same sweeps over files that were used before: stale groups stand behind the valid ones.
class RecycledLogDamageTest : public LogDamageTest {
 protected:
  void SetUp() override {
    {
      auto log = OpenLog(fs_, directory(), SmallSegments(LogIo::kPwrite));
      for (int i = 0; i < 40; ++i) {
        Lsn lsn = Put(*log, std::string(1000 + 400 * (i % 8), 'z'));
        ASSERT_TRUE(log->ReleaseBelow(lsn).ok());
      }
      first_ = log->next_lsn().value;
      for (int i = 0; CountSegments() < 3; ++i) Put(*log, std::string(3000, 'n'));
      Put(*log, "last");
    }
    const LogListing listing = *ListLog(fs_, directory());
    recycled_ = 0;
    for (const SegmentFile& file : listing.segments) recycled_ += file.header->recycled;
  }
  uint64_t first_ = 0;
  int recycled_ = 0;
};

TEST_F(RecycledLogDamageTest, NoStaleGroupIsEverRead) {
  ASSERT_GE(recycled_, 1);
  const Recovered recovered = RecoverAll(fs_, directory(), first_ - 1);
  ASSERT_TRUE(recovered.status.ok()) << recovered.status.ToString();
  EXPECT_FALSE(recovered.result.torn) << recovered.result.detail;
  ASSERT_FALSE(recovered.records.empty());
  for (const Found& record : recovered.records)
    EXPECT_EQ(record.payload.find('z'), std::string::npos);
  EXPECT_EQ(recovered.records.back().payload, "last");
}

TEST_F(RecycledLogDamageTest, AFlippedBitOfTheLastGroupIsTornThere) {
  const LogListing listing = *ListLog(fs_, directory());
  const Recovered whole = RecoverAll(fs_, directory(), first_ - 1);
  auto file = std::move(*fs_.Open(listing.segments.back().path, OpenMode::kReadWrite));
  const uint64_t begin = whole.result.end.offset_bytes - kPageSizeBytes;
  for (uint64_t at = begin; at < begin + kPageSizeBytes; ++at) {
    Flip(*file, at, static_cast<int>(at % 8));
    const Recovered damaged = RecoverAll(fs_, directory(), first_ - 1);
    ASSERT_TRUE(damaged.status.ok()) << damaged.status.ToString();
    ASSERT_TRUE(damaged.result.torn) << "byte " << at;
    ASSERT_EQ(damaged.records.size(), whole.records.size() - 1);
    Flip(*file, at, static_cast<int>(at % 8));
  }
}

}  // namespace
}  // namespace engram::wal
