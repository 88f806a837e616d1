#include "server/http/busy_poll.h"

#include <gtest/gtest.h>

namespace engram::server {
namespace {

constexpr uint64_t kUs = 1000;
constexpr uint64_t kLimitNs = 200 * kUs;
constexpr const char kClient[] = "client";

class BusyPollTest : public ::testing::Test {
 protected:
  BusyPollTest() { use_.several_cores = true; }

  // A wait of `wait_ns` that ends with work for a client.
  void WaitAndWork(BusyPoll* poll, uint64_t wait_ns, const char* client = kClient) {
    poll->LooksAgain(now_ns_);
    now_ns_ += wait_ns;
    poll->Works(client, now_ns_);
  }
  // One client has come often enough.
  void WarmUp(BusyPoll* poll) {
    for (uint32_t i = 0; i <= BusyPoll::kInARow; ++i) WaitAndWork(poll, kUs);
  }
  // How long it goes on polling when nothing comes.
  uint64_t PollsForNs(BusyPoll* poll) {
    const uint64_t began_ns = now_ns_;
    while (poll->LooksAgain(now_ns_)) now_ns_ += kUs;
    return now_ns_ - began_ns;
  }

  CoreUse use_;
  uint64_t now_ns_ = 1'000'000'000;
};

TEST_F(BusyPollTest, ItPollsForTheLimitAfterAShortWaitAndThenSleeps) {
  BusyPoll poll(use_, kLimitNs);
  EXPECT_EQ(PollsForNs(&poll), 0u) << "nothing has come yet";
  WarmUp(&poll);
  EXPECT_EQ(PollsForNs(&poll), kLimitNs);
  EXPECT_EQ(PollsForNs(&poll), 0u) << "the same wait";
}

TEST_F(BusyPollTest, AfterAWaitBeyondTheLimitItSleepsAtOnce) {
  BusyPoll poll(use_, kLimitNs);
  WarmUp(&poll);
  WaitAndWork(&poll, kLimitNs);
  EXPECT_EQ(PollsForNs(&poll), 0u);
  WaitAndWork(&poll, kLimitNs - 1);
  EXPECT_EQ(PollsForNs(&poll), kLimitNs);
}

TEST_F(BusyPollTest, OfSeveralClientsNoneIsPolledForOnWhateverLoop) {
  BusyPoll first(use_, kLimitNs), second(use_, kLimitNs);
  WarmUp(&first);
  ASSERT_TRUE(first.LooksAgain(now_ns_));
  WaitAndWork(&second, kUs, "another");
  EXPECT_FALSE(first.LooksAgain(now_ns_));
  for (int i = 0; i < 100; ++i) {
    WaitAndWork(&first, kUs);
    EXPECT_FALSE(first.LooksAgain(now_ns_));
    WaitAndWork(&second, kUs, "another");
    EXPECT_FALSE(second.LooksAgain(now_ns_));
  }
  WarmUp(&first);
  EXPECT_TRUE(first.LooksAgain(now_ns_)) << "the other has gone";
}

TEST_F(BusyPollTest, AClientWhoseRequestsGoToThePoolIsNotPolledFor) {
  BusyPoll poll(use_, kLimitNs);
  WarmUp(&poll);
  poll.HandedOver();
  EXPECT_FALSE(poll.LooksAgain(now_ns_));
  for (int i = 0; i < 100; ++i) {
    WaitAndWork(&poll, kUs);
    EXPECT_FALSE(poll.LooksAgain(now_ns_));
    poll.HandedOver();
  }
  WarmUp(&poll);
  EXPECT_TRUE(poll.LooksAgain(now_ns_)) << "it reads again";
}

TEST_F(BusyPollTest, AClientIsSteadyOnceItsWaitsWereShortForLong) {
  BusyPoll poll(use_, kLimitNs);
  const auto short_waits = [&](uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) WaitAndWork(&poll, kUs);
  };
  for (uint32_t i = 0; i < BusyPoll::kSteady; ++i) {
    EXPECT_FALSE(poll.IsSteady()) << i;
    short_waits(1);
  }
  EXPECT_TRUE(poll.IsSteady());
  short_waits(2 * BusyPoll::kSteady);
  WaitAndWork(&poll, kLimitNs);
  EXPECT_TRUE(poll.IsSteady()) << "one long wait";
  WaitAndWork(&poll, kLimitNs);
  EXPECT_FALSE(poll.IsSteady()) << "and another";
  short_waits(BusyPoll::kSteady);
  EXPECT_TRUE(poll.IsSteady());
  poll.TookLong();
  EXPECT_FALSE(poll.IsSteady());
  short_waits(BusyPoll::kSteady);
  WaitAndWork(&poll, kUs, "another");
  EXPECT_FALSE(poll.IsSteady());
  WaitAndWork(&poll, kUs);
  EXPECT_FALSE(poll.IsSteady()) << "it begins anew";
}

TEST_F(BusyPollTest, OnOneCoreAndWithoutALimitItNeverPolls) {
  BusyPoll off(use_, 0);
  WarmUp(&off);
  EXPECT_EQ(PollsForNs(&off), 0u);
  use_.several_cores = false;
  BusyPoll alone(use_, kLimitNs);
  WarmUp(&alone);
  EXPECT_EQ(PollsForNs(&alone), 0u);
}

}  // namespace
}  // namespace engram::server
