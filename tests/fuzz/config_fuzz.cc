// What a person or another program may have left in the configuration, the pid file and a query: a
// value or a refusal that says where.
#include <cstdlib>

#include "base/rfc3339.h"
#include "server/config/pid_file.h"
#include "server/config/toml_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace engram;
  const std::string_view text = AsView({data, size});
  const auto entries = server::ParseToml(text, "engram.toml");
  if (!entries.ok() && entries.status().message().find("engram.toml") == std::string::npos) {
    std::abort();
  }
  const auto changed = server::WithValue(text, "server.http_port", "7433", "engram.toml");
  if (changed.ok() && !server::ParseToml(*changed, "engram.toml").ok()) std::abort();
  const auto record = server::ParsePidRecord(text);
  if (record && record->pid <= 0) std::abort();
  static_cast<void>(ParseTime(text));
  return 0;
}
