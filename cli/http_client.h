// One HTTP request to the server of this machine, over a socket of its own, within a deadline that
// covers everything: a server that hangs at any point cannot hang the caller.
#ifndef ENGRAM_CLI_HTTP_CLIENT_H_
#define ENGRAM_CLI_HTTP_CLIENT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace engram::cli {

struct HttpCall {
  std::string address = "127.0.0.1";  // IPv4 or IPv6 literal
  uint16_t port = 0;
  std::string method = "GET";
  std::string target = "/";  // percent-encoded
  std::string body = "";     // JSON, or empty
  std::string api_key = "";  // sent as a bearer token unless empty
  std::vector<std::pair<std::string, std::string>> headers = {};
  uint32_t deadline_ms = 2000;
  uint64_t reply_size_bytes_max = 256u << 20;
};
struct HttpReply {
  int status = 0;
  std::string body;
};

// Any complete reply is a success, whatever its status. kNotFound: nothing listens there; kBusy: no
// complete reply within the deadline; kCancelled: a signal came; kIo: the connection broke or what
// came is not HTTP.
Result<HttpReply> Send(const HttpCall& call);

// For one segment of a target or one value of its query.
std::string PercentEncoded(std::string_view text);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_HTTP_CLIENT_H_
