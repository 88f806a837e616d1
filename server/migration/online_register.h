// Which spaces go, or went, the guided way to dual while the flag is off: one small JSON file in
// the data root. How far each has come is its mode, which is in its store.
#ifndef ENGRAM_SERVER_MIGRATION_ONLINE_REGISTER_H_
#define ENGRAM_SERVER_MIGRATION_ONLINE_REGISTER_H_

#include <set>
#include <string>
#include <utility>

#include "base/result.h"
#include "server/migration/spaces_file.h"

namespace engram::server {

// {"version": 1, "spaces": ["a", "b"]} in <data_root>/.engram/online-migration.json. One thread at
// a time.
class OnlineRegister {
 public:
  // `data_root` "": nothing is kept. kCorruption for a file that is none, kUnsupported for another
  // version; both name it.
  static Result<OnlineRegister> Load(FileSystem& fs, const std::string& data_root);
  const std::set<std::string>& spaces() const { return spaces_; }
  // Durable on return; nothing changed on an error. An empty set removes the file.
  Status Set(std::set<std::string> spaces);

 private:
  explicit OnlineRegister(SpacesFile file) : file_(std::move(file)) {}

  SpacesFile file_;
  std::set<std::string> spaces_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_ONLINE_REGISTER_H_
