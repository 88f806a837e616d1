// JSON of memories, out and in: what is printed is what can be put back, bit by bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "base/json_text.h"
#include "plugin/loader/json_tree.h"
#include "plugin/loader/memory_input.h"
#include "plugin/loader/memory_json.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::plugin {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kNow[] = "2025-11-21T18:57:13.123456789Z";

std::string EmbeddingText(const std::string& first = "0.5") {
  std::string text = "[" + first;
  for (int i = 1; i < 768; ++i) text += ",0";
  return text + "]";
}
std::string Line(const std::string& members) {
  return "{\"id\":\"x\",\"embedding\":" + EmbeddingText() + (members.empty() ? "" : ",") + members +
         "}";
}
MemoryInput Parsed(const std::string& members) {
  auto input = ParseMemoryLine(Line(members), kNow);
  EXPECT_TRUE(input.ok()) << input.status().ToString();
  return input.ok() ? *input : MemoryInput();
}
std::string Refusal(const std::string& line) {
  auto input = ParseMemoryLine(line, kNow);
  EXPECT_FALSE(input.ok());
  if (input.ok()) return "";
  EXPECT_EQ(input.status().code(), StatusCode::kInvalidArgument);
  return input.status().message();
}
std::string Printed(const MemoryInput& input, const MemoryStyle& style) {
  const MemoryInputView view(input);
  std::string text;
  AppendMemoryJson(view.memory(), style, &text);
  return text;
}
std::string FloatText(float value, FloatStyle style) {
  std::string text;
  AppendJsonFloat(value, style, &text);
  return text;
}

constexpr MemoryStyle kExact = {.floats = FloatStyle::kExact, .embeddings = true};

TEST(JsonFloatTest, AnyBitsSurviveExactAndAnyFiniteFloatSurvivesDecimal) {
  std::mt19937 random(20251121);
  for (int i = 0; i < 200000; ++i) {
    const auto bits = static_cast<uint32_t>(random());
    const auto value = std::bit_cast<float>(bits);
    const std::string exact = FloatText(value, FloatStyle::kExact);
    auto back = FloatFromText(std::string_view(exact).substr(1, 8));
    ASSERT_TRUE(back.ok());
    ASSERT_EQ(std::bit_cast<uint32_t>(*back), bits) << exact;
    if (!std::isfinite(value)) continue;
    auto parsed = ParseJsonLine(FloatText(value, FloatStyle::kDecimal));
    ASSERT_TRUE(parsed.ok());
    ASSERT_EQ(std::bit_cast<uint32_t>(*ToFloat(parsed->tree)), bits) << value;
  }
}

TEST(JsonFloatTest, NonFiniteFloatsAreStringsAndMinusZeroKeepsItsSign) {
  EXPECT_EQ(FloatText(std::numeric_limits<float>::infinity(), FloatStyle::kDecimal),
            "\"Infinity\"");
  EXPECT_EQ(FloatText(-std::numeric_limits<float>::infinity(), FloatStyle::kDecimal),
            "\"-Infinity\"");
  EXPECT_EQ(FloatText(std::nanf(""), FloatStyle::kDecimal), "\"NaN\"");
  EXPECT_EQ(FloatText(-0.0f, FloatStyle::kDecimal), "-0.0");
  EXPECT_EQ(FloatText(0.9f, FloatStyle::kDecimal), "0.9");
  EXPECT_EQ(FloatText(0.9f, FloatStyle::kExact), "\"3f666666\"");
}

TEST(JsonFloatTest, DecimalsAreRoundedOnceToTheNearestFloat) {
  // Halfway between two floats but for its last digit: through a double it would round down.
  auto parsed = ParseJsonLine("1.00000005960464477540");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(std::bit_cast<uint32_t>(*ToFloat(parsed->tree)), 0x3f800001u);
}

TEST(JsonStringTest, EveryCharacterSurvives) {
  std::string text;
  for (int c = 0; c < 128; ++c) text += static_cast<char>(c);
  text += "\u00e9\u2028\U0001f600";
  std::string printed;
  AppendJsonString(text, &printed);
  EXPECT_EQ(json::parse(printed).get<std::string>(), text);
  EXPECT_EQ(printed.find('\n'), std::string::npos);
}

TEST(JsonStringTest, BytesThatAreNoTextAreShownAndLeaveTheRestValid) {
  std::string printed = "[";
  AppendJsonString("/tmp/\xff\n\"", &printed);
  EXPECT_EQ(json::parse(printed + "]").at(0), "/tmp/\\xff\n\"");
}

TEST(MemoryInputTest, MissingKeysTakeTheDefaultsOfUpstreamsConstructor) {
  const MemoryInput input = Parsed("\"confidence\":{\"encoding\":0.25}");
  EXPECT_EQ(input.activation, 0.25f);
  EXPECT_EQ(input.decay_rate, 0.1f);
  EXPECT_EQ(input.created_at, kNow);
  EXPECT_EQ(input.last_access, kNow);
  EXPECT_EQ(input.access_count, 0u);
  EXPECT_FALSE(input.content || input.when || input.recall_count || input.confidence_vividness);
  EXPECT_EQ(Parsed("").confidence_encoding, 0.7f);
}

TEST(MemoryInputTest, AnExplicitNullIsAbsentWhereOnlyAMissingKeyTakesTheDefault) {
  const MemoryInput input =
      Parsed("\"created_at\":null,\"last_access\":null,\"access_count\":null,\"metadata\":null");
  EXPECT_FALSE(input.created_at || input.last_access || input.access_count);
  EXPECT_TRUE(input.metadata.empty());
}

TEST(MemoryInputTest, ScalarsThatEveryMemoryHasCannotBeNull) {
  EXPECT_THAT(Refusal(Line("\"activation\":null")), HasSubstr("\"activation\""));
  EXPECT_THAT(Refusal(Line("\"decay_rate\":null")), HasSubstr("\"decay_rate\""));
  EXPECT_THAT(Refusal(Line("\"confidence\":null")), HasSubstr("\"confidence\""));
  EXPECT_THAT(Refusal(Line("\"confidence\":{\"encoding\":null}")), HasSubstr("encoding"));
}

TEST(MemoryInputTest, EveryMalformedLineIsRefusedWithItsKey) {
  EXPECT_THAT(Refusal("[1]"), HasSubstr("expected a JSON object, found an array"));
  EXPECT_THAT(Refusal("{\"id\":\"x\""), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(Refusal("{\"id\":\"x\"} trailing"), HasSubstr("not valid JSON"));
  EXPECT_THAT(Refusal("{\"embedding\":" + EmbeddingText() + "}"), HasSubstr("\"id\": missing"));
  EXPECT_THAT(Refusal("{\"id\":\"x\"}"), HasSubstr("\"embedding\": missing"));
  EXPECT_THAT(Refusal("{\"id\":\"x\",\"embedding\":[1,2]}"), HasSubstr("768 numbers, found 2"));
  EXPECT_THAT(Refusal("{\"id\":\"x\",\"embedding\":null}"), HasSubstr("found null"));
  EXPECT_THAT(Refusal("{\"id\":\"x\",\"embedding\":[[1]]}"), HasSubstr("found an array"));
  EXPECT_THAT(Refusal("{\"id\":\"x\",\"embedding\":" + EmbeddingText("\"zz\"") + "}"),
              HasSubstr("8 hex digits"));
  EXPECT_THAT(Refusal("{\"id\":\"x\",\"embedding\":" + EmbeddingText("1e39") + "}"),
              HasSubstr("beyond the range"));
  EXPECT_THAT(Refusal(Line("\"activation\":\"high\"")), HasSubstr("\"activation\""));
  EXPECT_THAT(Refusal(Line("\"activaton\":1")), HasSubstr("\"activaton\": unknown key"));
  EXPECT_THAT(Refusal(Line("\"recall_count\":4294967296")), HasSubstr("too large"));
  EXPECT_THAT(Refusal(Line("\"recall_count\":-1")), HasSubstr("not negative"));
  EXPECT_THAT(Refusal(Line("\"access_count\":1.5")), HasSubstr("whole number"));
  EXPECT_THAT(Refusal(Line("\"who\":\"a\"")), HasSubstr("array of texts"));
  EXPECT_THAT(Refusal(Line("\"metadata\":{\"a\":1}")), HasSubstr("metadata.a"));
  EXPECT_THAT(Refusal(Line("\"confidence\":{\"vivid\":1}")), HasSubstr("confidence.vivid"));
  EXPECT_THAT(Refusal(Line("\"decay_function\":{\"linear\":{\"a\":1}}")), HasSubstr("linear"));
  EXPECT_THAT(Refusal(Line("\"decay_function\":{\"hybrid\":{\"short_term_tau\":1}}")),
              HasSubstr("long_term_beta"));
  EXPECT_THAT(Refusal(Line("\"decay_function\":{\"power_law\":{\"beta\":1,\"x\":2}}")),
              HasSubstr("unknown key"));
  EXPECT_THAT(Refusal(Line("\"embedding_provenance\":{}")), HasSubstr("model_name"));
  EXPECT_THAT(Refusal(std::string(100, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(Refusal("{\"id\":\"\xff\"}"), HasSubstr("not valid JSON"));
}

TEST(MemoryInputTest, WhatIsPrintedExactlyIsReadBackTheSame) {
  MemoryInput input = Parsed(
      "\"content\":\"a\\u0000b\\n\",\"when\":\"2016-12-31T23:59:60.500Z\",\"where\":\"\",\"who\":[]"
      ","
      "\"activation\":\"7fc00001\",\"confidence\":{\"encoding\":\"80000000\",\"vividness\":1e-45,"
      "\"reliability\":\"Infinity\"},\"decay_rate\":\"-Infinity\",\"decay_function\":{\"hybrid\":"
      "{\"short_term_tau\":0.1,\"long_term_beta\":0.2,\"transition_point\":18446744073709551615}},"
      "\"recall_count\":4294967295,\"access_count\":18446744073709551615,\"last_recall\":\"t\","
      "\"metadata\":{\"z\":\"1\",\"a\":\"\"},\"embedding_provenance\":{\"model_name\":\"m\","
      "\"model_version\":\"\",\"dimension\":768,\"language\":\"de\",\"created_at_s\":7,"
      "\"quality_score\":0.5,\"metadata\":{\"k\":\"v\"}}");
  input.embedding[767] = std::bit_cast<float>(0xffffffffu);
  const std::string printed = Printed(input, kExact);
  auto again = ParseMemoryLine(printed, "another time");
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(Printed(*again, kExact), printed);
  EXPECT_EQ(std::bit_cast<uint32_t>(again->activation), 0x7fc00001u);
}

TEST(MemoryInputTest, EveryDecayFunctionIsReadBackTheSame) {
  for (const char* decay :
       {R"({"exponential":{"tau_hours":"3f000000"}})", R"({"power_law":{"beta":"3f000000"}})",
        R"({"two_component":{"consolidation_threshold":3}})"}) {
    const MemoryInput input = Parsed("\"decay_function\":" + std::string(decay));
    EXPECT_EQ(json::parse(Printed(input, kExact))["decay_function"], json::parse(decay));
  }
}

TEST(MemoryJsonTest, HasTheKeysOfTheContractInItsOrder) {
  const auto printed =
      nlohmann::ordered_json::parse(Printed(Parsed(""), {.dual_view = true, .embeddings = true}));
  std::vector<std::string> keys;
  for (const auto& [key, value] : printed.items()) keys.push_back(key);
  EXPECT_THAT(keys, ::testing::ElementsAre("id", "content", "when", "where", "who", "embedding",
                                           "embedding_sha256", "embedding_provenance", "activation",
                                           "confidence", "decay_rate", "decay_function",
                                           "last_recall", "recall_count", "last_access",
                                           "access_count", "created_at", "metadata", "layout",
                                           "lsn", "digest", "tier", "node", "format"));
  EXPECT_TRUE(printed["content"].is_null());
  EXPECT_EQ(printed["metadata"].dump(), "{}");
  EXPECT_TRUE(printed["layout"].is_null());
  EXPECT_EQ(printed["digest"].get<std::string>().size(), 64u);
}

TEST(MemoryJsonTest, OfARepeatedMetadataKeyTheLastPairCounts) {
  MemoryInput input = Parsed("");
  input.metadata = {{"a", "old"}, {"b", "x"}, {"a", "new"}};
  EXPECT_THAT(Printed(input, {}), HasSubstr(R"("metadata":{"b":"x","a":"new"})"));
}

TEST(MemoryJsonTest, UnsetStrengthAndScoreAreNull) {
  MemoryInput input = Parsed("");
  const MemoryInputView view(input);
  engram_se_memory memory = view.memory();
  memory.node_type = ENGRAM_SE_NODE_EPISODE;
  std::string text;
  AppendMemoryJson(memory, {.dual_view = true}, &text);
  const auto node = json::parse(text)["node"];
  EXPECT_EQ(node["type"], "episode");
  EXPECT_TRUE(node["strength"].is_null() && node["consolidation_score"].is_null());
  memory.present |= ENGRAM_SE_HAS_STRENGTH;
  memory.strength = 0.5f;
  text.clear();
  AppendMemoryJson(memory, {.dual_view = true}, &text);
  EXPECT_EQ(json::parse(text)["node"]["strength"], 0.5);
}

TEST(IdLineTest, AnObjectOrATextNamesTheId) {
  EXPECT_EQ(*ParseIdLine("{\"lsn\":3,\"id\":\"a b\"}"), "a b");
  EXPECT_EQ(*ParseIdLine("\"\""), "");
  EXPECT_FALSE(ParseIdLine("{\"id\":3}").ok());
  EXPECT_FALSE(ParseIdLine("3").ok());
}

TEST(FormatTimeTest, WritesUpstreamsFractionDigits) {
  EXPECT_EQ(FormatTime(1763751433, 0), "2025-11-21T18:57:13Z");
  EXPECT_EQ(FormatTime(1763751433, 120000000), "2025-11-21T18:57:13.120Z");
  EXPECT_EQ(FormatTime(1763751433, 123456000), "2025-11-21T18:57:13.123456Z");
  EXPECT_EQ(FormatTime(1763751433, 123456789), "2025-11-21T18:57:13.123456789Z");
}

}  // namespace
}  // namespace engram::plugin
