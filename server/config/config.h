// Every key of the server's configuration, where its value came from, and the file that set it.
// Reference for people: docs/configuration.md. The keys themselves: key_table.h.
#ifndef ENGRAM_SERVER_CONFIG_CONFIG_H_
#define ENGRAM_SERVER_CONFIG_CONFIG_H_

#include <cstdint>
#include <map>
#include <memory>
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
    bool spreading_api_beta = true;  // kept and shown; recall is by similarity either way
  } feature_flags;
  struct {
    std::string engine = "dual";
    std::string plugin;  // empty: the installed one
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
    std::string pid_file;  // empty: engram.pid in the system's temporary folder; see paths.h
    uint32_t http_threads = 0;
    uint32_t blocking_threads = 64;
    uint32_t connections_max = 4096;
    uint64_t body_size_bytes_max = 2u << 20;
    uint32_t header_deadline_ms = 10'000;
    uint32_t body_deadline_ms = 30'000;
    uint32_t drain_deadline_ms = 4'000;
    uint32_t busy_poll_us = 200;  // 0: off
    bool keep_cores_awake = true;
  } server;
  struct {
    std::string auth_mode = "none";  // "api_key": refuses to start without server.api_key
  } security;
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

// What can only be said of all keys together: an address beyond the loopback needs a key or
// `insecure`, auth_mode = "api_key" needs a key. kFailedPrecondition, with what to set.
Status CheckServable(const Config& config);

// The values with their sources. Thread-safe; movable while one thread has it.
class ConfigSet {
 public:
  struct Inputs {
    std::optional<std::string> file;  // --config or ENGRAM_CONFIG_PATH; must exist
    // What was set at run time; may not exist. nullopt: .engram/runtime.toml in the data root;
    // empty: none.
    std::optional<std::string> runtime_file;
    std::map<std::string, std::string> environment;
    std::vector<std::pair<std::string, std::string>> command_line;  // key, text
  };
  // kInvalidArgument: an unknown key or a bad value, with file, line and column, or the variable's
  // name. kNotFound: `file` is not there.
  static Result<ConfigSet> Load(const Inputs& inputs);

  struct FileReport {
    std::vector<std::string> faults;    // "file:line:column: text"; the server would not start
    std::vector<std::string> warnings;  // accepted without effect, or not enough on its own
  };
  // All that is to be said about one file; an error only if it cannot be read.
  static Result<FileReport> Validate(const std::string& file);

  ConfigSet(ConfigSet&&) noexcept;
  ConfigSet& operator=(ConfigSet&&) noexcept;
  ~ConfigSet();

  // As of this moment.
  Config config() const;
  // By dotted key; secrets as they are. kNotFound names the nearest key.
  Result<std::string> Get(std::string_view key) const;
  Result<Source> SourceOf(std::string_view key) const;
  // "the environment variable ENGRAM_HTTP_PORT", "/etc/engram.toml:3:1", ...; "" of a default.
  Result<std::string> OriginOf(std::string_view key) const;
  // Key and value as text, sorted by key; secrets hidden. Accepted keys without effect are listed
  // if something sets them.
  std::vector<std::pair<std::string, std::string>> All() const;
  // What a log should say once: keys accepted without effect, values hidden by a higher level.
  std::vector<std::string> Notes() const;
  const std::string& file() const;          // "" if none was read
  const std::string& runtime_file() const;  // "" if none is kept

  // Sets a key at run time and writes it to the run-time file (temp, fsync, rename, fsync of the
  // folder) before it counts. kFailedPrecondition if a higher level fixes it (says which) or the
  // key needs a restart; kInvalidArgument for a bad value; kNotFound for an unknown key.
  Status SetRuntime(std::string_view key, std::string_view value);
  // Several keys as one change: all of them, or none and the first refusal.
  using Changes = std::vector<std::pair<std::string, std::string>>;  // key, value
  Status SetRuntime(const Changes& changes);

  // Reads the files again (SIGHUP). Keys that may change while the server runs take their new
  // values; the names of those that changed are returned. A changed key that needs a restart keeps
  // its value and is named in Notes(). On an error nothing changes.
  Result<std::vector<std::string>> Reload();

 private:
  struct State;
  explicit ConfigSet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_CONFIG_H_
