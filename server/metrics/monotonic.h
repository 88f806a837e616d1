// Makes a total that begins again at 0 (with each opening of a space) one that only rises.
#ifndef ENGRAM_SERVER_METRICS_MONOTONIC_H_
#define ENGRAM_SERVER_METRICS_MONOTONIC_H_

#include <cstdint>

namespace engram::server {

class Monotonic {
 public:
  // `value`: the total now, of a life that is named by `life`.
  uint64_t At(int64_t life, uint64_t value) {
    if (life != life_) {
      before_ += last_;
      life_ = life;
      last_ = 0;
    }
    if (value > last_) last_ = value;
    return total();
  }
  uint64_t total() const { return before_ + last_; }

 private:
  int64_t life_ = 0;
  uint64_t before_ = 0;
  uint64_t last_ = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_MONOTONIC_H_
