// Who may call what: the API key, the origin of browsers, and what a request is answered with
// before any handler sees it.
#ifndef ENGRAM_SERVER_HTTP_ACCESS_H_
#define ENGRAM_SERVER_HTTP_ACCESS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/message.h"
#include "server/http/router.h"

namespace engram::server {

// Where a request came in and what is asked of it there.
struct AccessRules {
  std::string api_key;                   // empty: none is asked for
  std::vector<std::string> own_origins;  // "http://127.0.0.1:7432", ...; lower case
};

// "http://<address>:<port>" as browsers write it; with an address of the loopback, or any address
// ("0.0.0.0", "::"), also the loopback's other names.
std::vector<std::string> OwnOrigins(std::string_view address, uint16_t port);

// Equal without telling, by the time it takes, how much of `presented` is right.
bool SecretEquals(std::string_view presented, std::string_view secret);

struct Admission {
  const Route* route = nullptr;     // the route, also of what is refused by its guard
  std::optional<Response> refusal;  // the answer; no handler runs
  // Value of Access-Control-Allow-Origin; empty: the header is left out.
  std::string_view allow_origin;
};

// Decides over a request whose header is complete; fills its path parameters. `local_origin`: what
// the client's connection ends at here, "http://10.0.0.5:7432", or empty.
Admission Admit(const Router& router, const AccessRules& rules, std::string_view local_origin,
                std::string_view raw_path, Request* request);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_ACCESS_H_
