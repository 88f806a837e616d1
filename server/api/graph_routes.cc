// Edges between memories, and what follows them: neighbours, traversal, spreading; bindings.
#include <memory>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/handling.h"
#include "server/api/json_body.h"
#include "server/api/query_params.h"
#include "server/api/record_text.h"
#include "server/graph/links.h"

namespace engram::server {
namespace {

constexpr uint64_t kDefaultLimit = 100;
constexpr uint64_t kLimitMax = 1000;
constexpr uint64_t kDepthMax = 64;
constexpr float kDefaultWeight = 1.0f;
constexpr float kDefaultDecay = 0.8f;  // of upstream's graph

struct EdgeBody {
  BodySpace space;
  std::optional<std::string> to;
  std::optional<float> weight, decay;
};

Refused ReadEdgeBody(const Request& request, EdgeBody* out) {
  return ReadBody(request, [&](std::string_view key, JsonValue& value, bool* known) {
    if (key == "to" || key == "target" || key == "target_id") {
      return ReadText(key, value, &out->to);
    }
    if (key == "weight") return ReadFloat(key, value, &out->weight);
    if (key == "decay") return ReadFloat(key, value, &out->decay);
    if (key == "memory_space_id") return ReadText(key, value, &out->space.memory_space_id);
    if (key == "memory_space") return ReadText(key, value, &out->space.memory_space);
    *known = false;
    return Refused();
  });
}

Refused ReadLimit(const Request& request, uint64_t* out) {
  *out = kDefaultLimit;
  auto refused = QueryUnsigned(request, "limit", out);
  *out = std::min(*out, kLimitMax);
  return refused;
}

void AppendEdge(std::string_view from, std::string_view to, float weight, std::string* out) {
  ObjectText object(out);
  object.String("from", from);
  object.String("to", to);
  AppendFloat(weight, object.Key("weight"));
  object.Close();
}

// A node on the way: what is known of it. An edge may lead to an id without a memory.
Status AppendNode(plugin::Space& space, std::string_view id, const float* weight,
                  std::string* out) {
  ObjectText object(out);
  object.String("id", id);
  if (weight != nullptr) AppendFloat(*weight, object.Key("weight"));
  const Status status = space.Retrieve(id, false, [&](const engram_se_memory& memory) {
    AppendText(memory.content, (memory.present & ENGRAM_SE_HAS_CONTENT) != 0,
               object.Key("content"));
    AppendFloat(memory.activation, object.Key("activation"));
    return false;
  });
  if (status.code() == StatusCode::kNotFound) {
    object.Null("content");
    object.Null("activation");
  }
  object.Close();
  return status.code() == StatusCode::kNotFound ? Status::Ok() : status;
}

struct Neighbour {
  std::string id;
  float weight;
};

Status ReadNeighbours(plugin::Space& space, std::string_view id, std::vector<Neighbour>* out) {
  return space.Neighbours(id, [&](std::string_view to, float weight) {
    out->push_back({std::string(to), weight});
    return true;
  });
}

class GraphRoutes {
 public:
  explicit GraphRoutes(const ApiContext& context) : api_(context) {}

  Response AddEdge(const Request& request) const {
    EdgeBody body;
    if (const auto refused = ReadEdgeBody(request, &body)) return ToResponse(*refused);
    if (!body.to) {
      return ToResponse(WrongShape("Missing 'to' field: the id that the edge leads to.",
                                   "Send {\"to\": \"<id>\", \"weight\": 0.5}."));
    }
    const std::string_view from = request.PathParam("id");
    const float weight = body.weight.value_or(kDefaultWeight);
    return WithMemory(request, body.space, from, [&](const SpaceHandle& space) {
      const bool arriving = space->arriving;
      const WriteScope scope(api_.context.spaces, space);
      const auto missing = AddEdgeBetweenStored(*space->space, from, *body.to, weight);
      if (!missing.ok()) return StatusResponse(missing.status());
      if (*missing) return MemoryNotFound(arriving, **missing);
      std::string out;
      AppendEdge(from, *body.to, weight, &out);
      return Response::Json(201, std::move(out));
    });
  }

  Response Edges(const Request& request) const {
    uint64_t limit = 0;
    if (const auto refused = ReadLimit(request, &limit)) return ToResponse(*refused);
    const std::string_view id = request.PathParam("id");
    return WithMemory(request, {}, id, [&](const SpaceHandle& space) {
      std::vector<Neighbour> neighbours;
      const Status status = ReadNeighbours(*space->space, id, &neighbours);
      if (!status.ok()) return StatusResponse(status);
      std::string out;
      ObjectText object(&out);
      object.String("memory_id", id);
      std::string* list = object.Key("edges");
      *list += '[';
      for (size_t i = 0; i < neighbours.size() && i < limit; ++i) {
        if (i > 0) *list += ',';
        AppendEdge(id, neighbours[i].id, neighbours[i].weight, list);
      }
      *list += ']';
      object.Integer("total", neighbours.size());
      object.Close();
      return Response::Json(200, std::move(out));
    });
  }

  // `to` as the last segment or as a query parameter.
  Response RemoveEdge(const Request& request, std::string_view to) const {
    if (to.empty()) {
      return ToResponse(BadRequest("Missing 'to' parameter: the id that the edge leads to.",
                                   "Use DELETE /api/v1/memories/{id}/edges?to=<id>."));
    }
    const std::string_view from = request.PathParam("id");
    return WithMemory(request, {}, from, [&](const SpaceHandle& space) {
      const WriteScope scope(api_.context.spaces, space);
      const auto removed = space->space->RemoveEdge(from, to);
      if (!removed.ok()) return StatusResponse(removed.status());
      if (!*removed) {
        const auto known = space->space->Contains(to);
        if (!known.ok()) return StatusResponse(known.status());
        if (space->arriving && !*known) return NotHereYet(to);
        return ErrorResponse(404, "RESOURCE_NOT_FOUND",
                             "No edge from '" + Shown(from) + "' to '" + Shown(to) + "'.",
                             "GET /api/v1/memories/{id}/edges lists the edges.");
      }
      std::string out;
      ObjectText object(&out);
      object.String("status", "deleted");
      object.String("from", from);
      object.String("to", to);
      object.Close();
      return Response::Json(200, std::move(out));
    });
  }

  Response Neighbours(const Request& request) const {
    uint64_t limit = 0;
    if (const auto refused = ReadLimit(request, &limit)) return ToResponse(*refused);
    const std::string_view id = request.PathParam("id");
    return WithMemory(request, {}, id, [&](const SpaceHandle& space) {
      return NeighboursOf(*space->space, id, limit);
    });
  }

  Response Traverse(const Request& request) const {
    uint64_t limit = 0, depth = 1;
    if (const auto refused = ReadLimit(request, &limit)) return ToResponse(*refused);
    if (const auto refused = QueryUnsigned(request, "depth", &depth)) return ToResponse(*refused);
    if (depth > kDepthMax) {
      return ToResponse(BadRequest("Query parameter 'depth' is above 64.",
                                   "Use a depth of at most 64, for example ?depth=3."));
    }
    const std::string_view id = request.PathParam("id");
    return WithMemory(request, {}, id, [&](const SpaceHandle& space) {
      std::vector<std::string> ids;
      const Status status =
          space->space->Traverse(id, static_cast<uint32_t>(depth), [&](std::string_view reached) {
            ids.emplace_back(reached);
            return ids.size() <= limit;
          });
      if (!status.ok()) return StatusResponse(status);
      return Traversed(*space->space, id, depth, limit, std::move(ids));
    });
  }

  Response Spread(const Request& request) const {
    EdgeBody body;
    if (!request.body.empty()) {
      if (const auto refused = ReadEdgeBody(request, &body)) return ToResponse(*refused);
    }
    const std::string_view id = request.PathParam("id");
    return WithMemory(request, body.space, id, [&](const SpaceHandle& space) {
      const WriteScope scope(api_.context.spaces, space);
      const Status status = space->space->Spread(id, body.decay.value_or(kDefaultDecay));
      if (!status.ok()) return StatusResponse(status);
      return NeighboursOf(*space->space, id, kLimitMax);
    });
  }

  // Of an Episode its Concepts, of a Concept its Episodes.
  Response Bindings(const Request& request) const {
    const std::string_view id = request.PathParam("id");
    return WithMemory(request, {}, id, [&](const SpaceHandle& space) {
      std::string out;
      ObjectText object(&out);
      object.String("memory_id", id);
      const Status concepts = AppendBindings(object.Key("concepts"), [&](const auto& visit) {
        return space->space->ConceptsOf(id, visit);
      });
      if (!concepts.ok()) return StatusResponse(concepts);
      const Status episodes = AppendBindings(object.Key("episodes"), [&](const auto& visit) {
        return space->space->EpisodesOf(id, visit);
      });
      if (!episodes.ok()) return StatusResponse(episodes);
      object.Close();
      return Response::Json(200, std::move(out));
    });
  }

 private:
  // Calls `answer` with the space if it holds the memory.
  template <typename Answer>
  Response WithMemory(const Request& request, const BodySpace& body, std::string_view id,
                      Answer&& answer) const {
    const auto read = SpaceToRead(api_, request, body);
    if (!read) return read.error();
    if (read->space == nullptr) return MemoryNotFound(false, id);
    const auto found = read->space->space->Contains(id);
    if (!found.ok()) return StatusResponse(found.status());
    return *found ? answer(read->space) : MemoryNotFound(read->arriving, id);
  }

  static Response NeighboursOf(plugin::Space& space, std::string_view id, uint64_t limit) {
    std::vector<Neighbour> neighbours;
    Status status = ReadNeighbours(space, id, &neighbours);
    if (!status.ok()) return StatusResponse(status);
    std::string out;
    ObjectText object(&out);
    object.String("memory_id", id);
    std::string* list = object.Key("neighbours");
    *list += '[';
    for (size_t i = 0; i < neighbours.size() && i < limit; ++i) {
      if (i > 0) *list += ',';
      status = AppendNode(space, neighbours[i].id, &neighbours[i].weight, list);
      if (!status.ok()) return StatusResponse(status);
    }
    *list += ']';
    object.Integer("total", neighbours.size());
    object.Close();
    return Response::Json(200, std::move(out));
  }

  static Response Traversed(plugin::Space& space, std::string_view start, uint64_t depth,
                            uint64_t limit, std::vector<std::string> ids) {
    const bool truncated = ids.size() > limit;
    if (truncated) ids.resize(limit);
    std::string out;
    ObjectText object(&out);
    object.String("start", start);
    object.Integer("depth", depth);
    std::string* list = object.Key("memories");
    *list += '[';
    for (size_t i = 0; i < ids.size(); ++i) {
      if (i > 0) *list += ',';
      const Status status = AppendNode(space, ids[i], nullptr, list);
      if (!status.ok()) return StatusResponse(status);
    }
    *list += ']';
    object.Integer("count", ids.size());
    object.Bool("truncated", truncated);
    object.Close();
    return Response::Json(200, std::move(out));
  }

  template <typename Read>
  static Status AppendBindings(std::string* out, Read&& read) {
    *out += '[';
    bool first = true;
    const plugin::BindingVisitor visit = [&](std::string_view id, float strength,
                                             float contribution) {
      if (!std::exchange(first, false)) *out += ',';
      ObjectText object(out);
      object.String("id", id);
      AppendFloat(strength, object.Key("strength"));
      AppendFloat(contribution, object.Key("contribution"));
      object.Close();
      return true;
    };
    ENGRAM_TRY(read(visit));
    *out += ']';
    return Status::Ok();
  }

  const ApiGroup api_;
};

}  // namespace

void AddGraphRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const GraphRoutes>(context);
  const auto read = [&](std::string_view operation, const char* pattern,
                        Response (GraphRoutes::*handle)(const Request&) const) {
    AddMeasured(context, router, operation,
                {Method::kGet, pattern, Execution::kBlocking, Guard::kRead,
                 [routes, handle](const Request& request) { return (*routes.*handle)(request); }});
  };
  const auto control = [&](std::string_view operation, Method method, const char* pattern,
                           Handler handler, bool takes_json = false) {
    AddMeasured(
        context, router, operation,
        {method, pattern, Execution::kBlocking, Guard::kControl, std::move(handler), takes_json});
  };
  read("edges", "/api/v1/memories/{id}/edges", &GraphRoutes::Edges);
  read("neighbours", "/api/v1/memories/{id}/neighbours", &GraphRoutes::Neighbours);
  read("neighbours", "/api/v1/memories/{id}/neighbors", &GraphRoutes::Neighbours);
  read("traverse", "/api/v1/memories/{id}/traverse", &GraphRoutes::Traverse);
  read("bindings", "/api/v1/memories/{id}/bindings", &GraphRoutes::Bindings);
  control(
      "edge_add", Method::kPost, "/api/v1/memories/{id}/edges",
      [routes](const Request& request) { return routes->AddEdge(request); },
      /*takes_json=*/true);
  control("edge_remove", Method::kDelete, "/api/v1/memories/{id}/edges",
          [routes](const Request& request) {
            auto to = request.Query("to");
            if (!to) to = request.Query("target");
            return routes->RemoveEdge(request, to.value_or(""));
          });
  control("edge_remove", Method::kDelete, "/api/v1/memories/{id}/edges/{to}",
          [routes](const Request& request) {
            return routes->RemoveEdge(request, request.PathParam("to"));
          });
  control("spread", Method::kPost, "/api/v1/memories/{id}/spread",
          [routes](const Request& request) { return routes->Spread(request); });
}

}  // namespace engram::server
