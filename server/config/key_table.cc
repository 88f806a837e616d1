#include "server/config/key_table.h"

#include <arpa/inet.h>

#include <algorithm>
#include <numeric>

#include "base/ids.h"

namespace engram::server {
namespace {

std::string CheckAddress(std::string_view text) {
  unsigned char address[sizeof(in6_addr)];
  const std::string copy(text);
  if (inet_pton(AF_INET, copy.c_str(), address) == 1) return "";
  if (inet_pton(AF_INET6, copy.c_str(), address) == 1) return "";
  return "an IPv4 or IPv6 address without a port, such as 127.0.0.1 or ::1";
}

std::string CheckSpace(std::string_view text) {
  const auto space = SpaceId::Parse(text);
  return space.ok() && space->str() == text ? "" : "a space: 3 to 64 characters of a-z 0-9 - _";
}

std::string CheckNotEmpty(std::string_view text) { return text.empty() ? "a path" : ""; }

std::string CheckApiKey(std::string_view text) {
  const bool visible =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return visible && text.size() <= 512 ? "" : "at most 512 visible ASCII characters without blanks";
}

// The member of a Config behind a key.
#define FIELD(member) [](Config& c) -> Field { return &c.member; }

const KeyInfo kKeys[] = {
    {.name = "features.dual_memory_types",
     .type = KeyType::kBool,
     .change = Change::kRunTime,
     .text = "The flag. On: memories are stored as dual nodes (episodes and concepts), old records "
             "convert when read and in the background. Off: everything is stored and served as "
             "Memory again, what was written while it was on included.",
     .field = FIELD(features.dual_memory_types)},
    {.name = "feature_flags.spreading_api_beta",
     .type = KeyType::kBool,
     .text = "Upstream's switch between hybrid and similarity recall. Kept and shown; recall is by "
             "similarity either way, which is what upstream answers too.",
     .field = FIELD(feature_flags.spreading_api_beta)},

    {.name = "storage.engine",
     .type = KeyType::kText,
     .text = "The storage engine.",
     .field = FIELD(storage.engine),
     .choices = "dual"},
    {.name = "storage.plugin",
     .type = KeyType::kText,
     .text = "The engine's library. Empty: the one that was installed with the program.",
     .field = FIELD(storage.plugin)},
    {.name = "storage.data_root",
     .type = KeyType::kText,
     .text =
         "Folder of the spaces; `~/` is the home of the user. An upstream data directory may be "
         "named: only `<space>/dual/` and `.engram/` are added to it.",
     .field = FIELD(storage.data_root),
     .check = CheckNotEmpty},
    {.name = "storage.log_io",
     .type = KeyType::kText,
     .text = "How the write-ahead log writes. `auto` is `pwrite` (decisions/0008); both are as "
             "durable.",
     .field = FIELD(storage.log_io),
     .choices = "auto|uring|pwrite"},
    {.name = "storage.map_size_bytes",
     .type = KeyType::kInteger,
     .text = "Address space of one space's tables. 0: 64 TiB shared by `max_open_spaces`, at most "
             "1 TiB each.",
     .field = FIELD(storage.map_size_bytes),
     .max = uint64_t{1} << 46,
     .unit = "bytes"},
    {.name = "storage.max_open_spaces",
     .type = KeyType::kInteger,
     .text = "Spaces kept open; beyond it the one idle longest is closed until it is used again.",
     .field = FIELD(storage.max_open_spaces),
     .min = 1,
     .max = 65536},

    {.name = "server.http_bind",
     .type = KeyType::kText,
     .text = "Address to listen on. Beyond the loopback `server.api_key` or `server.insecure` is "
             "needed.",
     .field = FIELD(server.http_bind),
     .check = CheckAddress},
    {.name = "server.http_port",
     .type = KeyType::kInteger,
     .text = "Port to listen on; 0 takes any free one. A port that is taken is an error: no other "
             "is tried.",
     .field = FIELD(server.http_port),
     .max = 65535},
    {.name = "server.api_key",
     .type = KeyType::kText,
     .change = Change::kReload,
     .text = "Every request but the health probes needs `Authorization: Bearer <this>`. Empty: no "
             "key is asked for. The command line sends it to the server.",
     .field = FIELD(server.api_key),
     .check = CheckApiKey,
     .secret = true},
    {.name = "server.insecure",
     .type = KeyType::kBool,
     .text = "Allows an address beyond the loopback without a key: whoever reaches the port may "
             "read, write and stop the server.",
     .field = FIELD(server.insecure)},
    {.name = "server.pid_file",
     .type = KeyType::kText,
     .text = "File that holds `PID:HTTP_PORT` while the server runs. Empty: `engram.pid` in "
             "`$TMPDIR`, else in `/tmp`.",
     .field = FIELD(server.pid_file)},
    {.name = "server.http_threads",
     .type = KeyType::kInteger,
     .text = "Threads of the event loop. 0: one per core.",
     .field = FIELD(server.http_threads),
     .max = 1024},
    {.name = "server.blocking_threads",
     .type = KeyType::kInteger,
     .text = "Threads for requests that wait for a flush or work long. Several writers in flight "
             "are what group commit needs.",
     .field = FIELD(server.blocking_threads),
     .min = 1,
     .max = 4096},
    {.name = "server.connections_max",
     .type = KeyType::kInteger,
     .text = "Open connections; above it the one idle longest is closed.",
     .field = FIELD(server.connections_max),
     .min = 1,
     .max = 1'000'000},
    {.name = "server.body_size_bytes_max",
     .type = KeyType::kInteger,
     .text = "Larger bodies are answered with 413.",
     .field = FIELD(server.body_size_bytes_max),
     .min = 1024,
     .max = uint64_t{1} << 30,
     .unit = "bytes"},
    {.name = "server.header_deadline_ms",
     .type = KeyType::kInteger,
     .text = "Time a client has for the head of a request.",
     .field = FIELD(server.header_deadline_ms),
     .min = 100,
     .max = 3'600'000,
     .unit = "ms"},
    {.name = "server.body_deadline_ms",
     .type = KeyType::kInteger,
     .text = "Time a client has for the body of a request.",
     .field = FIELD(server.body_deadline_ms),
     .min = 100,
     .max = 3'600'000,
     .unit = "ms"},
    {.name = "server.drain_deadline_ms",
     .type = KeyType::kInteger,
     .text = "How long a shutdown waits for requests in flight.",
     .field = FIELD(server.drain_deadline_ms),
     .max = 600'000,
     .unit = "ms"},
    {.name = "server.busy_poll_us",
     .type = KeyType::kInteger,
     .text =
         "While one client alone asks again within this time of its answer, its event loop stays "
         "awake for so long, because waking a sleeping core costs more than a read, and waits "
         "itself for the flush of its write. An idle server sleeps. 0: never, the polling as on a "
         "single core.",
     .field = FIELD(server.busy_poll_us),
     .max = 10'000,
     .unit = "us"},
    {.name = "server.keep_cores_awake",
     .type = KeyType::kBool,
     .text =
         "While the busy poll goes on for one client, the kernel is asked to keep the machine's "
         "idle cores awake (`/dev/cpu_dma_latency`), if the server may write there: mostly as root "
         "alone. It spares the client's core its wake-up, and costs the power of the cores that do "
         "not sleep for so long.",
     .field = FIELD(server.keep_cores_awake)},

    {.name = "security.auth_mode",
     .type = KeyType::kText,
     .text =
         "`api_key` refuses to start without `server.api_key`, so that a lost key never means an "
         "open server. A key that is set is asked for in both modes.",
     .field = FIELD(security.auth_mode),
     .choices = "none|api_key"},

    {.name = "memory_spaces.default_space",
     .type = KeyType::kText,
     .text = "The space of a request that names none.",
     .field = FIELD(memory_spaces.default_space),
     .check = CheckSpace},
    {.name = "memory_spaces.bootstrap_spaces",
     .type = KeyType::kTextList,
     .text = "Spaces that are made at start if they are not there.",
     .field = FIELD(memory_spaces.bootstrap_spaces),
     .check = CheckSpace},

    {.name = "migration.enabled",
     .type = KeyType::kBool,
     .text = "Whether the background migrator works while the flag is on. Off: old records convert "
             "only when they are read or written. To halt it while it runs: `migration.paused`.",
     .field = FIELD(migration.enabled)},
    {.name = "migration.history_scan",
     .type = KeyType::kBool,
     .change = Change::kRunTime,
     .text = "Whether it scans what was there before. Off: it converts only what is written while "
             "it runs.",
     .field = FIELD(migration.history_scan)},
    {.name = "migration.rate_limit",
     .type = KeyType::kInteger,
     .change = Change::kRunTime,
     .text = "Most records it converts in a second. 0: no limit of its own.",
     .field = FIELD(migration.rate_limit),
     .max = 1'000'000'000,
     .unit = "records/s"},
    {.name = "migration.memory_budget_mb",
     .type = KeyType::kInteger,
     .change = Change::kRunTime,
     .text = "Memory for its work in flight.",
     .field = FIELD(migration.memory_budget_mb),
     .min = 1,
     .max = uint64_t{1} << 20,
     .unit = "MiB"},
    {.name = "migration.batch_size",
     .type = KeyType::kInteger,
     .change = Change::kRunTime,
     .text = "Records in one step: one commit, the unit of throttling.",
     .field = FIELD(migration.batch_size),
     .min = 1,
     .max = 1'000'000,
     .unit = "records"},
    {.name = "migration.p99_budget_percent",
     .type = KeyType::kNumber,
     .change = Change::kRunTime,
     .text = "How far the clients' 99th percentile may rise before it backs off.",
     .field = FIELD(migration.p99_budget_percent),
     .max = 1000,
     .unit = "%"},
    {.name = "migration.paused",
     .type = KeyType::kBool,
     .change = Change::kRunTime,
     .text = "Conversion stands still: no reads, no writes of its own. What upstream left comes in "
             "all the same.",
     .field = FIELD(migration.paused)},

    {.name = "logging.level",
     .type = KeyType::kText,
     .change = Change::kReload,
     .text = "What is logged.",
     .field = FIELD(logging.level),
     .choices = "debug|info|warn|error|off"},
    {.name = "logging.format",
     .type = KeyType::kText,
     .text = "Lines for people or one JSON object a line.",
     .field = FIELD(logging.format),
     .choices = "text|json"},

    {.name = "persistence.data_root",
     .type = KeyType::kText,
     .text = "Upstream's name of `storage.data_root`, which wins. Its default "
             "`~/.local/share/engram` is ignored: upstream writes it into every file and keeps its "
             "data in `./engram-data`."},
    {.name = "persistence.hot_capacity",
     .type = KeyType::kInteger,
     .text = "the store has no fixed capacity."},
    {.name = "persistence.warm_capacity",
     .type = KeyType::kInteger,
     .text = "the store has no fixed capacity."},
    {.name = "persistence.cold_capacity",
     .type = KeyType::kInteger,
     .text = "the store has no fixed capacity."},
    {.name = "persistence.flush_interval_sec",
     .type = KeyType::kInteger,
     .text = "a write is durable when it is acknowledged."},
    {.name = "persistence.compression_enabled",
     .type = KeyType::kBool,
     .text = "records are not compressed."},
    {.name = "security.rate_limiting",
     .type = KeyType::kBool,
     .text = "requests are bounded by connections and queues, not per key."},
    {.name = "security.api_keys.backend",
     .type = KeyType::kText,
     .text = "there is one key, `server.api_key`.",
     .choices = "file"},
    {.name = "security.api_keys.storage_path",
     .type = KeyType::kText,
     .text = "upstream's key database is not read; set `server.api_key`."},
    {.name = "security.api_keys.rotation_days",
     .type = KeyType::kInteger,
     .text = "a key is changed in the file, then SIGHUP."},
    {.name = "security.api_keys.warn_before_expiry_days",
     .type = KeyType::kInteger,
     .text = "keys do not expire."},
    {.name = "security.cors.allowed_origins",
     .type = KeyType::kTextList,
     .text = "a foreign origin may read memories, never write or administer."},
    {.name = "security.cors.allowed_methods",
     .type = KeyType::kTextList,
     .text = "a foreign origin may read memories, never write or administer."},
    {.name = "security.cors.max_age_seconds",
     .type = KeyType::kInteger,
     .text = "a foreign origin may read memories, never write or administer."},
    {.name = "server.grpc_port",
     .type = KeyType::kInteger,
     .text = "there is no gRPC listener.",
     .max = 65535},
    {.name = "cluster.*", .text = "this server is a single node and joins no others."},
    {.name = "router.*", .text = "this server is a single node and routes to no others."},
    {.name = "consolidation.*", .text = "upstream's server does not read it either."},
    {.name = "cache.*", .text = "upstream's server does not read it either."},
    {.name = "performance.*", .text = "upstream's server does not read it either."},
};
#undef FIELD

constexpr EnvironmentAlias kAliases[] = {
    {"ENGRAM_DATA_DIR", "storage.data_root"},
    {"ENGRAM_DATA_ROOT", "storage.data_root"},
    {"ENGRAM_HTTP_BIND", "server.http_bind"},
    {"ENGRAM_HTTP_PORT", "server.http_port"},
    {"ENGRAM_GRPC_PORT", "server.grpc_port"},
    {"ENGRAM_PID_PATH", "server.pid_file"},
    {"ENGRAM_MEMORY_SPACE", "memory_spaces.default_space"},
    {"ENGRAM_AUTH_MODE", "security.auth_mode"},
    {"ENGRAM_API_KEY", "server.api_key"},
    {"ENGRAM_API_KEY_PATH", "security.api_keys.storage_path"},
    {"ENGRAM_RATE_LIMIT", "security.rate_limiting"},
};

// Edits (insert, remove, replace) from one to the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

std::string_view LastPart(std::string_view key) { return key.substr(key.rfind('.') + 1); }

}  // namespace

std::string_view KeyTypeName(KeyType type) {
  switch (type) {
    case KeyType::kBool:
      return "true or false";
    case KeyType::kInteger:
      return "a whole number";
    case KeyType::kNumber:
      return "a number";
    case KeyType::kText:
      return "a string";
    case KeyType::kTextList:
      return "a list of strings";
    case KeyType::kAny:
      return "any value";
  }
  return "any value";
}

std::span<const KeyInfo> Keys() { return kKeys; }

const KeyInfo* FindKey(std::string_view name) {
  for (const KeyInfo& key : kKeys) {
    if (key.name == name) return &key;
    const bool section = key.name.ends_with(".*");
    if (section && name.starts_with(key.name.substr(0, key.name.size() - 1))) return &key;
  }
  return nullptr;
}

std::string DidYouMean(std::string_view unknown_key) {
  const KeyInfo* nearest = nullptr;
  size_t nearest_distance = std::max<size_t>(2, unknown_key.size() / 4) + 1;
  for (const KeyInfo& key : kKeys) {
    if (key.name.ends_with('*')) continue;
    size_t distance = EditDistance(unknown_key, key.name);
    // The right name in the wrong section is near, whatever the section is called.
    if (LastPart(unknown_key) == LastPart(key.name)) distance = std::min<size_t>(distance, 1);
    if (key.name.starts_with(unknown_key)) distance = std::min<size_t>(distance, 2);
    if (distance < nearest_distance) {
      nearest = &key;
      nearest_distance = distance;
    }
  }
  return nearest == nullptr ? "" : "; did you mean \"" + std::string(nearest->name) + "\"?";
}

std::string EnvironmentName(std::string_view key) {
  std::string name = "ENGRAM_";
  for (const char c : key) {
    if (c == '.') {
      name += '_';
    } else {
      name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
  }
  return name;
}

std::string NearVariable(std::string_view name) {
  std::string near;
  for (const KeyInfo& key : kKeys) {
    if (key.field == nullptr) continue;
    std::string known = EnvironmentName(key.name);
    const size_t distance = EditDistance(name, known);
    if (distance == 0) return "";
    if (distance == 1) near = std::move(known);
  }
  return near;
}

std::span<const EnvironmentAlias> EnvironmentAliases() { return kAliases; }

}  // namespace engram::server
