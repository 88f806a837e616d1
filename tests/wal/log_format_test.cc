// The bytes: both queues write the same, today's writer writes what version 1 always was, and the
// golden log stays readable forever.
#include "tests/wal/log_fixture.h"
#include "wal/log_directory.h"

namespace engram::wal {
namespace {

// Two segments, two epochs, groups of several records, a recycled file and a clean shutdown.
void WriteGoldenLog(const std::string& directory, LogIo io) {
  FileSystem& fs = FileSystem::Posix();
  LogOptions options;
  options.io = io;
  options.segment_size_bytes_min = 4 * kPageSizeBytes;
  options.segment_size_bytes_max = 4 * kPageSizeBytes;
  {
    const auto log = OpenLog(fs, directory, options);
    Put(*log, "hello", 1);
    Put(*log, "", 255);
    Put(*log, "released", 3);
  }
  const auto log = OpenLog(fs, directory, options);  // unclean: epoch 2
  Lsn last;
  for (const char* payload : {"a", "bc", "def"}) last = *log->Append(2, AsBytes(payload), {});
  ASSERT_TRUE(log->WaitDurable(last).ok());
  ASSERT_TRUE(log->ReleaseBelow({3}).ok());
  Put(*log, std::string(3000, 'x'), 4);
  Put(*log, std::string(3000, 'y'), 4);
  ASSERT_TRUE(log->CloseClean().ok());
}

std::string GoldenDirectory() {
  return std::string(ENGRAM_SOURCE_DIR) + "/tests/format/golden/log-v1";
}

std::string Contents(const std::string& path) {
  auto contents = ReadFile(FileSystem::Posix(), path, 1u << 20);
  EXPECT_TRUE(contents.ok()) << contents.status().ToString();
  return contents.ok() ? std::move(*contents) : std::string();
}

class LogFormatTest : public ::testing::TestWithParam<LogIo> {};
INSTANTIATE_TEST_SUITE_P(Io, LogFormatTest, ::testing::Values(LogIo::kPwrite, LogIo::kUring),
                         IoName);

TEST_P(LogFormatTest, TodaysWriterWritesTheGoldenBytes) {
  testing::TempDir dir;
  const std::string directory = dir.path() + "/log";
  WriteGoldenLog(directory, GetParam());
  const LogListing listing = *ListLog(FileSystem::Posix(), directory);
  ASSERT_EQ(listing.segments.size(), 2u);
  for (const SegmentFile& segment : listing.segments) {
    const std::string golden = SegmentPath(GoldenDirectory(), segment.number);
    if (getenv("ENGRAM_WRITE_GOLDEN") != nullptr && !Exists(FileSystem::Posix(), golden)) {
      std::filesystem::create_directories(GoldenDirectory());
      std::filesystem::copy_file(segment.path, golden);
    }
    EXPECT_TRUE(Contents(segment.path) == Contents(golden)) << golden;
  }
}

TEST(GoldenLogTest, Version1IsReadable) {
  const Recovered recovered = RecoverAll(FileSystem::Posix(), GoldenDirectory(), 3);
  ASSERT_TRUE(recovered.status.ok()) << recovered.status.ToString();
  EXPECT_TRUE(recovered.result.clean_shutdown);
  EXPECT_EQ(recovered.result.first.value, 4u);
  EXPECT_EQ(recovered.result.last.value, 8u);
  EXPECT_EQ(recovered.result.end.epoch, 2u);
  const std::vector<Found> expected = {{4, 2, "a"},
                                       {5, 2, "bc"},
                                       {6, 2, "def"},
                                       {7, 4, std::string(3000, 'x')},
                                       {8, 4, std::string(3000, 'y')}};
  EXPECT_EQ(recovered.records, expected);
}

TEST(GoldenLogTest, InspectionListsEveryRecordWithItsPlace) {
  std::vector<InspectedRecord> items;
  ASSERT_TRUE(InspectLog(FileSystem::Posix(), GoldenDirectory(), [&](const InspectedRecord& item) {
                items.push_back(item);
                return Status::Ok();
              }).ok());
  ASSERT_EQ(items.size(), 6u);
  EXPECT_EQ(items[0].offset_bytes, kPageSizeBytes + kGroupHeaderSizeBytes);
  EXPECT_EQ(items[1].offset_bytes, items[0].offset_bytes + kRecordHeaderSizeBytes + 1);
  EXPECT_EQ(items[5].record.type, 0) << "the clean-shutdown record";
  for (const InspectedRecord& item : items) {
    EXPECT_EQ(item.damage, "");
    EXPECT_EQ(item.epoch, 2u);
  }
}

TEST(LogFormatTest, ImpossibleRecordsAreDamageEvenWithAGoodChecksum) {
  const auto check = [](std::string body, uint32_t count) {
    GroupHeader header;
    header.body_size_bytes = static_cast<uint32_t>(body.size());
    header.record_count = count;
    SealGroupHeader(&header, AsBytes(body));
    return CheckGroupBody(header, AsBytes(body));
  };
  const std::string record("\x02\0\0\0\x01\0\0\0ab", 10);
  EXPECT_EQ(check(record, 1), "");
  EXPECT_EQ(check(record + record, 2), "");
  EXPECT_NE(check(record, 2), "");
  EXPECT_NE(check(record + "x", 1), "") << "rest is no record header";
  EXPECT_NE(check(std::string("\x03\0\0\0\x01\0\0\0ab", 10), 1), "") << "longer than the body";
  EXPECT_NE(check(std::string("\x02\0\0\0\0\0\0\0ab", 10), 1), "") << "type 0";
  EXPECT_NE(check(std::string("\x02\0\0\0\x01\x01\0\0ab", 10), 1), "") << "not zero";
}

}  // namespace
}  // namespace engram::wal
