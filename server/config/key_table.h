// The one table of keys: names, types, bounds, what may change while the server runs, and the text
// of the reference. Everything that reads, checks, shows or documents a key goes through it.
#ifndef ENGRAM_SERVER_CONFIG_KEY_TABLE_H_
#define ENGRAM_SERVER_CONFIG_KEY_TABLE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/config/config.h"

namespace engram::server {

enum class KeyType { kBool, kInteger, kNumber, kText, kTextList, kAny };
std::string_view KeyTypeName(KeyType type);  // "true or false", "a whole number", ...

// When a new value counts.
enum class Change {
  kRestart,  // at the next start
  kReload,   // at SIGHUP, from the files alone
  kRunTime,  // at once, through the admin API; and at SIGHUP
};

using Field = std::variant<std::monostate, bool*, uint16_t*, uint32_t*, uint64_t*, double*,
                           std::string*, std::vector<std::string>*>;

struct KeyInfo {
  std::string_view name;  // "section.key"; "section.*" stands for everything below the section
  KeyType type = KeyType::kAny;
  Change change = Change::kRestart;
  std::string_view text;              // for the reference: one line
  Field (*field)(Config&) = nullptr;  // null: accepted without effect
  uint64_t min = 0;                   // of kInteger and kNumber
  uint64_t max = UINT64_MAX;
  std::string_view unit = "";
  std::string_view choices = "";  // of kText: "a|b|c"
  // Of kText and of each element of kTextList: what was expected, or "" if the text will do.
  std::string (*check)(std::string_view) = nullptr;
  bool secret = false;
};

std::span<const KeyInfo> Keys();  // sorted as the reference lists them
// Null if there is no such key.
const KeyInfo* FindKey(std::string_view name);
// "; did you mean \"x\"?" or "" if nothing is near.
std::string DidYouMean(std::string_view unknown_key);

// ENGRAM_<SECTION>_<KEY>.
std::string EnvironmentName(std::string_view key);
// The variable of a key that is one letter away from `name`; "" if it is one, or none is near.
std::string NearVariable(std::string_view name);
struct EnvironmentAlias {
  std::string_view variable;
  std::string_view key;
};
// Upstream's names, strongest first where two stand for one key. They yield to EnvironmentName().
std::span<const EnvironmentAlias> EnvironmentAliases();

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_KEY_TABLE_H_
