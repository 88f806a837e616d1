// What all groups of routes use: a handler that is measured, the space of a request, the time.
#ifndef ENGRAM_SERVER_API_HANDLING_H_
#define ENGRAM_SERVER_API_HANDLING_H_

#include <string>
#include <string_view>

#include "base/rfc3339.h"
#include "server/api/context.h"
#include "server/api/refusal.h"
#include "server/api/space_choice.h"

namespace engram::server {

// One group of routes: the context and what of the configuration holds until a restart.
struct ApiGroup {
  explicit ApiGroup(const ApiContext& given)
      : context(given), default_space(given.config.config().memory_spaces.default_space) {}
  ApiContext context;
  std::string default_space;
};

// Adds a route whose requests count as `operation` (a literal); an answer that IsFailure() counts
// as its error.
void AddMeasured(const ApiContext& context, Router* router, std::string_view operation,
                 Route route);

TimePoint Now(Clock& clock);

// The space that a request means. `deferred`: it is not open and the request may not wait for it.
struct FoundSpace {
  SpaceHandle space;
  bool deferred = false;
  bool arriving = false;  // as of before anything was looked up in it
};
// Of a read. `space` is null if there is none: an empty answer.
// Refusals: a bad name, a space that cannot be opened.
tl::expected<FoundSpace, Response> SpaceToRead(const ApiGroup& api, const Request& request,
                                               const BodySpace& body = {},
                                               SpaceOrder order = SpaceOrder::kHeaderFirst);
// The space that a write goes to, made if it is not there.
tl::expected<FoundSpace, Response> SpaceToWrite(const ApiGroup& api, const Request& request,
                                                const BodySpace& body = {});

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_HANDLING_H_
