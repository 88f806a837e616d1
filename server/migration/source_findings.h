// What did not come in of the logs an upstream server left: damaged stretches and records that
// cannot be decoded, by file and offset. Kept beside what was set at run time, for a source that
// did not change is not read again.
#ifndef ENGRAM_SERVER_MIGRATION_SOURCE_FINDINGS_H_
#define ENGRAM_SERVER_MIGRATION_SOURCE_FINDINGS_H_

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "server/migration/spaces_file.h"

namespace engram::server {

struct SourceFindings {
  // Of those there are only the first are kept; the totals count all.
  static constexpr size_t kPlacesMax = 100;
  struct Place {
    std::string file;  // below the data root
    uint64_t offset = 0;
    uint64_t length = 0;       // of a damaged stretch
    bool quarantined = false;  // intact, but not decodable; else damaged
    std::string what;          // the kind of damage, or why it cannot be decoded
  };
  uint64_t records = 0;  // intact ones
  uint64_t damaged = 0;
  uint64_t damaged_bytes = 0;
  uint64_t quarantined = 0;
  uint64_t other_types = 0;  // of upstream's newer types, which hold no memory
  std::vector<Place> places;

  bool clean() const { return damaged == 0 && quarantined == 0; }
  std::string Summary() const;  // "2 damaged places, 1 record set aside"
};

// Of the report of an ingest of the directory `folder` ("" or "a/wal/") of the data root; nullopt
// if the source was not read because it did not change.
std::optional<SourceFindings> FindingsOf(std::string_view report, const std::string& folder = "");
// The object "source" of a space's status.
nlohmann::json ToJson(const SourceFindings& findings);

// {"version": 1, "spaces": {"a": {...}}} in <data_root>/.engram/upstream-findings.json, of the
// spaces whose source was read. One thread at a time.
class FindingsRegister {
 public:
  // `data_root` "": nothing is kept. What cannot be read or understood counts as nothing known: it
  // is no reason not to serve.
  static FindingsRegister Load(FileSystem& fs, const std::string& data_root);
  const std::map<std::string, SourceFindings>& spaces() const { return spaces_; }
  // Known on return; an error says only that the file does not have it.
  Status Set(const std::string& space, SourceFindings findings);
  // Forgets all but these.
  Status Retain(const std::set<std::string>& spaces);

 private:
  explicit FindingsRegister(SpacesFile file) : file_(std::move(file)) {}
  Status Keep();

  SpacesFile file_;
  std::map<std::string, SourceFindings> spaces_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_SOURCE_FINDINGS_H_
