#include "migration/coverage.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "migration/internal/ordered_pool.h"

namespace engram::migration {
namespace {

TEST(CoverageLedger, OverlappingReceiptsAreRefused) {
  CoverageLedger ledger;
  ASSERT_TRUE(ledger.Add({10, 20}).ok());
  for (const KeyRange& bad :
       {KeyRange{10, 20}, KeyRange{20, 30}, KeyRange{1, 10}, KeyRange{12, 13}, KeyRange{1, 99}}) {
    EXPECT_EQ(ledger.Add(bad).code(), StatusCode::kFatal) << bad.first << ".." << bad.last;
  }
  EXPECT_EQ(ledger.Add({5, 4}).code(), StatusCode::kFatal);
  EXPECT_TRUE(ledger.Add({21, 30}).ok());
  EXPECT_TRUE(ledger.Add({1, 9}).ok());
  EXPECT_EQ(ledger.ranges(), (std::vector<KeyRange>{{1, 30}}));
}

TEST(CoverageLedger, AgreesWithASetOfKeysInAnyOrder) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<KeyRange> parts;
    for (uint64_t first = 1; first <= 300;) {
      const uint64_t last = std::min<uint64_t>(300, first + random() % 20);
      parts.push_back({first, last});
      first = last + 1;
    }
    std::shuffle(parts.begin(), parts.end(), random);
    CoverageLedger ledger;
    std::vector<bool> covered(301);
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_FALSE(ledger.Covers({1, 300}));
      ASSERT_TRUE(ledger.Add(parts[i]).ok());
      for (uint64_t k = parts[i].first; k <= parts[i].last; ++k) covered[k] = true;
      std::vector<bool> missing(301);
      for (const KeyRange& gap : ledger.Missing({1, 300})) {
        for (uint64_t k = gap.first; k <= gap.last; ++k) missing[k] = true;
      }
      for (uint64_t k = 1; k <= 300; ++k) ASSERT_NE(covered[k], missing[k]) << "seed " << seed;
      uint64_t contiguous = 0;
      while (contiguous < 300 && covered[contiguous + 1]) ++contiguous;
      ASSERT_EQ(ledger.ContiguousFrom(1), contiguous);
      const auto decoded = CoverageLedger::Decode(AsBytes(ledger.Encode()));
      ASSERT_TRUE(decoded.ok());
      ASSERT_EQ(decoded->ranges(), ledger.ranges());
    }
    EXPECT_TRUE(ledger.Covers({1, 300}));
  }
}

TEST(CoverageLedger, ADamagedRowIsRefused) {
  CoverageLedger ledger;
  ASSERT_TRUE(ledger.Add({1, 5}).ok());
  ASSERT_TRUE(ledger.Add({9, 12}).ok());
  const std::string good = ledger.Encode();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(CoverageLedger::Decode(AsBytes(good.substr(0, size))).ok());
  }
  std::string overlapping = good;
  StoreLe<uint64_t>(overlapping.data() + 4 + 16, 4);
  EXPECT_FALSE(CoverageLedger::Decode(AsBytes(overlapping)).ok());
}

TEST(OrderedPool, ResultsComeInOrderWhateverTheWorkersDo) {
  for (uint32_t workers : {1u, 2u, 7u}) {
    internal::OrderedPool<uint64_t> pool(workers, 500, [](uint32_t, uint64_t unit, uint64_t* out) {
      if (unit % 13 == 0) std::this_thread::yield();
      *out = unit * unit;
      return Status::Ok();
    });
    for (uint64_t unit = 0; unit < 500; ++unit) {
      auto result = pool.Next();
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(**result, unit * unit);
    }
    EXPECT_TRUE(pool.Finish().ok());
  }
}

TEST(OrderedPool, AnErrorReachesTheConsumerOrFinish) {
  const auto fail_at = [](uint64_t bad) {
    return [bad](uint32_t, uint64_t unit, int*) {
      return unit == bad ? Status::Io("worker failed") : Status::Ok();
    };
  };
  internal::OrderedPool<int> taken(2, 10, fail_at(3));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(taken.Next().ok());
  EXPECT_EQ(taken.Next().status().code(), StatusCode::kIo);
  // The consumer leaves before it gets there: the error is not lost.
  internal::OrderedPool<int> left(2, 10, fail_at(1));
  EXPECT_TRUE(left.Next().ok());
  while (left.Finish().ok()) {
    ADD_FAILURE() << "the error of unit 1 was dropped";
    break;
  }
}

TEST(OrderedPool, WorkersDoNotRunFarAhead) {
  std::atomic<uint64_t> begun{0};
  internal::OrderedPool<int> pool(2, 1000, [&](uint32_t, uint64_t, int*) {
    ++begun;
    return Status::Ok();
  });
  ASSERT_TRUE(pool.Next().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LE(begun.load(), 8u);
}

}  // namespace
}  // namespace engram::migration
