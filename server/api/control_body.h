// Bodies of the control routes: small flat JSON objects.
#ifndef ENGRAM_SERVER_API_CONTROL_BODY_H_
#define ENGRAM_SERVER_API_CONTROL_BODY_H_

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "server/http/message.h"

namespace engram::server {

// The body's object without its nulls, which are absent values, or the refusal: 415 without a JSON
// content type, 400 for what is not well-formed, 422 for anything but an object.
tl::expected<nlohmann::json, Response> ControlBody(const Request& request);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_CONTROL_BODY_H_
