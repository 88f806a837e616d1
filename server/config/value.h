// One value as text: checked against its key, put into a Config, and shown again.
#ifndef ENGRAM_SERVER_CONFIG_VALUE_H_
#define ENGRAM_SERVER_CONFIG_VALUE_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/config/key_table.h"

namespace engram::server {

// The canonical form of `text` for the key: "yes" -> "true", " a , b " -> "a,b". kInvalidArgument
// says what was expected; it does not show a secret.
Result<std::string> Canonical(const KeyInfo& key, std::string_view text);

// REQUIRES: `canonical` came from Canonical() of this key.
void Apply(const KeyInfo& key, std::string_view canonical, Config* config);
// The canonical text of what `config` holds. REQUIRES: the key has a field.
std::string Show(const KeyInfo& key, const Config& config);
std::string DefaultText(const KeyInfo& key);

// As TOML writes it: true, 5, "text", ["a", "b"].
std::string TomlLiteral(const KeyInfo& key, std::string_view canonical);

std::vector<std::string> SplitList(std::string_view text);  // by commas, trimmed, without empties

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_VALUE_H_
