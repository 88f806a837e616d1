// Spaces, maintenance, and what a single server answers for a cluster.
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>

#include "base/file_system.h"
#include "base/ids.h"
#include "base/json_text.h"
#include "server/api/handling.h"
#include "server/api/json_body.h"

namespace engram::server {
namespace {

struct SpaceBody {
  std::optional<std::string> id;
};

class SpaceRoutes {
 public:
  explicit SpaceRoutes(const ApiContext& context)
      : api_(context), data_root_(context.config.config().storage.data_root) {}

  Response List(const Request&) const {
    const auto names = api_.context.spaces.Names();
    if (!names.ok()) return StatusResponse(names.status());
    std::string body = R"({"spaces":[)";
    for (size_t i = 0; i < names->size(); ++i) {
      if (i > 0) body += ',';
      AppendDescriptor((*names)[i], &body);
    }
    return Response::Json(200, body + "]}");
  }

  Response Create(const Request& request) const {
    SpaceBody body;
    const auto refused =
        ReadBody(request, [&](std::string_view key, JsonValue& value, bool* known) {
          if (key == "id") return ReadText(key, value, &body.id);
          *known = false;
          return Refused();
        });
    if (refused) return ToResponse(*refused);
    if (!body.id) {
      return ToResponse(WrongShape("Missing 'id' field.", "Send {\"id\": \"my-space\"}."));
    }
    const auto id = SpaceId::Parse(*body.id);
    if (!id.ok()) {
      return ToResponse(InvalidInput("Invalid memory space id: " + id.status().message() + ".",
                                     id.status().hint()));
    }
    const auto made = api_.context.spaces.FindOrCreate(id->str());
    if (!made.ok()) return StatusResponse(made.status());
    std::string descriptor;
    AppendDescriptor(id->str(), &descriptor);
    return Response::Json(201, std::move(descriptor));
  }

  // The engine compacts a closed space only: nothing is done, and the answer says so.
  Response Compact(const Request& request) const {
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    return Response::Json(
        200,
        R"({"compaction":null,"pressure_before":0.0,"pressure_after":0.0,)"
        R"("maintenance_triggered":false,"message":"A space that is being served is not compacted: )"
        R"(stop the server and run engram compact --space <id>."})");
  }

 private:
  void AppendDescriptor(const std::string& name, std::string* out) const {
    const std::string folder = JoinPath(data_root_, name);
    ObjectText object(out);
    object.String("id", name);
    object.String("persistence_root", folder);
    object.String("created_at", CreatedAt(folder));
    object.Close();
  }

  // When the folder of the space came into being; the epoch where the file system does not know.
  static std::string CreatedAt(const std::string& folder) {
    struct statx info {};
    const int failed = statx(AT_FDCWD, folder.c_str(), 0, STATX_BTIME, &info);
    if (failed != 0 || (info.stx_mask & STATX_BTIME) == 0) return FormatTime(0, 0);
    return FormatTime(info.stx_btime.tv_sec, info.stx_btime.tv_nsec);
  }

  const ApiGroup api_;
  const std::string data_root_;
};

Response NotClustered(const Request&) {
  return ErrorResponse(501, "FEATURE_NOT_ENABLED", "This server is not part of a cluster.",
                       "Use the routes below /api/v1; one server serves all of its spaces.");
}

}  // namespace

void AddSpaceRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const SpaceRoutes>(context);
  AddMeasured(context, router, "space_list",
              {Method::kGet, "/api/v1/spaces", Execution::kBlocking, Guard::kRead,
               [routes](const Request& request) { return routes->List(request); }});
  AddMeasured(context, router, "space_create",
              {Method::kPost, "/api/v1/spaces", Execution::kBlocking, Guard::kControl,
               [routes](const Request& request) { return routes->Create(request); },
               /*takes_json=*/true});
  AddMeasured(context, router, "compact",
              {Method::kPost, "/api/v1/maintenance/compact", Execution::kBlocking, Guard::kControl,
               [routes](const Request& request) { return routes->Compact(request); }});
  const auto cluster = [&](Method method, const char* pattern, Guard guard) {
    router->Add({method, pattern, Execution::kInline, guard, NotClustered});
  };
  cluster(Method::kPost, "/cluster/migrate", Guard::kControl);
  cluster(Method::kGet, "/cluster/rebalance", Guard::kRead);
  cluster(Method::kPost, "/cluster/rebalance", Guard::kControl);
  cluster(Method::kGet, "/cluster/health", Guard::kRead);
  cluster(Method::kGet, "/cluster/nodes", Guard::kRead);
}

}  // namespace engram::server
