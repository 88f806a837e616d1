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

FoundSpace Found(SpaceHandle space) {
  FoundSpace found;
  found.arriving = space != nullptr && space->arriving;
  found.space = std::move(space);
  return found;
}

}  // namespace

tl::expected<FoundSpace, Response> SpaceToRead(const ApiGroup& api, const Request& request,
                                               const BodySpace& body, SpaceOrder order) {
  const auto name = ChooseSpace(request, body, api.default_space, order);
  if (!name) return tl::unexpected(ToResponse(name.error()));
  if (SpaceHandle open = api.context.spaces.FindOpen(*name)) return Found(std::move(open));
  if (!request.may_block) return FoundSpace{.space = nullptr, .deferred = true};
  auto found = api.context.spaces.Find(*name);
  if (!found.ok()) return tl::unexpected(StatusResponse(found.status()));
  return Found(std::move(*found));
}

tl::expected<FoundSpace, Response> SpaceToWrite(const ApiGroup& api, const Request& request,
                                                const BodySpace& body) {
  const auto name = ChooseSpace(request, body, api.default_space);
  if (!name) return tl::unexpected(ToResponse(name.error()));
  if (SpaceHandle open = api.context.spaces.FindOpen(*name)) {
    return Found(std::move(open));
  }
  if (!request.may_block) return FoundSpace{.space = nullptr, .deferred = true};
  auto made = api.context.spaces.FindOrCreate(*name);
  if (!made.ok()) return tl::unexpected(StatusResponse(made.status()));
  return Found(std::move(*made));
}

}  // namespace engram::server
