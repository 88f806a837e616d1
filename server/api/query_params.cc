#include "server/api/query_params.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "server/api/json_body.h"
#include "server/api/number_text.h"

namespace engram::server {
namespace {

Refusal Unreadable(std::string_view name, std::string_view found, std::string_view expected) {
  return BadRequest("Query parameter '" + std::string(name) + "' is '" + Shown(found) +
                        "', expected " + std::string(expected) + ".",
                    "Send '" + std::string(name) + "' as " + std::string(expected) + ".");
}

}  // namespace

Refused QueryUnsigned(const Request& request, std::string_view name, uint64_t* out) {
  const auto text = request.Query(name);
  if (!text) return std::nullopt;
  const auto end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, *out);
  if (parsed.ec == std::errc() && parsed.ptr == end && !text->empty()) return std::nullopt;
  return Unreadable(name, *text, "a whole number of at least 0");
}

Refused QueryFloat(const Request& request, std::string_view name, float* out) {
  const auto text = request.Query(name);
  if (!text) return std::nullopt;
  const auto parsed = ParseFloat(*text);
  if (!parsed) return Unreadable(name, *text, "a number");
  *out = *parsed;
  return std::nullopt;
}

Refused QueryBool(const Request& request, std::string_view name, bool* out) {
  const auto text = request.Query(name);
  if (!text) return std::nullopt;
  *out = *text == "true" || *text == "1";
  if (!*out && *text != "false" && *text != "0") return Unreadable(name, *text, "true or false");
  return std::nullopt;
}

Refused QueryView(const Request& request, bool* is_dual) {
  const auto text = request.Query("view");
  if (!text) return std::nullopt;
  if (*text != "memory" && *text != "dual") return Unreadable("view", *text, "memory or dual");
  *is_dual = *text == "dual";
  return std::nullopt;
}

Refused QueryEmbedding(const Request& request, std::optional<Vector>* out) {
  const auto text = request.Query("embedding");
  if (!text) return std::nullopt;
  auto floats = ParseFloats("embedding", *text);
  if (!floats) return std::move(floats.error());
  return ToVector(*floats, &out->emplace());
}

Refused ToVector(const std::vector<float>& floats, Vector* out) {
  if (floats.size() != out->size()) {
    return InvalidInput(
        "Embedding must be exactly 768 dimensions, got " + std::to_string(floats.size()) + ".",
        "Send the 768 numbers of the model's output, or leave the embedding out.");
  }
  std::copy(floats.begin(), floats.end(), out->begin());
  return std::nullopt;
}

}  // namespace engram::server
