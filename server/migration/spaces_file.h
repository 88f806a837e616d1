// One JSON file about spaces beside what was set at run time: <data_root>/.engram/NAME.
#ifndef ENGRAM_SERVER_MIGRATION_SPACES_FILE_H_
#define ENGRAM_SERVER_MIGRATION_SPACES_FILE_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/file_system.h"
#include "base/result.h"

namespace engram::server {

// {"version": 1, "spaces": <what its owner makes of it>}. One thread at a time.
class SpacesFile {
 public:
  // `data_root` "": there is none and nothing is kept.
  SpacesFile(FileSystem& fs, const std::string& data_root, const std::string& name);
  const std::string& path() const { return path_; }  // "": nothing is kept
  // "spaces". kNotFound: there is no file. kCorruption for one that is none, kUnsupported for
  // another version; both name it and give `hint`.
  Result<nlohmann::json> Read(const std::string& hint) const;
  // Durable on return; nothing changed on an error. REQUIRES: a data root.
  Status Write(const nlohmann::json& spaces) const;
  Status Remove() const;

 private:
  FileSystem* fs_;
  std::string path_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_SPACES_FILE_H_
