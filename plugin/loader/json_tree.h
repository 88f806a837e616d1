// A JSON text as a tree that keeps the order of keys, with one shortcut: the numbers of the
// top-level array `embedding` go straight into floats. Every fraction is rounded once, to f32.
#ifndef ENGRAM_PLUGIN_LOADER_JSON_TREE_H_
#define ENGRAM_PLUGIN_LOADER_JSON_TREE_H_

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace engram::plugin {

using JsonTree = nlohmann::ordered_json;

struct ParsedLine {
  JsonTree tree;  // "embedding" is `true` when it was an array
  std::vector<float> embedding;
};

// kInvalidArgument says where the text stops being JSON, or which number is beyond f32.
Result<ParsedLine> ParseJsonLine(std::string_view text);

// The float of a JSON value: a number, 8 hex digits, "NaN", "Infinity" or "-Infinity".
Result<float> ToFloat(const JsonTree& value);
Result<float> FloatFromText(std::string_view text);

std::string_view TypeName(const JsonTree& value);  // "a number", "null", ...

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_LOADER_JSON_TREE_H_
