// engram-inspect: what is physically in a source, a log or a store, record by record. Changes
// nothing. A program of its own, because it looks below the plugin boundary.
#ifndef ENGRAM_CLI_INSPECT_INSPECTORS_H_
#define ENGRAM_CLI_INSPECT_INSPECTORS_H_

#include <functional>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/result.h"

namespace engram::cli {

// Where the inspectors put what they find.
struct InspectSink {
  // One thing found: its JSON object (no line end) and the same as one line for people.
  std::function<Status(const std::string& json, const std::string& text)> found;
};

// An upstream data root, a directory of logs or one log file.
Status InspectSourceAt(FileSystem& fs, const std::string& path, const InspectSink& sink);
// A space, its dual/ folder or its log folder.
Status InspectLogAt(FileSystem& fs, const std::string& path, const InspectSink& sink);
// A space or its dual/ folder.
Status InspectStoreAt(FileSystem& fs, const std::string& path, const InspectSink& sink);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_INSPECT_INSPECTORS_H_
