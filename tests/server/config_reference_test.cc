// docs/configuration.md lists exactly the keys of the table, with the table's words. After a change
// of the table: ENGRAM_UPDATE_DOCS=1 server_tests --gtest_filter='ConfigReference*'.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "server/config/key_table.h"
#include "server/config/value.h"

namespace engram::server {
namespace {

constexpr char kBegin[] = "<!-- keys: written from server/config/key_table.cc -->\n";
constexpr char kEnd[] = "<!-- end of keys -->\n";

std::string DocumentPath() { return std::string(ENGRAM_SOURCE_DIR) + "/docs/configuration.md"; }

std::string Document() {
  std::ifstream file(DocumentPath());
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Takes(const KeyInfo& key) {
  if (!key.choices.empty()) {
    std::string choices;
    for (const char c : key.choices) choices += c == '|' ? std::string("`, `") : std::string(1, c);
    return "`" + choices + "`";
  }
  std::string takes(KeyTypeName(key.type));
  if (key.type != KeyType::kInteger && key.type != KeyType::kNumber) return takes;
  if (key.max != UINT64_MAX) {
    takes += ", " + std::to_string(key.min) + " to " + std::to_string(key.max);
  } else if (key.min > 0) {
    takes += ", at least " + std::to_string(key.min);
  }
  return key.unit.empty() ? takes : takes + " " + std::string(key.unit);
}

std::string Changes(const KeyInfo& key) {
  switch (key.change) {
    case Change::kRunTime:
      return "at run time";
    case Change::kReload:
      return "SIGHUP";
    case Change::kRestart:
      break;
  }
  return "restart";
}

std::string Shown(const std::string& text) { return text.empty() ? "empty" : "`" + text + "`"; }

// Both tables, as the document holds them.
std::string Reference() {
  std::string used = "| key | takes | default | changes | |\n|---|---|---|---|---|\n";
  std::string unused = "\n### Accepted from upstream's files\n\n| key | |\n|---|---|\n";
  for (const KeyInfo& key : Keys()) {
    const std::string name = "`" + std::string(key.name) + "`";
    if (key.field == nullptr) {
      const bool mapped = key.name == "persistence.data_root";
      unused +=
          "| " + name + " | " + (mapped ? "" : "no effect: ") + std::string(key.text) + " |\n";
    } else {
      used += "| " + name + " | " + Takes(key) + " | " + Shown(DefaultText(key)) + " | " +
              Changes(key) + " | " + std::string(key.text) + " |\n";
    }
  }
  return used + unused;
}

TEST(ConfigReferenceTest, TheDocumentListsEveryKeyInTheWordsOfTheTable) {
  const std::string document = Document();
  const size_t begin = document.find(kBegin);
  const size_t end = document.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t first = begin + sizeof kBegin - 1;
  if (std::getenv("ENGRAM_UPDATE_DOCS") != nullptr) {
    std::ofstream(DocumentPath()) << document.substr(0, first) + Reference() + document.substr(end);
    return;
  }
  EXPECT_EQ(document.substr(first, end - first), Reference());
}

TEST(ConfigReferenceTest, TheDocumentListsEveryAliasOfTheEnvironment) {
  const std::string document = Document();
  for (const EnvironmentAlias& alias : EnvironmentAliases()) {
    const std::string row =
        "| `" + std::string(alias.variable) + "` | `" + std::string(alias.key) + "` |";
    EXPECT_NE(document.find(row), std::string::npos) << row;
    EXPECT_NE(FindKey(alias.key), nullptr) << alias.key;
  }
}

TEST(ConfigReferenceTest, DefaultsAreWithinTheirOwnBounds) {
  for (const KeyInfo& key : Keys()) {
    if (key.field == nullptr) continue;
    auto canonical = Canonical(key, DefaultText(key));
    ASSERT_TRUE(canonical.ok()) << canonical.status().ToString();
    EXPECT_EQ(*canonical, DefaultText(key));
  }
}

TEST(ConfigReferenceTest, NoTwoKeysShareANameOrAVariable) {
  std::set<std::string> names;
  for (const KeyInfo& key : Keys()) {
    EXPECT_TRUE(names.insert(std::string(key.name)).second) << key.name;
    EXPECT_TRUE(names.insert(EnvironmentName(key.name)).second) << key.name;
  }
}

}  // namespace
}  // namespace engram::server
