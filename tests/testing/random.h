// Seeded random numbers: the same seed gives the same run on every machine.
#ifndef ENGRAM_TESTS_TESTING_RANDOM_H_
#define ENGRAM_TESTS_TESTING_RANDOM_H_

#include <cstdint>
#include <random>

namespace engram::testing {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t Next() { return engine_(); }
  // Uniform in [0, bound). REQUIRES: bound > 0
  uint64_t Below(uint64_t bound) { return engine_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  bool Percent(uint64_t percent) { return Below(100) < percent; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_RANDOM_H_
