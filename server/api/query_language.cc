#include "server/api/query_language.h"

#include <charconv>

#include "base/utf8.h"
#include "server/api/number_text.h"

namespace engram::server {
namespace {

constexpr uint64_t kHopsMax = 64;
constexpr uint64_t kLimitMax = 1000;

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct Token {
  enum class Kind { kEnd, kWord, kText, kSign };
  Kind kind = Kind::kEnd;
  std::string text;

  bool Is(std::string_view keyword) const {
    if (kind != Kind::kWord || text.size() != keyword.size()) return false;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i] >= 'a' && text[i] <= 'z' ? static_cast<char>(text[i] - 32) : text[i];
      if (c != keyword[i]) return false;
    }
    return true;
  }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : rest_(text) { Advance(); }
  const Token& token() const { return token_; }
  Token Take() {
    Token taken = std::move(token_);
    Advance();
    return taken;
  }
  bool TakeIf(std::string_view keyword) {
    if (!token_.Is(keyword)) return false;
    Advance();
    return true;
  }
  bool TakeSign(std::string_view sign) {
    if (token_.kind != Token::Kind::kSign || token_.text != sign) return false;
    Advance();
    return true;
  }

 private:
  void Advance() {
    token_ = Token();
    while (!rest_.empty() && IsBlank(rest_.front())) rest_.remove_prefix(1);
    if (rest_.empty()) return;
    const char first = rest_.front();
    if (first == '"' || first == '\'') return Text(first);
    if (std::string_view("(),>=<").find(first) != std::string_view::npos) {
      token_.kind = Token::Kind::kSign;
      token_.text = first;
      rest_.remove_prefix(1);
      return;
    }
    size_t end = 0;
    while (end < rest_.size() && !IsBlank(rest_[end]) &&
           std::string_view("(),>=<\"'").find(rest_[end]) == std::string_view::npos) {
      ++end;
    }
    token_.kind = Token::Kind::kWord;
    token_.text = rest_.substr(0, end);
    rest_.remove_prefix(end);
  }

  // An unclosed text ends the input as a sign that nothing expects.
  void Text(char quote) {
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != quote) {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      token_.text += rest_.front();
      rest_.remove_prefix(1);
    }
    token_.kind = rest_.empty() ? Token::Kind::kSign : Token::Kind::kText;
    if (!rest_.empty()) rest_.remove_prefix(1);
  }

  std::string_view rest_;
  Token token_;
};

Refusal Syntax(const Lexer& lexer, std::string expected) {
  const std::string found =
      lexer.token().kind == Token::Kind::kEnd ? "the end" : "'" + Shown(lexer.token().text) + "'";
  return BadRequest(
      "Invalid query syntax: expected " + std::move(expected) + ", found " + found + ".",
      "Suggestion: use RECALL <id>, RECALL \"<text>\" LIMIT 5 or SPREAD FROM <id> "
      "HOPS 2.\nExample: RECALL episode_123");
}

bool TakeNumber(Lexer* lexer, uint64_t max, uint64_t* out) {
  const Token token = lexer->token();
  const auto end = token.text.data() + token.text.size();
  const auto parsed = std::from_chars(token.text.data(), end, *out);
  const bool whole = token.kind == Token::Kind::kWord && parsed.ec == std::errc() &&
                     parsed.ptr == end && *out <= max;
  if (whole) lexer->Take();
  return whole;
}

Refused ParseRecall(Lexer* lexer, ParsedQuery* out) {
  const Token::Kind kind = lexer->token().kind;
  if (lexer->token().Is("CONTENTMATCH")) {
    lexer->Take();
    if (!lexer->TakeSign("(")) return Syntax(*lexer, "'('");
    if (lexer->token().kind != Token::Kind::kText) return Syntax(*lexer, "a text in quotes");
    out->verb = ParsedQuery::Verb::kRecallText;
    out->subject = lexer->Take().text;
    if (!lexer->TakeSign(")")) return Syntax(*lexer, "')'");
    return std::nullopt;
  }
  if (kind != Token::Kind::kWord && kind != Token::Kind::kText) {
    return Syntax(*lexer, "an id or a text in quotes after RECALL");
  }
  out->verb =
      kind == Token::Kind::kText ? ParsedQuery::Verb::kRecallText : ParsedQuery::Verb::kRecallId;
  out->subject = lexer->Take().text;
  return std::nullopt;
}

Refused ParseSpread(Lexer* lexer, ParsedQuery* out) {
  if (!lexer->TakeIf("FROM")) return Syntax(*lexer, "FROM after SPREAD");
  const Token::Kind kind = lexer->token().kind;
  if (kind != Token::Kind::kWord && kind != Token::Kind::kText) return Syntax(*lexer, "an id");
  out->verb = ParsedQuery::Verb::kSpread;
  out->subject = lexer->Take().text;
  return std::nullopt;
}

Refused ParseClauses(Lexer* lexer, ParsedQuery* out) {
  while (lexer->token().kind != Token::Kind::kEnd) {
    if (lexer->TakeIf("LIMIT")) {
      if (!TakeNumber(lexer, kLimitMax, &out->limit)) return Syntax(*lexer, "a number up to 1000");
    } else if (out->verb == ParsedQuery::Verb::kSpread && lexer->TakeIf("HOPS")) {
      if (!TakeNumber(lexer, kHopsMax, &out->hops)) return Syntax(*lexer, "a number up to 64");
    } else if (lexer->TakeIf("WHERE")) {
      if (!lexer->TakeIf("CONFIDENCE")) return Syntax(*lexer, "confidence after WHERE");
      if (!lexer->TakeSign(">")) return Syntax(*lexer, "'>'");
      const auto number = ParseFloat(lexer->token().text);
      if (!number) return Syntax(*lexer, "a number");
      out->confidence_above = *number;
      lexer->Take();
    } else {
      return Syntax(*lexer, "LIMIT, WHERE confidence > x, HOPS after SPREAD, or the end");
    }
  }
  return std::nullopt;
}

}  // namespace

OrRefusal<ParsedQuery> ParseQueryText(std::string_view text) {
  Lexer lexer(text);
  for (const std::string_view verb : {"PREDICT", "IMAGINE", "CONSOLIDATE"}) {
    if (!lexer.token().Is(verb)) continue;
    return Refuse({501, "NOT_IMPLEMENTED", std::string(verb) + " queries are not implemented.",
                   "Suggestion: use RECALL or SPREAD.\nExample: RECALL episode_123"});
  }
  ParsedQuery query;
  Refused refused;
  if (lexer.TakeIf("RECALL")) {
    refused = ParseRecall(&lexer, &query);
  } else if (lexer.TakeIf("SPREAD")) {
    refused = ParseSpread(&lexer, &query);
  } else {
    refused = Syntax(lexer, "RECALL or SPREAD");
  }
  if (!refused) refused = ParseClauses(&lexer, &query);
  if (refused) return Refuse(std::move(*refused));
  return query;
}

}  // namespace engram::server
