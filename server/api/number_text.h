// Numbers in the text of RFC 8259 section 6.
#ifndef ENGRAM_SERVER_API_NUMBER_TEXT_H_
#define ENGRAM_SERVER_API_NUMBER_TEXT_H_

#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace engram::server {

bool IsJsonNumber(std::string_view text);

enum class NumberFault { kSyntax, kRange };
// `text` is one number and nothing else. The float nearest to it, ties to even: rounded once, from
// the decimal text. kRange: beyond the range of a 32-bit float. What is nearer to zero than any
// float is a zero or a subnormal, no fault.
tl::expected<float, NumberFault> ParseFloat(std::string_view text);
// Appends the numbers of `text`, one JSON array and nothing else. False: it is not that, or holds
// what is no number or beyond the range; what was appended means nothing then.
bool ParseFloatArray(std::string_view text, std::vector<float>* out);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_NUMBER_TEXT_H_
