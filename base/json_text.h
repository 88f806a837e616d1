// Writes JSON text piece by piece, fast enough for millions of embeddings. Floats are shortest
// round-trip numbers or the 8 hex digits of their bits; what stands for a non-finite one is the
// style's.
#ifndef ENGRAM_BASE_JSON_TEXT_H_
#define ENGRAM_BASE_JSON_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace engram {

enum class FloatStyle {
  kDecimal,        // "NaN", "Infinity", "-Infinity"
  kDecimalOrNull,  // null; whole numbers end in ".0", as upstream's server writes them
  kExact,          // bits
};

// What is not UTF-8 (an argument, a path) is written as PathText shows it.
void AppendJsonString(std::string_view text, std::string* out);
void AppendJsonFloat(float value, FloatStyle style, std::string* out);
void AppendJsonInteger(uint64_t value, std::string* out);

// The members of one object: commas and keys. Keys need no escaping.
class ObjectText {
 public:
  explicit ObjectText(std::string* out) : out_(out) { *out_ += '{'; }
  // Starts a member; the caller appends its value to the string.
  std::string* Key(std::string_view key);
  void String(std::string_view key, std::string_view value) { AppendJsonString(value, Key(key)); }
  void Integer(std::string_view key, uint64_t value) { AppendJsonInteger(value, Key(key)); }
  void Null(std::string_view key) { *Key(key) += "null"; }
  void Bool(std::string_view key, bool value) { *Key(key) += value ? "true" : "false"; }
  void Close() { *out_ += '}'; }

 private:
  std::string* out_;
  bool first_ = true;
};

}  // namespace engram

#endif  // ENGRAM_BASE_JSON_TEXT_H_
