#include "server/api/handling.h"

#include <utility>

namespace engram::server {

void AddMeasured(const ApiContext& context, Router* router, std::string_view operation,
                 Route route) {
  route.handler = [&metrics = context.metrics, &clock = context.clock, operation,
                   handler = std::move(route.handler)](const Request& request) {
    const uint64_t start = clock.MonotonicNs();
    const auto record = [&metrics, &clock, operation, start](const Response& answer) {
      metrics.RecordOperation(operation, clock.MonotonicNs() - start, !IsFailure(answer.status));
    };
    Response response = handler(request);
    if (response.pending != nullptr) {
      response.pending->finish = [record, finish = std::move(response.pending->finish)] {
        Response answer = finish();
        record(answer);
        return answer;
      };
    } else if (!response.defer) {
      record(response);
    }
    return response;
  };
  router->Add(std::move(route));
}

TimePoint Now(Clock& clock) {
  TimePoint now;
  now.unix_seconds = clock.WallSeconds();
  now.nanos = clock.WallNanos();
  return now;
}

namespace {

// `acquire` opens or makes the space of that name, if it is not open now.
template <typename Acquire>
tl::expected<FoundSpace, Response> Find(const ApiGroup& api, const Request& request,
                                        const OrRefusal<std::string>& name, Acquire&& acquire) {
  if (!name) return tl::unexpected(ToResponse(name.error()));
  FoundSpace found;
  found.space = api.context.spaces.FindOpen(*name);
  if (found.space == nullptr && !request.may_block) {
    found.deferred = true;
    return found;
  }
  if (found.space == nullptr) {
    auto acquired = acquire(*name);
    if (!acquired.ok()) return tl::unexpected(StatusResponse(acquired.status()));
    found.space = std::move(*acquired);
  }
  found.arriving = found.space != nullptr && found.space->arriving;
  return found;
}

}  // namespace

tl::expected<FoundSpace, Response> SpaceToRead(const ApiGroup& api, const Request& request,
                                               const BodySpace& body, SpaceOrder order) {
  return Find(api, request, ChooseSpace(request, body, api.default_space, order),
              [&](const std::string& name) { return api.context.spaces.Find(name); });
}

tl::expected<FoundSpace, Response> SpaceToWrite(const ApiGroup& api, const Request& request,
                                                const BodySpace& body) {
  return Find(api, request, ChooseSpace(request, body, api.default_space),
              [&](const std::string& name) { return api.context.spaces.FindOrCreate(name); });
}

}  // namespace engram::server
