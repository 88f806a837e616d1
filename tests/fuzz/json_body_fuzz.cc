// Bytes of a client as the body of every route that remembers, as an embedding in the query and as
// a text of the query language. Whatever the bytes: what is taken is JSON by another parser's
// judgement, has valid UTF-8, finite numbers and a vector of 768; what is refused has a code and
// says what to do.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "base/utf8.h"
#include "server/api/json_body.h"
#include "server/api/new_memory.h"
#include "server/api/query_language.h"

namespace {

using namespace engram;
using namespace engram::server;

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "json_body_fuzz: %s\n", what);
  std::abort();
}

void CheckRefusal(const Refusal& refusal) {
  Require(refusal.status >= 400 && refusal.status < 600 && refusal.status != 500, "a status");
  Require(!refusal.code.empty() && !refusal.guidance.empty(), "a code and what to do");
  Require(IsValidUtf8(refusal.message), "a message in UTF-8");
}

void CheckBody(const std::string& bytes, MemoryForm form) {
  Request request;
  request.body = bytes;
  MemoryBody body;
  if (const auto refused = ReadMemoryBody(request, form, &body)) {
    CheckRefusal(*refused);
    Require(form != MemoryForm::kPlain || refused->status == 400, "400 on the plain route");
    return;
  }
  // The other parser refuses numbers beyond a double; here they are fine under unknown keys.
  try {
    Require(nlohmann::json::parse(bytes).is_object(), "an object");
  } catch (const nlohmann::json::out_of_range&) {
  } catch (const nlohmann::json::exception&) {
    Require(false, "well-formed JSON");
  }
  const auto memory = MakeMemory(std::move(body), form, {1'700'000'000, 0});
  if (!memory) return CheckRefusal(memory.error());
  const engram_se_memory record = NewMemoryView(*memory).record();
  Require(IsValidUtf8(memory->content) && IsValidUtf8(memory->id), "valid UTF-8");
  Require(!memory->id.empty() && !memory->content.empty(), "an id and a content");
  Require(record.activation >= 0 && record.activation <= 1, "an activation within its range");
  for (const float value : memory->embedding) Require(std::isfinite(value), "finite numbers");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const MemoryForm form : {MemoryForm::kPlain, MemoryForm::kMemory, MemoryForm::kEpisode}) {
    CheckBody(bytes, form);
  }
  if (const auto floats = ParseFloats("embedding", bytes)) {
    for (const float value : *floats) Require(std::isfinite(value), "finite numbers");
  } else {
    CheckRefusal(floats.error());
  }
  if (const auto query = ParseQueryText(bytes); !query) CheckRefusal(query.error());
  return 0;
}
