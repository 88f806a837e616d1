#include "server/api/space_choice.h"

#include "base/ids.h"

namespace engram::server {
namespace {

constexpr std::string_view kSpaceHeaders[] = {"x-memory-space", "x-engram-memory-space",
                                              "x-memory-space-id"};

bool IsSpaceHeader(std::string_view name) {
  const auto same = [&](std::string_view header) {
    if (header.size() != name.size()) return false;
    for (size_t i = 0; i < name.size(); ++i) {
      const char c = name[i] >= 'A' && name[i] <= 'Z' ? static_cast<char>(name[i] | 0x20) : name[i];
      if (c != header[i]) return false;
    }
    return true;
  };
  for (const std::string_view header : kSpaceHeaders) {
    if (same(header)) return true;
  }
  return false;
}

OrRefusal<std::string> Valid(std::string_view name) {
  const auto id = SpaceId::Parse(name);
  if (id.ok()) return id->str();
  return Refuse(
      InvalidInput("Invalid memory space id: " + id.status().message() + ".", id.status().hint()));
}

Refusal Conflict(const std::string& where, const std::string& one, const std::string& other) {
  return InvalidInput(
      "Two " + where + " name different memory spaces: '" + one + "' and '" + other + "'.",
      "Name the memory space once.");
}

// nullopt inside if no header names a space.
OrRefusal<std::optional<std::string>> FromHeaders(const Request& request) {
  std::optional<std::string> chosen;
  for (const auto& [name, value] : request.headers) {
    if (!IsSpaceHeader(name)) continue;
    auto space = Valid(value);
    if (!space) return Refuse(std::move(space.error()));
    if (chosen && *chosen != *space) return Refuse(Conflict("headers", *chosen, *space));
    chosen = std::move(*space);
  }
  return chosen;
}

OrRefusal<std::optional<std::string>> FromBody(const BodySpace& body) {
  std::optional<std::string> chosen;
  for (const auto* key : {&body.memory_space_id, &body.memory_space}) {
    if (!*key) continue;
    auto space = Valid(**key);
    if (!space) return Refuse(std::move(space.error()));
    if (chosen && *chosen != *space) return Refuse(Conflict("body keys", *chosen, *space));
    chosen = std::move(*space);
  }
  return chosen;
}

}  // namespace

OrRefusal<std::string> ChooseSpace(const Request& request, const BodySpace& body,
                                   const std::string& default_space, SpaceOrder order) {
  auto from_headers = FromHeaders(request);
  if (!from_headers) return Refuse(std::move(from_headers.error()));
  auto from_body = FromBody(body);
  if (!from_body) return Refuse(std::move(from_body.error()));
  if (order == SpaceOrder::kBodyFirst && *from_body) return **from_body;
  if (*from_headers) return **from_headers;
  if (const auto space = request.Query("space")) return Valid(*space);
  return *from_body ? **from_body : default_space;
}

OrRefusal<std::optional<std::string>> NamedSpace(const Request& request) {
  auto named = ChooseSpace(request, {}, "");
  if (!named) return Refuse(std::move(named.error()));
  std::optional<std::string> space;
  if (!named->empty()) space = std::move(*named);
  return space;
}

Response NotHereYet(std::string_view id) {
  Response response = ErrorResponse(
      503, "MEMORY_CLUSTER_UNAVAILABLE",
      "Memory '" + Shown(id) + "' is not here yet: the memory space is still being brought in.",
      "Try again in a moment; engram migrate-dual status shows the progress.");
  response.headers.emplace_back("Retry-After", "1");
  response.expected = true;
  return response;
}

Response MemoryNotFound(bool arriving, std::string_view id) {
  if (arriving) return NotHereYet(id);
  return ErrorResponse(404, "MEMORY_NOT_FOUND", "Memory '" + Shown(id) + "' not found.",
                       "Check the id and the memory space; GET /api/v1/memories lists the ids.");
}

}  // namespace engram::server
