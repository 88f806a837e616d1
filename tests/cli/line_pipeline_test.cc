#include "cli/line_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

namespace engram::cli {
namespace {

using ::testing::ElementsAre;

struct Item {
  std::string text;
  uint64_t line = 0;
  uint64_t size_bytes = 0;
};

class LinePipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe(pipe_), 0);
    cancel_ = eventfd(0, EFD_CLOEXEC);
  }
  void TearDown() override {
    close(pipe_[0]);
    if (pipe_[1] >= 0) close(pipe_[1]);
    close(cancel_);
  }
  void Feed(std::string_view text) {
    ASSERT_EQ(write(pipe_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void EndInput() {
    close(pipe_[1]);
    pipe_[1] = -1;
  }
  void Cancel() {
    const uint64_t one = 1;
    ASSERT_EQ(write(cancel_, &one, sizeof one), 8);
  }
  static Result<Item> Parse(uint64_t number, std::string_view line) {
    if (line == "bad") return Status::InvalidArgument("line " + std::to_string(number));
    return Item{std::string(line), number, line.size()};
  }
  Status Run() {
    LinePipeline<Item> pipeline;
    return pipeline.Run(pipe_[0], cancel_, Parse, [&](std::vector<Item>* batch) {
      for (Item& item : *batch) {
        if (item.text == "full") return Status::Full("no room");
        committed_.push_back(std::to_string(item.line) + ":" + item.text);
      }
      return Status::Ok();
    });
  }

  int pipe_[2] = {-1, -1};
  int cancel_ = -1;
  std::vector<std::string> committed_;
};

TEST_F(LinePipelineTest, LinesAreCommittedInOrderAndTheLastNeedsNoEnd) {
  Feed("a\n\n  \nb\nc");
  EndInput();
  EXPECT_TRUE(Run().ok());
  EXPECT_THAT(committed_, ElementsAre("1:a", "4:b", "5:c"));
}

TEST_F(LinePipelineTest, EverythingBeforeABadLineIsCommittedAndNothingBehindIt) {
  Feed("a\nb\nbad\nc\n");
  EndInput();
  const Status status = Run();
  EXPECT_EQ(status.message(), "line 3");
  EXPECT_THAT(committed_, ElementsAre("1:a", "2:b"));
}

TEST_F(LinePipelineTest, AFailedCommitEndsTheRunThoughTheInputGoesOn) {
  Feed("a\nfull\nb\n");  // and never ends
  EXPECT_EQ(Run().code(), StatusCode::kFull);
  EXPECT_THAT(committed_, ElementsAre("1:a"));
}

TEST_F(LinePipelineTest, ACommitDoesNotWaitForMoreInput) {
  std::atomic<int> seen = 0;
  std::thread runner([&] {
    LinePipeline<Item> pipeline;
    IgnoreError(pipeline.Run(pipe_[0], cancel_, Parse,
                             [&](std::vector<Item>* batch) {
                               seen += static_cast<int>(batch->size());
                               return Status::Ok();
                             }),
                "the count is the test");
  });
  Feed("one\nhalf of t");
  while (seen < 1) std::this_thread::yield();  // hangs when a commit waits
  Feed("wo\n");
  while (seen < 2) std::this_thread::yield();
  EndInput();
  runner.join();
  EXPECT_EQ(seen, 2);
}

TEST_F(LinePipelineTest, ACancelEndsTheRunAsTheEndOfInputWould) {
  Cancel();
  EXPECT_TRUE(Run().ok());
  EXPECT_THAT(committed_, ElementsAre());
}

TEST_F(LinePipelineTest, ManyLinesArriveCompleteThroughTheBoundedQueue) {
  std::thread feeder([&] {
    for (int i = 0; i < 20000; ++i) Feed("line " + std::to_string(i) + "\n");
    EndInput();
  });
  EXPECT_TRUE(Run().ok());
  feeder.join();
  ASSERT_EQ(committed_.size(), 20000u);
  EXPECT_EQ(committed_.back(), "20000:line 19999");
}

}  // namespace
}  // namespace engram::cli
