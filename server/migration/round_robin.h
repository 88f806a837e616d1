// Whose turn it is among named ones: each that can go gets a turn before any gets a second one.
#ifndef ENGRAM_SERVER_MIGRATION_ROUND_ROBIN_H_
#define ENGRAM_SERVER_MIGRATION_ROUND_ROBIN_H_

#include <map>
#include <string>

namespace engram::server {

class RoundRobin {
 public:
  // The first one behind the last turn, in the order of the names and around its end, for which
  // `can_go(value)` holds; end() if there is none.
  template <typename Value, typename CanGo>
  typename std::map<std::string, Value>::iterator Next(std::map<std::string, Value>& all,
                                                       CanGo&& can_go) {
    auto at = all.upper_bound(last_);
    for (size_t i = 0; i < all.size(); ++i, ++at) {
      if (at == all.end()) at = all.begin();
      if (!can_go(at->second)) continue;
      last_ = at->first;
      return at;
    }
    return all.end();
  }

 private:
  std::string last_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_ROUND_ROBIN_H_
