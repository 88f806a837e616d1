// A TOML file as a flat list of dotted keys with their places; and changing one value in it without
// touching the rest.
#ifndef ENGRAM_SERVER_CONFIG_TOML_FILE_H_
#define ENGRAM_SERVER_CONFIG_TOML_FILE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "server/config/key_table.h"

namespace engram::server {

enum class TomlKind { kBool, kInteger, kFloat, kString, kStringList, kEmptyTable, kOther };
std::string_view TomlKindName(TomlKind kind);  // "a string", ...

struct TomlEntry {
  std::string key;  // dotted
  TomlKind kind = TomlKind::kOther;
  std::string text;  // of a list: joined by commas
  uint32_t line = 0;
  uint32_t column = 0;
};

// In the order of the file. kInvalidArgument "path:line:column: why" if it is not TOML; kNotFound
// if it is not there.
Result<std::vector<TomlEntry>> ReadTomlFile(FileSystem& fs, const std::string& path);
Result<std::vector<TomlEntry>> ParseToml(std::string_view text, const std::string& path);

// Checks one entry against the table. The canonical text, or kInvalidArgument "path:line:column:".
Result<std::string> CheckEntry(const KeyInfo& key, const TomlEntry& entry, const std::string& path);

// `text` with `key` set to `literal`: the value is replaced where it stands, else a line is added
// to its section, else the section is added at the end. Comments and order stay. kUnsupported if
// the file is written in a way this cannot edit; `path` is for messages.
Result<std::string> WithValue(std::string_view text, std::string_view key,
                              const std::string& literal, const std::string& path);

// Sections and keys sorted. `literals`: dotted key -> TOML text.
std::string ToTomlText(const std::map<std::string, std::string>& literals);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_TOML_FILE_H_
