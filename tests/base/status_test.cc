#include "base/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "base/check.h"
#include "base/result.h"

namespace engram {
namespace {

using ::testing::HasSubstr;

TEST(Status, ErrnoIsMappedToWhatTheCallerCanDo) {
  const std::pair<int, StatusCode> kCases[] = {
      {ENOENT, StatusCode::kNotFound}, {ENOSPC, StatusCode::kFull}, {EDQUOT, StatusCode::kFull},
      {EFBIG, StatusCode::kFull},      {EAGAIN, StatusCode::kBusy}, {EBUSY, StatusCode::kBusy},
      {EACCES, StatusCode::kIo},       {EPERM, StatusCode::kIo},    {EROFS, StatusCode::kIo},
      {EIO, StatusCode::kIo},          {EMFILE, StatusCode::kIo}};
  for (auto [error_number, code] : kCases) {
    Status status = Status::FromErrno(error_number, "write /x/y");
    EXPECT_EQ(status.code(), code) << error_number;
    EXPECT_EQ(status.os_errno(), error_number);
    EXPECT_THAT(status.message(), HasSubstr("write /x/y: "));
  }
  for (int error_number : {ENOENT, ENOSPC, EDQUOT, EACCES, EPERM, EROFS}) {
    EXPECT_NE(Status::FromErrno(error_number, "x").hint(), "") << error_number;
  }
}

// The numbers cross the C ABI.
TEST(Status, CodesAreNeverRenumbered) {
  const char* kNames[] = {
      "OK",          "NOT_FOUND", "INVALID_ARGUMENT",    "FULL",     "BUSY", "CORRUPTION", "IO",
      "UNSUPPORTED", "FATAL",     "FAILED_PRECONDITION", "CANCELLED"};
  for (int32_t code = 0; code < 11; ++code) {
    EXPECT_EQ(StatusCodeName(static_cast<StatusCode>(code)), kNames[code]);
  }
  EXPECT_EQ(StatusCodeName(static_cast<StatusCode>(99)), "UNKNOWN");
}

TEST(Status, FactoriesCarryCodeMessageAndHint) {
  using Factory = Status (*)(std::string, std::string);
  const std::pair<Factory, StatusCode> kCases[] = {
      {&Status::NotFound, StatusCode::kNotFound},
      {&Status::InvalidArgument, StatusCode::kInvalidArgument},
      {&Status::Full, StatusCode::kFull},
      {&Status::Busy, StatusCode::kBusy},
      {&Status::Corruption, StatusCode::kCorruption},
      {&Status::Io, StatusCode::kIo},
      {&Status::Unsupported, StatusCode::kUnsupported},
      {&Status::Fatal, StatusCode::kFatal},
      {&Status::FailedPrecondition, StatusCode::kFailedPrecondition},
      {&Status::Cancelled, StatusCode::kCancelled}};
  for (auto [factory, code] : kCases) {
    Status status = factory("what", "do this");
    EXPECT_EQ(status.code(), code);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(status.message(), "what");
    EXPECT_EQ(status.hint(), "do this");
  }
}

TEST(Status, OkHasNoMessageAndStaysOk) {
  Status ok;
  EXPECT_TRUE(ok.ok());
  EXPECT_EQ(ok.code(), StatusCode::kOk);
  EXPECT_EQ(ok.message(), "");
  EXPECT_EQ(ok.hint(), "");
  EXPECT_EQ(ok.os_errno(), 0);
  EXPECT_EQ(ok.ToString(), "OK");
  EXPECT_TRUE(ok.WithContext("c").ok());
  EXPECT_TRUE(ok.WithHint("h").ok());
}

TEST(Status, CopiesAreIndependentAndContextIsPrepended) {
  Status original = Status::FromErrno(EIO, "read f");
  Status copy = original;
  copy = copy.WithContext("open store").WithHint("look at dmesg");
  EXPECT_THAT(copy.message(), ::testing::StartsWith("open store: read f: "));
  EXPECT_EQ(copy.hint(), "look at dmesg");
  EXPECT_EQ(copy.os_errno(), EIO);
  EXPECT_THAT(original.message(), ::testing::StartsWith("read f: "));
  EXPECT_EQ(original.hint(), "");
  Status& alias = copy;
  copy = alias;
  EXPECT_EQ(copy.code(), StatusCode::kIo);
  EXPECT_THAT(copy.ToString(), ::testing::StartsWith("IO: open store"));
}

Result<int> Half(int x) {
  if (x % 2 != 0) return Status::InvalidArgument("odd");
  return x / 2;
}
Result<int> Quarter(int x) {
  ENGRAM_ASSIGN_OR_RETURN(int half, Half(x));
  return Half(half);
}
Status Check(int x) {
  ENGRAM_TRY(Quarter(x).status());
  return Status::Ok();
}

TEST(Result, MacrosPassErrorsOnAndValuesThrough) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  EXPECT_TRUE(Check(8).ok());
  EXPECT_EQ(Check(3).code(), StatusCode::kInvalidArgument);
}

TEST(Result, MovesOutWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  ASSERT_TRUE(result.ok());
  std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 7);
}

TEST(CheckDeathTest, AFailedInvariantAbortsWithItsText) {
  EXPECT_DEATH(ENGRAM_CHECK(1 + 1 == 3), "invariant violated: 1 \\+ 1 == 3");
  EXPECT_DEATH(IgnoreError(Status(StatusCode::kOk, "no"), "never made"), "invariant violated");
}

}  // namespace
}  // namespace engram
