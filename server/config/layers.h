// What each source says, before the stronger ones win: files and the environment as layers of
// canonical values.
#ifndef ENGRAM_SERVER_CONFIG_LAYERS_H_
#define ENGRAM_SERVER_CONFIG_LAYERS_H_

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/config/config.h"

namespace engram::server {

struct Value {
  std::string text;  // canonical
  Source source = Source::kDefault;
  std::string origin;
};
using Layer = std::map<std::string, Value>;

// One pass over a file: its good entries, and what is wrong with the others.
struct FileLayer {
  Layer values;
  std::vector<Status> faults;
  std::vector<std::string> notes;
};

// An error only if the file cannot be read; what is wrong inside it is in `faults`. `source` is
// kFile or kRuntime, whose file takes only keys that may change while the server runs.
Result<FileLayer> ReadLayer(const std::string& path, Source source);
// The first of them, with a hint at the others.
Status FirstFault(const std::vector<Status>& faults, const std::string& path);

Result<Layer> EnvironmentLayer(const std::map<std::string, std::string>& environment);
// Variables that are one letter away from a key's name, as notes: refusing them would break on
// variables that are there for something else, silence would hide the slip.
void NoteNearVariables(const std::map<std::string, std::string>& environment,
                       std::vector<std::string>* notes);

// Adds one value given as text. kInvalidArgument names `origin`.
Status AddText(std::string_view name, const std::string& text, Source source,
               const std::string& origin, Layer* layer);

// kNotFound or kInvalidArgument, with the nearest key.
Status UnknownKey(StatusCode code, const std::string& place, const std::string& key);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_LAYERS_H_
