#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

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

TEST(Log, AJsonLineIsOneObjectWhateverTheTextHolds) {
  ::testing::internal::CaptureStderr();
  MakeStderrLogger(LogLevel::kInfo, LogFormat::kJson)
      ->Write(LogLevel::kWarning, "a \"b\"\nc",
              {{"id", std::string_view("x\ny")}, {"count", uint64_t{7}}, {"word", "plain"}});
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr(R"("level":"warning","message":"a \"b\"\nc","id":"x\ny",)"
                              R"("count":7,"word":"plain"})"
                              "\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.find("{\"time\":\"20"), 0u);
}

TEST(Log, ATextLineIsOneLineWhateverTheTextHolds) {
  ::testing::internal::CaptureStderr();
  MakeStderrLogger(LogLevel::kInfo)
      ->Write(LogLevel::kInfo, "first\nsecond\x1b[2J",
              {{"id", std::string_view("a b\n")}, {"plain", "word"}, {"none", ""}});
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr(R"(info first second [2J id="a b\n" plain=word none="")"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(Log, ALoggerWithoutFieldsOfItsOwnGetsThemAsText) {
  class Lines final : public Logger {
   public:
    using Logger::Write;
    void Write(LogLevel, std::string_view message) override { last = message; }
    std::string last;
  } lines;
  lines.Write(LogLevel::kInfo, "done", {{"records", uint64_t{3}}});
  EXPECT_EQ(lines.last, "done records=3");
}

TEST(Log, TheLevelChangesWhileTheLoggerIsUsed) {
  ::testing::internal::CaptureStderr();
  auto logger = MakeStderrLogger(LogLevel::kError);
  EXPECT_FALSE(logger->Enabled(LogLevel::kInfo));
  logger->Info("before");
  logger->SetLevel(LogLevel::kInfo);
  EXPECT_TRUE(logger->Enabled(LogLevel::kInfo));
  logger->Info("after");
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, Not(HasSubstr("before")));
  EXPECT_THAT(text, HasSubstr("info after\n"));
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
