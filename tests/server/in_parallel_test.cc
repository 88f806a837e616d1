#include "server/graph/in_parallel.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <latch>
#include <vector>

namespace engram::server {
namespace {

// While it lives no thread can be made: its stack finds no room.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    pthread_attr_init(&attributes_);
    pthread_attr_getstacksize(&attributes_, &usual_);
    Set(size_t{1} << 47);
  }
  ~NoMoreThreads() {
    Set(usual_);
    pthread_attr_destroy(&attributes_);
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;

 private:
  void Set(size_t stack_size_bytes) {
    ASSERT_EQ(pthread_attr_setstacksize(&attributes_, stack_size_bytes), 0);
    ASSERT_EQ(pthread_setattr_default_np(&attributes_), 0);
  }
  pthread_attr_t attributes_;
  size_t usual_ = 0;
};

void ExpectEachIsDoneOnce(size_t count) {
  std::vector<std::atomic<int>> calls(count);
  InParallel(count, [&](size_t index) { calls[index].fetch_add(1); });
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(calls[i], 1) << i;
}

TEST(InParallelTest, EachIsDoneOnceWhenItReturns) {
  for (const size_t count : {0, 1, 2, 15, 16, 17, 300}) ExpectEachIsDoneOnce(count);
}

TEST(InParallelTest, SixteenAreInHandAtATime) {
  std::latch all{16};
  InParallel(16, [&](size_t) { all.arrive_and_wait(); });  // else it would wait for ever
}

TEST(InParallelTest, WithoutAnyMoreThreadsItIsDoneAllTheSame) {
  NoMoreThreads none;
  ExpectEachIsDoneOnce(300);
}

}  // namespace
}  // namespace engram::server
