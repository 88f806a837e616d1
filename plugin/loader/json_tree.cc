#include "plugin/loader/json_tree.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

namespace engram::plugin {
namespace {

constexpr size_t kDepthMax = 16;

// Rounds the digits once, to f32; through a double would round twice.
bool ParseDecimal(std::string_view digits, double approximate, float* out) {
  if (std::abs(approximate) < std::numeric_limits<float>::min()) {
    *out = static_cast<float>(approximate);
    return true;
  }
  return std::from_chars(digits.data(), digits.data() + digits.size(), *out).ec == std::errc();
}

// Builds the tree from nlohmann's events.
class Builder final : public nlohmann::json_sax<JsonTree> {
 public:
  explicit Builder(ParsedLine* out) : out_(*out) {}
  const std::string& error() const { return error_; }

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override {
    return in_embedding_ ? AddFloat(static_cast<float>(value)) : Add(value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return in_embedding_ ? AddFloat(static_cast<float>(value)) : Add(value);
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    float rounded = 0;
    if (!ParseDecimal(digits, value, &rounded)) {
      return Fail("the number " + digits + " is beyond the range of a 32-bit float");
    }
    return in_embedding_ ? AddFloat(rounded) : Add(static_cast<double>(rounded));
  }
  bool string(string_t& value) override {
    if (!in_embedding_) return Add(std::move(value));
    Result<float> number = FloatFromText(value);
    return number.ok() ? AddFloat(*number)
                       : Fail("key \"embedding\": " + number.status().message());
  }
  bool binary(binary_t&) override { return Fail("binary values are not JSON"); }
  bool start_object(std::size_t) override { return Open(JsonTree::object()); }
  bool key(string_t& key) override {
    key_ = std::move(key);
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override {
    if (in_embedding_) return Add(JsonTree::array());
    if (open_.size() == 1 && open_.back()->is_object() && key_ == "embedding") {
      Place(true);
      in_embedding_ = true;
      out_.embedding.clear();
      return true;
    }
    return Open(JsonTree::array());
  }
  bool end_array() override {
    if (in_embedding_) {
      in_embedding_ = false;
      return true;
    }
    return Close();
  }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    return Fail("not valid JSON at byte " + std::to_string(position) +
                (token.empty() ? "" : ", near '" + token.substr(0, 40) + "'"));
  }

 private:
  bool Fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
    return false;
  }
  bool AddFloat(float value) {
    out_.embedding.push_back(value);
    return true;
  }
  JsonTree* Place(JsonTree value) {
    if (open_.empty()) return &(out_.tree = std::move(value));
    if (open_.back()->is_array()) return &open_.back()->emplace_back(std::move(value));
    return &((*open_.back())[key_] = std::move(value));
  }
  bool Add(JsonTree value) {
    if (in_embedding_) {
      return Fail(std::string("key \"embedding\": expected numbers, found ") +
                  std::string(TypeName(value)));
    }
    Place(std::move(value));
    return true;
  }
  bool Open(JsonTree value) {
    if (in_embedding_) return Add(std::move(value));
    if (open_.size() == kDepthMax) return Fail("the JSON is nested too deeply");
    open_.push_back(Place(std::move(value)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  ParsedLine& out_;
  std::vector<JsonTree*> open_;  // the path from the root: a parent does not move while it is open
  std::string key_;
  std::string error_;
  bool in_embedding_ = false;
};

bool ParseHexBits(std::string_view text, float* out) {
  uint32_t bits = 0;
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, bits, 16);
  *out = std::bit_cast<float>(bits);
  return text.size() == 8 && parsed.ec == std::errc() && parsed.ptr == end;
}

}  // namespace

Result<ParsedLine> ParseJsonLine(std::string_view text) {
  ParsedLine parsed;
  Builder builder(&parsed);
  if (!JsonTree::sax_parse(text.begin(), text.end(), &builder)) {
    return Status::InvalidArgument(builder.error());
  }
  return parsed;
}

Result<float> FloatFromText(std::string_view text) {
  float value = 0;
  if (ParseHexBits(text, &value)) return value;
  if (text == "NaN") return std::numeric_limits<float>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<float>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<float>::infinity();
  return Status::InvalidArgument(
      "expected a number, 8 hex digits, \"NaN\", \"Infinity\" or \"-Infinity\", found \"" +
      std::string(text.substr(0, 40)) + "\"");
}

Result<float> ToFloat(const JsonTree& value) {
  if (value.is_number_float()) return static_cast<float>(value.get<double>());
  if (value.is_number_unsigned()) return static_cast<float>(value.get<uint64_t>());
  if (value.is_number_integer()) return static_cast<float>(value.get<int64_t>());
  if (value.is_string()) return FloatFromText(value.get_ref<const std::string&>());
  return Status::InvalidArgument("expected a number, found " + std::string(TypeName(value)));
}

std::string_view TypeName(const JsonTree& value) {
  switch (value.type()) {
    case JsonTree::value_t::null:
      return "null";
    case JsonTree::value_t::boolean:
      return "a truth value";
    case JsonTree::value_t::string:
      return "a text";
    case JsonTree::value_t::array:
      return "an array";
    case JsonTree::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

}  // namespace engram::plugin
