// One HTTP/1.1 request out of a stream of bytes, within limits. Beast's parser is behind it; what
// Beast leaves to its user is decided here: repeated headers, framing that two readers could
// understand differently, what is kept of the body.
#ifndef ENGRAM_SERVER_HTTP_REQUEST_PARSER_H_
#define ENGRAM_SERVER_HTTP_REQUEST_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace engram::server {

inline constexpr size_t kHeadersMax = 100;

struct ParserLimits {
  size_t header_size_bytes_max = 64u << 10;  // request line and headers; also trailers, chunk lines
  uint64_t body_size_bytes_max = 2u << 20;
};

// Why a request cannot be read: the response's status and what it says. The connection cannot be
// used any more.
struct ParseFailure {
  int status = 400;
  std::string_view code;
  std::string message;
  std::string_view guidance;
};

// Belongs to one thread.
class RequestParser {
 public:
  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  enum class State {
    kHeader,    // the header is not complete
    kBody,      // it is; the body is not
    kComplete,  // request() is whole
    kFailed,    // failure() says why
  };
  State state() const { return state_; }

  // Reads on and returns how many bytes it took; the caller offers the rest again, with what comes
  // after it. Stops when the header is complete, so that the caller can refuse the request before
  // its body, and after the last byte of the request.
  size_t Feed(std::string_view bytes);

  Request& request() { return request_; }
  // Both as in the request line, without the other. Valid until Reset().
  std::string_view raw_path() const { return raw_path_; }
  const ParseFailure& failure() const { return failure_; }
  bool keep_alive() const { return keep_alive_; }  // from State::kBody on
  bool is_http_1_0() const { return http_1_0_; }
  bool expects_continue() const { return expects_continue_; }
  uint64_t size_bytes() const { return size_bytes_; }  // taken so far, header and body
  // The body is read but not kept.
  void DiscardBody() { keep_body_ = false; }
  // Ready for the next request.
  void Reset();

 private:
  class Adapter;
  void Fail(int status, std::string_view code, std::string message, std::string_view guidance);
  void FinishHeader();
  bool CheckFraming();
  bool TakeTarget();
  bool TakeExpectation();

  const ParserLimits limits_;
  State state_ = State::kHeader;
  Request request_;
  std::string target_;
  std::string_view raw_path_;
  ParseFailure failure_;
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  bool expects_continue_ = false;
  bool keep_body_ = true;
  uint64_t size_bytes_ = 0;
  uint64_t unkept_size_bytes_ = 0;  // header, chunk lines and trailers
  std::unique_ptr<Adapter> adapter_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_REQUEST_PARSER_H_
