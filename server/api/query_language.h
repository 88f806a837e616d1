// The part of upstream's query language that has a meaning here.
#ifndef ENGRAM_SERVER_API_QUERY_LANGUAGE_H_
#define ENGRAM_SERVER_API_QUERY_LANGUAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/api/refusal.h"

namespace engram::server {

struct ParsedQuery {
  enum class Verb {
    kRecallId,    // RECALL <id>
    kRecallText,  // RECALL "<text>", RECALL ContentMatch("<text>")
    kSpread,      // SPREAD FROM <id> [HOPS n]
  };
  Verb verb = Verb::kRecallId;
  std::string subject;  // the id or the text
  uint64_t limit = 100;
  uint64_t hops = 1;
  std::optional<float> confidence_above;  // WHERE confidence > x
};

// Keywords in any case; a text in double or single quotes, \ before a quote. Refusals: 400
// BAD_REQUEST names what was expected where; 501 NOT_IMPLEMENTED for PREDICT, IMAGINE and
// CONSOLIDATE.
OrRefusal<ParsedQuery> ParseQueryText(std::string_view text);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_QUERY_LANGUAGE_H_
