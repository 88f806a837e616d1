// Runs upstream_log_gen for a test.
#ifndef ENGRAM_TESTS_TESTING_GENERATED_LOG_H_
#define ENGRAM_TESTS_TESTING_GENERATED_LOG_H_

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "tests/testing/fixture_manifest.h"

namespace engram::testing {

// Writes a source into `directory`; with `manifest` returns its manifest, else null.
inline nlohmann::json GenerateLog(const std::string& directory, const std::string& arguments,
                                  bool manifest = true) {
  std::string manifest_path = directory + ".manifest.json";
  std::string command =
      std::string(ENGRAM_BINARY_DIR) + "/bin/upstream_log_gen --out " + directory + " " + arguments;
  if (manifest) command += " --manifest " + manifest_path;
  ENGRAM_CHECK(std::system(command.c_str()) == 0);
  if (!manifest) return nullptr;
  return nlohmann::json::parse(ReadWholeFile(manifest_path));
}

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_GENERATED_LOG_H_
