#include "server/api/kept_fields.h"

#include "base/json_text.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::server {
namespace {

using plugin::ToView;

// The characters of a JSON string from `i`, the opening quote, on; false if it is none.
bool SkipString(std::string_view json, size_t* i) {
  if (*i >= json.size() || json[*i] != '"') return false;
  for (++*i; *i < json.size(); ++*i) {
    const auto c = static_cast<unsigned char>(json[*i]);
    if (c == '"') {
      ++*i;
      return true;
    }
    if (c < 0x20) return false;
    if (c != '\\') continue;
    ++*i;
    if (*i >= json.size() || std::string_view("\"\\/bfnrtu").find(json[*i]) == std::string::npos) {
      return false;
    }
    if (json[*i] != 'u') continue;
    for (int k = 0; k < 4; ++k) {
      ++*i;
      constexpr std::string_view kHex = "0123456789abcdefABCDEF";
      if (*i >= json.size() || kHex.find(json[*i]) == std::string_view::npos) return false;
    }
  }
  return false;
}

// Metadata may come from elsewhere: what is no array of texts in the form written here is not
// printed.
bool IsArrayOfTexts(std::string_view json) {
  if (json == "[]") return true;
  if (json.size() < 2 || json.front() != '[' || json.back() != ']') return false;
  size_t i = 1;
  while (SkipString(json, &i)) {
    if (i == json.size() - 1) return true;
    if (json[i] != ',') return false;
    ++i;
  }
  return false;
}

}  // namespace

std::string TagsText(const std::vector<std::string>& tags) {
  std::string out = "[";
  for (const std::string& tag : tags) {
    if (out.size() > 1) out += ',';
    AppendJsonString(tag, &out);
  }
  return out + "]";
}

std::string NumberText(float number) {
  std::string out;
  AppendJsonFloat(number, FloatStyle::kDecimal, &out);
  return out;
}

std::optional<std::string_view> Metadata(const engram_se_memory& memory, std::string_view key) {
  for (uint64_t i = memory.metadata_count; i-- > 0;) {
    if (ToView(memory.metadata[i].key) == key) return ToView(memory.metadata[i].value);
  }
  return std::nullopt;
}

std::string_view TagsJson(const engram_se_memory& memory) {
  const auto tags = Metadata(memory, kTagsKey);
  return tags && IsArrayOfTexts(*tags) ? *tags : "[]";
}

bool HasTag(const engram_se_memory& memory, const std::string& tag) {
  std::string json;
  AppendJsonString(tag, &json);
  const std::string_view tags = TagsJson(memory);
  size_t i = 1;
  for (size_t start = i; SkipString(tags, &i); start = ++i) {
    if (tags.substr(start, i - start) == json) return true;
  }
  return false;
}

std::string_view MemoryType(const engram_se_memory& memory) {
  const auto kept = Metadata(memory, kMemoryTypeKey);
  if (kept && IsMemoryType(*kept)) return *kept;
  return memory.node_type == ENGRAM_SE_NODE_CONCEPT ? "semantic" : "episodic";
}

bool IsMemoryType(std::string_view text) {
  return text == "semantic" || text == "episodic" || text == "procedural";
}

}  // namespace engram::server
