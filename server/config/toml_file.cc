#include "server/config/toml_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "server/config/value.h"

namespace engram::server {
namespace {

constexpr uint64_t kFileSizeBytesMax = 1 << 20;

std::string Place(const std::string& path, uint32_t line, uint32_t column) {
  return path + ":" + std::to_string(line) + ":" + std::to_string(column);
}

bool IsBareKey(std::string_view part) {
  return !part.empty() && part.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                              std::string_view::npos;
}

// A quoted part stays quoted, so that "a.b" is never taken for b of section a.
std::string Dotted(const std::string& prefix, std::string_view part) {
  const std::string shown = IsBareKey(part) ? std::string(part) : "\"" + std::string(part) + "\"";
  return prefix.empty() ? shown : prefix + "." + shown;
}

Result<toml::table> Parse(std::string_view text, const std::string& path) {
  try {
    return toml::parse(text, std::string_view(path));
  } catch (const toml::parse_error& error) {
    const auto& begin = error.source().begin;
    return Status::InvalidArgument(
        Place(path, begin.line, begin.column) + ": " + std::string(error.description()),
        "correct the file; it is TOML: [section], then key = value lines");
  }
}

// The elements joined, or nullopt if they are not all strings a list of names can hold.
std::optional<std::string> JoinedStrings(const toml::array& array) {
  std::string joined;
  for (const toml::node& element : array) {
    const auto* text = element.as_string();
    if (text == nullptr || text->get().find(',') != std::string::npos) return std::nullopt;
    joined += (joined.empty() ? "" : ",") + text->get();
  }
  return joined;
}

TomlEntry EntryOf(const std::string& key, const toml::node& node) {
  const auto& begin = node.source().begin;
  TomlEntry entry{.key = key, .text = "", .line = begin.line, .column = begin.column};
  if (const auto* boolean = node.as_boolean()) {
    entry.kind = TomlKind::kBool;
    entry.text = boolean->get() ? "true" : "false";
  } else if (const auto* integer = node.as_integer()) {
    entry.kind = TomlKind::kInteger;
    entry.text = std::to_string(integer->get());
  } else if (const auto* number = node.as_floating_point()) {
    entry.kind = TomlKind::kFloat;
    char buffer[64];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number->get());
    if (error == std::errc()) entry.text.assign(buffer, end);
  } else if (const auto* text = node.as_string()) {
    entry.kind = TomlKind::kString;
    entry.text = text->get();
  } else if (const auto* array = node.as_array()) {
    const auto joined = JoinedStrings(*array);
    if (joined) entry.kind = TomlKind::kStringList;
    entry.text = joined.value_or("");
  }
  return entry;
}

void Flatten(const toml::table& table, const std::string& prefix, std::vector<TomlEntry>* out) {
  for (const auto& [key, node] : table) {
    const std::string name = Dotted(prefix, key.str());
    const auto* inner = node.as_table();
    if (inner != nullptr && !inner->empty()) {
      Flatten(*inner, name, out);
      continue;
    }
    TomlEntry entry = EntryOf(name, node);
    // The place of the key is where a reader looks first.
    if (key.source().begin) {
      entry.line = key.source().begin.line;
      entry.column = key.source().begin.column;
    }
    if (inner != nullptr) entry.kind = TomlKind::kEmptyTable;
    out->push_back(std::move(entry));
  }
}

bool Fits(KeyType type, TomlKind kind) {
  switch (type) {
    case KeyType::kBool:
      return kind == TomlKind::kBool;
    case KeyType::kInteger:
      return kind == TomlKind::kInteger;
    case KeyType::kNumber:
      return kind == TomlKind::kInteger || kind == TomlKind::kFloat;
    case KeyType::kText:
      return kind == TomlKind::kString;
    case KeyType::kTextList:
      return kind == TomlKind::kStringList;
    case KeyType::kAny:
      return true;
  }
  return false;
}

const toml::node* FindNode(const toml::table& table, std::string_view key) {
  const toml::table* at = &table;
  while (true) {
    const size_t dot = key.find('.');
    const toml::node* node = at->get(key.substr(0, dot));
    if (node == nullptr || dot == std::string_view::npos) return node;
    at = node->as_table();
    if (at == nullptr) return nullptr;
    key.remove_prefix(dot + 1);
  }
}

// Byte offset of a place; columns count characters.
size_t OffsetOf(std::string_view text, uint32_t line, uint32_t column) {
  size_t offset = 0;
  for (uint32_t i = 1; i < line && offset != std::string_view::npos; ++i) {
    offset = text.find('\n', offset);
    if (offset != std::string_view::npos) ++offset;
  }
  if (offset == std::string_view::npos) return text.size();
  for (uint32_t i = 1; i < column && offset < text.size(); ++i) {
    do {
      ++offset;
    } while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80);
  }
  return offset;
}

std::string Replaced(std::string_view text, const toml::node& node, const std::string& literal) {
  const auto& source = node.source();
  const size_t begin = OffsetOf(text, source.begin.line, source.begin.column);
  const size_t end = OffsetOf(text, source.end.line, source.end.column);
  return std::string(text.substr(0, begin)) + literal + std::string(text.substr(end));
}

// A new line right behind the header "[section]"; nullopt if the section has none of its own.
std::optional<std::string> InsertedBehindHeader(std::string_view text, const toml::node& section,
                                                const std::string& line) {
  const size_t start = OffsetOf(text, section.source().begin.line, 1);
  size_t end = text.find('\n', start);
  const std::string_view header = text.substr(start, end - start);
  const size_t first = header.find_first_not_of(" \t");
  if (first == std::string_view::npos || header[first] != '[') return std::nullopt;
  if (end == std::string_view::npos) return std::string(text) + "\n" + line + "\n";
  ++end;
  return std::string(text.substr(0, end)) + line + "\n" + std::string(text.substr(end));
}

}  // namespace

std::string_view TomlKindName(TomlKind kind) {
  switch (kind) {
    case TomlKind::kBool:
      return "true or false";
    case TomlKind::kInteger:
      return "a whole number";
    case TomlKind::kFloat:
      return "a fraction";
    case TomlKind::kString:
      return "a string";
    case TomlKind::kStringList:
      return "a list of strings";
    case TomlKind::kEmptyTable:
      return "a section";
    case TomlKind::kOther:
      break;
  }
  return "a value of another type";
}

Result<std::vector<TomlEntry>> ParseToml(std::string_view text, const std::string& path) {
  ENGRAM_ASSIGN_OR_RETURN(const toml::table table, Parse(text, path));
  std::vector<TomlEntry> entries;
  Flatten(table, "", &entries);
  std::stable_sort(entries.begin(), entries.end(), [](const TomlEntry& a, const TomlEntry& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  return entries;
}

Result<std::vector<TomlEntry>> ReadTomlFile(FileSystem& fs, const std::string& path) {
  ENGRAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, path, kFileSizeBytesMax));
  return ParseToml(text, path);
}

Result<std::string> CheckEntry(const KeyInfo& key, const TomlEntry& entry,
                               const std::string& path) {
  const std::string place = Place(path, entry.line, entry.column);
  if (!Fits(key.type, entry.kind)) {
    return Status::InvalidArgument(place + ": " + entry.key + ": expected " +
                                       std::string(KeyTypeName(key.type)) + ", found " +
                                       std::string(TomlKindName(entry.kind)),
                                   "correct the line; docs/configuration.md lists every key");
  }
  Result<std::string> canonical = Canonical(key, entry.text);
  if (!canonical.ok()) return canonical.status().WithContext(place);
  return canonical;
}

Result<std::string> WithValue(std::string_view text, std::string_view key,
                              const std::string& literal, const std::string& path) {
  ENGRAM_ASSIGN_OR_RETURN(const toml::table table, Parse(text, path));
  const size_t dot = key.rfind('.');
  const std::string section(key.substr(0, dot));
  const std::string line = std::string(key.substr(dot + 1)) + " = " + literal;
  std::optional<std::string> edited;
  if (const toml::node* value = FindNode(table, key)) {
    edited = Replaced(text, *value, literal);
  } else if (const toml::node* holder = FindNode(table, section)) {
    edited = InsertedBehindHeader(text, *holder, line);
  } else {
    const bool complete = text.empty() || text.ends_with('\n');
    edited = std::string(text) + (complete ? "" : "\n") + (text.empty() ? "" : "\n") + "[" +
             section + "]\n" + line + "\n";
  }
  // Whatever way the file is written in, the result says what was asked for or is not used.
  const auto wanted = ParseToml("v = " + literal, path);
  const auto found = edited ? ParseToml(*edited, path) : wanted;
  if (edited && wanted.ok() && found.ok()) {
    for (const TomlEntry& entry : *found) {
      if (entry.key == key && entry.text == wanted->front().text) return *edited;
    }
  }
  return Status::Unsupported(
      path + ": " + std::string(key) + " cannot be set there without rewriting the file",
      "set it by hand: [" + section + "], then " + line);
}

std::string ToTomlText(const std::map<std::string, std::string>& literals) {
  std::string text;
  std::string section;
  for (const auto& [key, literal] : literals) {
    const size_t dot = key.rfind('.');
    if (key.substr(0, dot) != section) {
      section = key.substr(0, dot);
      text += (text.empty() ? "[" : "\n[") + section + "]\n";
    }
    text += key.substr(dot + 1) + " = " + literal + "\n";
  }
  return text;
}

}  // namespace engram::server
