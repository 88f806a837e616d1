#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"

namespace engram {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Log, LevelNamesAreParsedAndOthersAreRefusedWithTheChoices) {
  EXPECT_EQ(*ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_EQ(*ParseLogLevel("info"), LogLevel::kInfo);
  EXPECT_EQ(*ParseLogLevel("warn"), LogLevel::kWarning);
  EXPECT_EQ(*ParseLogLevel("error"), LogLevel::kError);
  EXPECT_EQ(*ParseLogLevel("off"), LogLevel::kOff);
  Status status = ParseLogLevel("INFO").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.hint(), HasSubstr("debug, info, warn, error, off"));
}

TEST(Log, OnlyMessagesAtTheLevelAndAboveReachStderr) {
  ::testing::internal::CaptureStderr();
  auto logger = MakeStderrLogger(LogLevel::kWarning);
  logger->Debug("d-message");
  logger->Info("i-message");
  logger->Warning("w-message {}");
  logger->Error("e-message");
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, Not(HasSubstr("i-message")));
  EXPECT_THAT(text, Not(HasSubstr("d-message")));
  EXPECT_THAT(text, HasSubstr("warning w-message {}\n"));
  EXPECT_THAT(text, HasSubstr("error e-message\n"));
}

TEST(Log, OffAndNullDropEverything) {
  ::testing::internal::CaptureStderr();
  MakeStderrLogger(LogLevel::kOff)->Error("x");
  Logger::Null().Error("x");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(Clock, TheSystemClockAdvances) {
  Clock& clock = Clock::System();
  const uint64_t before = clock.MonotonicNs();
  clock.SleepNs(1000000);
  EXPECT_GE(clock.MonotonicNs(), before + 1000000);
  EXPECT_GT(clock.WallSeconds(), 1600000000);
  EXPECT_LT(clock.WallNanos(), 1000000000u);
}

}  // namespace
}  // namespace engram
