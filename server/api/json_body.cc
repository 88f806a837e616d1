#include "server/api/json_body.h"

#include <charconv>

#include "server/api/number_text.h"

namespace engram::server {
namespace {

using simdjson::ondemand::json_type;

constexpr size_t kFloatsExpected = 768;
constexpr char kSyntaxGuidance[] = "Send one JSON object (RFC 8259) in UTF-8.";

Refusal SyntaxRefusal(std::string what) {
  return InvalidInput("The body is not well-formed JSON: " + std::move(what) + ".",
                      kSyntaxGuidance);
}
Refusal SyntaxRefusal(simdjson::error_code error) {
  if (error == simdjson::UTF8_ERROR) return SyntaxRefusal("a text in it is not valid UTF-8");
  if (error == simdjson::EMPTY) return SyntaxRefusal("it is empty");
  if (error == simdjson::INCOMPLETE_ARRAY_OR_OBJECT || error == simdjson::TRAILING_CONTENT) {
    return SyntaxRefusal("its object does not end where the body ends");
  }
  std::string what = simdjson::error_message(error);
  while (what.ends_with('.')) what.pop_back();
  return SyntaxRefusal("near its text: " + std::move(what));
}
Refusal TooDeep() {
  return SyntaxRefusal("it is nested deeper than " + std::to_string(kJsonDepthMax) + " levels");
}
Refusal WrongType(std::string_view key, std::string_view expected) {
  return WrongShape("Field '" + std::string(key) + "' must be " + std::string(expected) + ".",
                    "Send '" + std::string(key) + "' as " + std::string(expected) + ".");
}
Refusal OutOfRange(std::string_view key) {
  return InvalidInput(
      "Field '" + std::string(key) + "' holds a number beyond the range of a 32-bit float.",
      "Send numbers between -3.4028235e38 and 3.4028235e38; NaN and infinities have no JSON form.");
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view WithoutBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  return text;
}

bool IsNull(JsonValue& value) {
  bool null = false;
  return !value.is_null().get(null) && null;
}

// Walks a value that nobody takes.
Refused Check(JsonValue& value, uint32_t depth);

Refused CheckArray(JsonValue& value, uint32_t depth) {
  simdjson::ondemand::array array;
  if (const auto error = value.get_array().get(array)) return SyntaxRefusal(error);
  for (auto item : array) {
    JsonValue inner;
    if (const auto error = item.get(inner)) return SyntaxRefusal(error);
    if (auto refused = Check(inner, depth + 1)) return refused;
  }
  return std::nullopt;
}

Refused CheckObject(JsonValue& value, uint32_t depth) {
  simdjson::ondemand::object object;
  if (const auto error = value.get_object().get(object)) return SyntaxRefusal(error);
  for (auto field : object) {
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return SyntaxRefusal(error);
    JsonValue inner;
    if (const auto error = field.value().get(inner)) return SyntaxRefusal(error);
    if (auto refused = Check(inner, depth + 1)) return refused;
  }
  return std::nullopt;
}

Refused Check(JsonValue& value, uint32_t depth) {
  if (depth > kJsonDepthMax) return TooDeep();
  json_type type;
  if (const auto error = value.type().get(type)) return SyntaxRefusal(error);
  switch (type) {
    case json_type::array:
      return CheckArray(value, depth);
    case json_type::object:
      return CheckObject(value, depth);
    case json_type::string: {
      const auto error = value.get_string().error();
      return error ? Refused(SyntaxRefusal(error)) : std::nullopt;
    }
    case json_type::boolean: {
      const auto error = value.get_bool().error();
      return error ? Refused(SyntaxRefusal(error)) : std::nullopt;
    }
    case json_type::null:
      return IsNull(value) ? std::nullopt : Refused(SyntaxRefusal("a word that is no value"));
    default:
      return IsJsonNumber(WithoutBlanks(value.raw_json_token()))
                 ? std::nullopt
                 : Refused(SyntaxRefusal("a number or word that is no value"));
  }
}

// The type of a value that is about to be taken. `*absent` for null.
Refused TypeOf(JsonValue& value, json_type* type, bool* absent) {
  if (const auto error = value.type().get(*type)) return SyntaxRefusal(error);
  *absent = *type == json_type::null;
  if (*absent && !IsNull(value)) return SyntaxRefusal("a word that is no value");
  return std::nullopt;
}

Refused TakeFloat(std::string_view key, JsonValue& value, float* out) {
  const auto parsed = ParseFloat(WithoutBlanks(value.raw_json_token()));
  if (parsed) {
    *out = *parsed;
    return std::nullopt;
  }
  return parsed.error() == NumberFault::kRange ? OutOfRange(key)
                                               : SyntaxRefusal("a number or word that is no value");
}

// The array that `value` is, unless that is null.
Refused OpenArray(std::string_view key, std::string_view expected, JsonValue& value, bool* absent,
                  simdjson::ondemand::array* array) {
  json_type type;
  if (auto refused = TypeOf(value, &type, absent); refused || *absent) return refused;
  if (type != json_type::array) return WrongType(key, expected);
  if (const auto error = value.get_array().get(*array)) return SyntaxRefusal(error);
  return std::nullopt;
}

// Calls `take(item, type)` for each item of an array.
template <typename Take>
Refused ReadItems(simdjson::ondemand::array& array, Take&& take) {
  for (auto item : array) {
    JsonValue inner;
    if (const auto error = item.get(inner)) return SyntaxRefusal(error);
    json_type inner_type;
    if (const auto error = inner.type().get(inner_type)) return SyntaxRefusal(error);
    if (auto refused = take(inner, inner_type)) return refused;
  }
  return std::nullopt;
}

template <typename Take>
Refused ReadArray(std::string_view key, std::string_view expected, JsonValue& value, bool* absent,
                  Take&& take) {
  simdjson::ondemand::array array;
  if (auto refused = OpenArray(key, expected, value, absent, &array); refused || *absent) {
    return refused;
  }
  return ReadItems(array, take);
}

Refused ReadMembers(simdjson::ondemand::object& object, const MemberReader& member) {
  for (auto field : object) {
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return SyntaxRefusal(error);
    JsonValue value;
    if (const auto error = field.value().get(value)) return SyntaxRefusal(error);
    bool known = true;
    if (auto refused = member(key, value, &known)) return refused;
    if (known) continue;
    if (auto refused = Check(value, 2)) return refused;
  }
  return std::nullopt;
}

Refused CheckEnd(simdjson::ondemand::document& document) {
  if (document.current_location().error() == simdjson::OUT_OF_BOUNDS) return std::nullopt;
  return SyntaxRefusal("something follows the object");
}

Refused ReadDocument(simdjson::ondemand::document& document, const MemberReader& member) {
  simdjson::ondemand::object object;
  if (const auto error = document.get_object().get(object)) return SyntaxRefusal(error);
  if (auto refused = ReadMembers(object, member)) return refused;
  return CheckEnd(document);
}

simdjson::ondemand::parser& Parser() {
  static thread_local simdjson::ondemand::parser parser;
  return parser;
}

// The refusal of a body that is something else. As the one item of an array every kind of value is
// checked alike.
Refused NoObject(const std::string& body) {
  const simdjson::padded_string wrapped("[" + body + "]");
  simdjson::ondemand::document document;
  if (const auto error = Parser().iterate(wrapped).get(document)) return SyntaxRefusal(error);
  JsonValue array;
  if (const auto error = document.get_value().get(array)) return SyntaxRefusal(error);
  if (auto refused = Check(array, 0)) return refused;
  if (auto refused = CheckEnd(document)) return refused;
  return WrongShape("The body must be a JSON object.", "Send an object: {\"content\": \"...\"}.");
}

}  // namespace

Refused ReadBody(const Request& request, const MemberReader& member) {
  const simdjson::padded_string body(request.body);
  simdjson::ondemand::document document;
  if (const auto error = Parser().iterate(body).get(document)) return SyntaxRefusal(error);
  json_type type;
  if (const auto error = document.type().get(type)) return SyntaxRefusal(error);
  if (type != json_type::object) return NoObject(request.body);
  auto refused = ReadDocument(document, member);
  if (!refused || refused->code == "INVALID_MEMORY_INPUT") return refused;
  // Not well-formed comes before not as expected.
  const MemberReader nothing = [](std::string_view, JsonValue&, bool* known) -> Refused {
    *known = false;
    return std::nullopt;
  };
  if (const auto error = Parser().iterate(body).get(document)) return SyntaxRefusal(error);
  auto malformed = ReadDocument(document, nothing);
  return malformed ? malformed : refused;
}

Refused ReadObject(std::string_view key, JsonValue& value, const MemberReader& member) {
  json_type type;
  if (const auto error = value.type().get(type)) return SyntaxRefusal(error);
  if (type != json_type::object) return WrongType(key, "an object");
  simdjson::ondemand::object object;
  if (const auto error = value.get_object().get(object)) return SyntaxRefusal(error);
  return ReadMembers(object, member);
}

Refused ReadText(std::string_view key, JsonValue& value, std::optional<std::string>* out) {
  json_type type;
  bool absent = false;
  out->reset();
  if (auto refused = TypeOf(value, &type, &absent); refused || absent) return refused;
  if (type != json_type::string) return WrongType(key, "a text");
  std::string_view text;
  if (const auto error = value.get_string().get(text)) return SyntaxRefusal(error);
  out->emplace(text);
  return std::nullopt;
}

Refused ReadTexts(std::string_view key, JsonValue& value,
                  std::optional<std::vector<std::string>>* out) {
  constexpr std::string_view kExpected = "an array of texts";
  std::vector<std::string> texts;
  bool absent = false;
  auto refused = ReadArray(key, kExpected, value, &absent, [&](JsonValue& item, json_type type) {
    if (type != json_type::string) return Refused(WrongType(key, kExpected));
    std::string_view text;
    if (const auto error = item.get_string().get(text)) return Refused(SyntaxRefusal(error));
    texts.emplace_back(text);
    return Refused();
  });
  out->reset();
  if (!refused && !absent) *out = std::move(texts);
  return refused;
}

Refused ReadBool(std::string_view key, JsonValue& value, std::optional<bool>* out) {
  json_type type;
  bool absent = false;
  out->reset();
  if (auto refused = TypeOf(value, &type, &absent); refused || absent) return refused;
  if (type != json_type::boolean) return WrongType(key, "true or false");
  bool read = false;
  if (const auto error = value.get_bool().get(read)) return SyntaxRefusal(error);
  *out = read;
  return std::nullopt;
}

Refused ReadFloat(std::string_view key, JsonValue& value, std::optional<float>* out) {
  json_type type;
  bool absent = false;
  out->reset();
  if (auto refused = TypeOf(value, &type, &absent); refused || absent) return refused;
  if (type != json_type::number) return WrongType(key, "a number");
  return TakeFloat(key, value, &out->emplace());
}

Refused ReadUnsigned(std::string_view key, JsonValue& value, std::optional<uint64_t>* out) {
  json_type type;
  bool absent = false;
  out->reset();
  if (auto refused = TypeOf(value, &type, &absent); refused || absent) return refused;
  const std::string_view text = WithoutBlanks(value.raw_json_token());
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  if (type != json_type::number || !IsJsonNumber(text) || !whole) {
    return WrongType(key, "a whole number of at least 0");
  }
  *out = number;
  return std::nullopt;
}

Refused ReadFloats(std::string_view key, JsonValue& value, std::optional<std::vector<float>>* out) {
  constexpr std::string_view kExpected = "an array of numbers";
  std::vector<float> floats;
  bool absent = false;
  simdjson::ondemand::array array;
  out->reset();
  if (auto refused = OpenArray(key, kExpected, value, &absent, &array); refused || absent) {
    return refused;
  }
  // All in one pass over the text. What is wrong with it is found item by item.
  std::string_view text;
  floats.reserve(kFloatsExpected);
  if (!array.raw_json().get(text) && ParseFloatArray(text, &floats)) {
    *out = std::move(floats);
    return std::nullopt;
  }
  floats.clear();
  if (const auto error = array.reset().error()) return SyntaxRefusal(error);
  auto refused = ReadItems(array, [&](JsonValue& item, json_type type) {
    if (type != json_type::number) return Refused(WrongType(key, kExpected));
    return TakeFloat(key, item, &floats.emplace_back());
  });
  if (!refused) *out = std::move(floats);
  return refused;
}

Refused ReadSparseFloats(std::string_view key, JsonValue& value,
                         std::optional<std::vector<std::optional<float>>>* out) {
  constexpr std::string_view kExpected = "an array of numbers and nulls";
  std::vector<std::optional<float>> floats;
  bool absent = false;
  auto refused = ReadArray(key, kExpected, value, &absent, [&](JsonValue& item, json_type type) {
    floats.emplace_back();
    if (type == json_type::null) return Check(item, 1);
    if (type != json_type::number) return Refused(WrongType(key, kExpected));
    return TakeFloat(key, item, &floats.back().emplace());
  });
  out->reset();
  if (!refused && !absent) *out = std::move(floats);
  return refused;
}

OrRefusal<std::vector<float>> ParseFloats(std::string_view key, std::string_view text) {
  const auto wrong = [&](std::string what) {
    return Refuse(InvalidInput(
        "Parameter '" + std::string(key) + "' " + std::move(what) + ".",
        "Send '" + std::string(key) + "' as a JSON array of 768 numbers, percent-encoded."));
  };
  std::vector<float> floats;
  if (ParseFloatArray(text, &floats)) return floats;
  floats.clear();
  text = WithoutBlanks(text);
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') {
    return wrong("is not a JSON array");
  }
  text = WithoutBlanks(text.substr(1, text.size() - 2));
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const auto number = ParseFloat(WithoutBlanks(text.substr(0, comma)));
    if (!number && number.error() == NumberFault::kRange) {
      return wrong("holds a number beyond the range of a 32-bit float");
    }
    if (!number) return wrong("holds something that is not a number");
    floats.push_back(*number);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return wrong("ends with a comma");
  }
  return floats;
}

}  // namespace engram::server
