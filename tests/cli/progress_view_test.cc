#include "cli/progress_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugin/loader/plugin_loader.h"

namespace engram::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ManualClock final : public Clock {
 public:
  uint64_t MonotonicNs() override { return now_ns; }
  int64_t WallSeconds() override { return 0; }
  uint32_t WallNanos() override { return 0; }
  void SleepNs(uint64_t duration_ns) override { now_ns += duration_ns; }
  uint64_t now_ns = 1;
};

class ProgressViewTest : public ::testing::Test {
 protected:
  void Open(bool terminal) {
    out_ = open_memstream(&text_, &size_);
    view_ = std::make_unique<ProgressView>(out_,
                                           ProgressStyle{.verb = "online migration",
                                                         .batch_size = 1000,
                                                         .memory_budget_mb = 512,
                                                         .rate_limit_per_second = 5000,
                                                         .terminal = terminal},
                                           clock_);
  }
  void TearDown() override {
    if (out_ != nullptr) fclose(out_);
    free(text_);
  }
  engram_se_progress Progress(uint64_t done) const {
    engram_se_progress p{};
    p.struct_size = sizeof p;
    p.space = plugin::ToBytes("production");
    p.phase = plugin::ToBytes("convert");
    p.done = done;
    p.total = 1247832;
    p.rate_per_second = 4832;
    p.eta_seconds = 51;
    p.resident_anon_bytes = uint64_t{387} << 20;
    p.memory_budget_bytes = uint64_t{512} << 20;
    p.checkpoint_time = plugin::ToBytes("2024-01-15T10:45:23Z");
    p.checkpoint_nodes = 1000000;
    return p;
  }
  std::string Text() {
    fflush(out_);
    return std::string(text_, size_);
  }

  ManualClock clock_;
  FILE* out_ = nullptr;
  char* text_ = nullptr;
  size_t size_ = 0;
  std::unique_ptr<ProgressView> view_;
};

std::string WithoutEscapes(std::string text) {
  for (size_t at; (at = text.find("\x1b[")) != std::string::npos;) {
    text.erase(at, text.find_first_of("AK", at) - at + 1);
  }
  return text;
}

TEST_F(ProgressViewTest, TheBlockOnATerminalIsThatOfTheSpecification) {
  Open(true);
  view_->Update(Progress(1001932));
  EXPECT_EQ(WithoutEscapes(Text()),
            "[migration] Starting online migration for space: production\n"
            "[migration] Total nodes: 1,247,832\n"
            "[migration] Batch size: 1,000 | Memory budget: 512 MB | Rate limit: 5,000 nodes/sec\n"
            "[migration]\n"
            "[migration] Phase: convert\n"
            "[migration] Progress: [████████████████----] 80.3% (1,001,932 / 1,247,832)\n"
            "[migration] Rate: 4,832 nodes/sec | ETA: 51 seconds\n"
            "[migration] Memory: 387 MB / 512 MB (75.6%)\n"
            "[migration] Last checkpoint: 2024-01-15T10:45:23Z (1,000,000 nodes)\n");
}

TEST_F(ProgressViewTest, TheBlockIsRedrawnInPlace) {
  Open(true);
  view_->Update(Progress(1));
  view_->Update(Progress(2));
  EXPECT_THAT(Text(), HasSubstr("\x1b[4A"));
}

TEST_F(ProgressViewTest, PlainLinesHoldNoEscapesAndComeOnceASecond) {
  Open(false);
  for (uint64_t done = 1; done <= 50; ++done) {
    view_->Update(Progress(done));
    clock_.now_ns += 100'000'000;
  }
  const std::string text = Text();
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3 + 5);
  EXPECT_THAT(text, HasSubstr("Rate: 4,832 nodes/sec | ETA: 51 seconds | Memory: 387 MB / 512 MB"));
}

TEST_F(ProgressViewTest, TheEndOfAPhaseIsAlwaysTold) {
  Open(false);
  view_->Update(Progress(1));
  view_->Update(Progress(1247832));
  EXPECT_THAT(Text(), HasSubstr("100.0% (1,247,832 / 1,247,832)"));
}

TEST_F(ProgressViewTest, IndexingASourceCountsBytes) {
  Open(false);
  engram_se_progress p = Progress(5 << 20);
  p.phase = plugin::ToBytes("index");
  p.rate_per_second = 3 << 20;
  view_->Update(p);
  EXPECT_THAT(Text(), HasSubstr("bytes | Rate: 3.0 MB/sec"));
  EXPECT_THAT(Text(), Not(HasSubstr("Total nodes")));
}

TEST(ProgressTextTest, HundredPercentIsSaidOnlyWhenItIsDone) {
  EXPECT_THAT(ProgressBar(999999, 1000000), HasSubstr("99.9%"));
  EXPECT_THAT(ProgressBar(1000000, 1000000), HasSubstr("100.0%"));
}

TEST(ProgressTextTest, DurationsReadWell) {
  EXPECT_EQ(DurationText(51), "51 seconds");
  EXPECT_EQ(DurationText(725), "12 min 5 s");
  EXPECT_EQ(DurationText(7260), "2 h 1 min");
}

}  // namespace
}  // namespace engram::cli
