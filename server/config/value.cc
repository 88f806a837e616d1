#include "server/config/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/check.h"

namespace engram::server {
namespace {

std::string Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

template <typename T>
bool ParseAll(std::string_view text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string NumberText(double value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc() ? std::string(buffer, end) : "0";
}

Status Expected(const KeyInfo& key, std::string_view text, const std::string& expected) {
  const std::string found = key.secret ? "something else" : "\"" + std::string(text) + "\"";
  return Status::InvalidArgument(
      std::string(key.name) + ": expected " + expected + ", found " + found,
      "docs/configuration.md lists what " + std::string(key.name) + " takes");
}

std::string Bounds(const KeyInfo& key) {
  const std::string unit = key.unit.empty() ? "" : " " + std::string(key.unit);
  const std::string what(KeyTypeName(key.type));
  if (key.max == UINT64_MAX) return what + " of at least " + std::to_string(key.min) + unit;
  return what + " from " + std::to_string(key.min) + " to " + std::to_string(key.max) + unit;
}

Result<std::string> CanonicalBool(const KeyInfo& key, std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  for (const char* yes : {"true", "1", "yes", "on"}) {
    if (lower == yes) return std::string("true");
  }
  for (const char* no : {"false", "0", "no", "off"}) {
    if (lower == no) return std::string("false");
  }
  return Expected(key, text, "true or false");
}

Result<std::string> CanonicalInteger(const KeyInfo& key, std::string_view text) {
  uint64_t value = 0;
  if (!ParseAll(text, &value) || value < key.min || value > key.max) {
    return Expected(key, text, Bounds(key));
  }
  return std::to_string(value);
}

Result<std::string> CanonicalNumber(const KeyInfo& key, std::string_view text) {
  double value = 0;
  if (!ParseAll(text, &value) || !std::isfinite(value) || value < static_cast<double>(key.min) ||
      value > static_cast<double>(key.max)) {
    return Expected(key, text, Bounds(key));
  }
  return NumberText(value);
}

Status CheckText(const KeyInfo& key, std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return Expected(key, "...", "text without control characters");
    }
  }
  if (!key.choices.empty()) {
    const std::string choices = "|" + std::string(key.choices) + "|";
    const bool known = !text.empty() && text.find('|') == std::string_view::npos &&
                       choices.find("|" + std::string(text) + "|") != std::string::npos;
    if (!known) return Expected(key, text, "one of " + std::string(key.choices));
  }
  const std::string expected = key.check == nullptr ? "" : key.check(text);
  return expected.empty() ? Status::Ok() : Expected(key, text, expected);
}

Result<std::string> CanonicalList(const KeyInfo& key, std::string_view text) {
  std::string joined;
  for (const std::string& element : SplitList(text)) {
    ENGRAM_TRY(CheckText(key, element));
    joined += (joined.empty() ? "" : ",") + element;
  }
  return joined;
}

template <typename T>
void AssignInteger(std::string_view text, T* target) {
  uint64_t value = 0;
  ENGRAM_CHECK(ParseAll(text, &value) && value <= static_cast<T>(-1));
  *target = static_cast<T>(value);
}

struct Assign {
  std::string_view text;
  void operator()(std::monostate) const {}
  void operator()(bool* target) const { *target = text == "true"; }
  void operator()(uint16_t* target) const { AssignInteger(text, target); }
  void operator()(uint32_t* target) const { AssignInteger(text, target); }
  void operator()(uint64_t* target) const { AssignInteger(text, target); }
  void operator()(double* target) const { ENGRAM_CHECK(ParseAll(text, target)); }
  void operator()(std::string* target) const { *target = text; }
  void operator()(std::vector<std::string>* target) const { *target = SplitList(text); }
};

struct ToText {
  std::string operator()(std::monostate) const { return ""; }
  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const uint16_t* value) const { return std::to_string(*value); }
  std::string operator()(const uint32_t* value) const { return std::to_string(*value); }
  std::string operator()(const uint64_t* value) const { return std::to_string(*value); }
  std::string operator()(const double* value) const { return NumberText(*value); }
  std::string operator()(const std::string* value) const { return *value; }
  std::string operator()(const std::vector<std::string>* value) const {
    std::string joined;
    for (const std::string& element : *value) joined += (joined.empty() ? "" : ",") + element;
    return joined;
  }
};

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> elements;
  while (true) {
    const size_t comma = text.find(',');
    std::string element = Trimmed(text.substr(0, comma));
    if (!element.empty()) elements.push_back(std::move(element));
    if (comma == std::string_view::npos) return elements;
    text.remove_prefix(comma + 1);
  }
}

Result<std::string> Canonical(const KeyInfo& key, std::string_view text) {
  const std::string trimmed = Trimmed(text);
  switch (key.type) {
    case KeyType::kBool:
      return CanonicalBool(key, trimmed);
    case KeyType::kInteger:
      return CanonicalInteger(key, trimmed);
    case KeyType::kNumber:
      return CanonicalNumber(key, trimmed);
    case KeyType::kTextList:
      return CanonicalList(key, trimmed);
    case KeyType::kText:
      ENGRAM_TRY(CheckText(key, trimmed));
      return trimmed;
    case KeyType::kAny:
      break;
  }
  return trimmed;
}

void Apply(const KeyInfo& key, std::string_view canonical, Config* config) {
  if (key.field != nullptr) std::visit(Assign{canonical}, key.field(*config));
}

std::string Show(const KeyInfo& key, const Config& config) {
  // Fields are reached through a mutable reference; nothing is changed.
  return std::visit(ToText{}, key.field(const_cast<Config&>(config)));
}

std::string DefaultText(const KeyInfo& key) {
  return key.field == nullptr ? "" : Show(key, Config{});
}

std::string TomlLiteral(const KeyInfo& key, std::string_view canonical) {
  switch (key.type) {
    case KeyType::kBool:
    case KeyType::kInteger:
      return std::string(canonical);
    case KeyType::kNumber:
      return std::string(canonical) +
             (canonical.find_first_of(".eE") == std::string_view::npos ? ".0" : "");
    case KeyType::kTextList: {
      std::string list;
      for (const std::string& element : SplitList(canonical)) {
        list += (list.empty() ? "" : ", ") + Quoted(element);
      }
      return "[" + list + "]";
    }
    case KeyType::kText:
    case KeyType::kAny:
      break;
  }
  return Quoted(canonical);
}

}  // namespace engram::server
