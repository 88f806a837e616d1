// Every key of the server's configuration, where its value came from, and the file that set it.
// Reference: docs/configuration.md, generated from the same table.
#ifndef ENGRAM_SERVER_CONFIG_CONFIG_H_
#define ENGRAM_SERVER_CONFIG_CONFIG_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace engram::server {

// Higher wins (cli.md: command line > environment > set at run time > file).
enum class Source { kDefault, kFile, kRuntime, kEnvironment, kCommandLine };
std::string_view SourceName(Source source);  // "default", "file", "run time", ...

struct Config {
  struct {
    bool dual_memory_types = false;
  } features;
  struct {
    std::string engine = "dual";
    std::string plugin;  // empty: beside the program
    std::string data_root = "./engram-data";
    std::string log_io = "auto";
    uint64_t map_size_bytes = 0;  // 0: 64 TiB / max_open_spaces, at most 1 TiB
    uint32_t max_open_spaces = 256;
  } storage;
  struct {
    std::string http_bind = "127.0.0.1";
    uint16_t http_port = 7432;
    std::string api_key;
    bool insecure = false;
    uint32_t http_threads = 0;
    uint32_t blocking_threads = 64;
    uint32_t connections_max = 4096;
    uint64_t body_size_bytes_max = 2u << 20;
    uint32_t header_deadline_ms = 10'000;
    uint32_t body_deadline_ms = 30'000;
    uint32_t drain_deadline_ms = 4'000;
  } server;
  struct {
    std::string default_space = "default";
    std::vector<std::string> bootstrap_spaces = {"default"};
  } memory_spaces;
  struct {
    bool enabled = true;  // the background migrator drains history while the flag is on
    bool history_scan = true;
    uint64_t rate_limit = 0;  // records/s, 0: none
    uint64_t memory_budget_mb = 512;
    uint32_t batch_size = 1000;
    double p99_budget_percent = 5.0;  // how far the foreground's p99 may rise
    bool paused = false;
  } migration;
  struct {
    std::string level = "info";
    std::string format = "text";  // or "json"
  } logging;
};

// One value with its source. Thread-compatible.
class ConfigSet {
 public:
  struct Inputs {
    std::optional<std::string> file;          // --config or ENGRAM_CONFIG_PATH; must exist
    std::optional<std::string> runtime_file;  // what was set at run time; may not exist
    std::map<std::string, std::string> environment;
    std::vector<std::pair<std::string, std::string>> command_line;  // key, text
  };
  // kInvalidArgument: an unknown key or a bad value, with file and line, or the variable's name.
  static Result<ConfigSet> Load(const Inputs& inputs);
  // All faults of one file, each "file:line: text"; empty if it is good.
  static Result<std::vector<std::string>> Validate(const std::string& file);

  const Config& config() const { return config_; }
  // By dotted key. kNotFound names the keys that are near.
  Result<std::string> Get(std::string_view key) const;
  Result<Source> SourceOf(std::string_view key) const;
  std::vector<std::pair<std::string, std::string>> All()
      const;  // key, value as text; secrets hidden

  // Sets a key at run time and writes it to the run-time file (temp, fsync, rename, fsync of the
  // folder) before it counts. kFailedPrecondition if a higher level fixes it (says which) or the
  // key needs a restart; kInvalidArgument for a bad value.
  Status SetRuntime(std::string_view key, std::string_view value);

 private:
  Config config_;
  std::map<std::string, std::pair<std::string, Source>> values_;
  std::optional<std::string> runtime_file_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_CONFIG_H_
