// Memories one at a time: remember, get, delete.
#include <memory>

#include "base/json_text.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/auto_link.h"
#include "server/api/handling.h"
#include "server/api/new_memory.h"
#include "server/api/query_params.h"
#include "server/api/record_text.h"
#include "server/api/route_groups.h"

namespace engram::server {
namespace {

constexpr char kDefaultReasoning[] = "Default confidence for user-provided memory";
constexpr float kDefaultLinkThreshold = 0.7f;

std::string SystemMessage(const NewMemory& memory, MemoryForm form, bool auto_link) {
  std::string activation = std::to_string(memory.confidence);
  activation.resize(activation.find('.') + 3);
  return std::string(form == MemoryForm::kEpisode ? "Episode '" : "Memory '") + memory.id +
         "' successfully encoded with " + activation + " activation. " +
         (auto_link ? "Automatic linking enabled: similar memories are joined by edges."
                    : "Consider enabling auto-linking to join it to similar memories.");
}

// The 201 of all three routes.
Response Remembered(const NewMemory& memory, MemoryForm form, const std::string& reasoning,
                    bool auto_link, const std::vector<AutoLink>& links) {
  std::string body;
  ObjectText object(&body);
  object.String("memory_id", memory.id);
  AppendConfidence(memory.confidence, reasoning, object.Key("storage_confidence"));
  object.String("consolidation_state", "Recent");
  object.String("observed_at", memory.when);
  object.String("stored_at", memory.now);
  *object.Key("links") += R"({"consolidation":"/api/v1/consolidations"})";
  AppendAutoLinks(links, object.Key("auto_links"));
  object.String("system_message", SystemMessage(memory, form, auto_link));
  object.Close();
  return Response::Json(201, std::move(body));
}

// A memory on its way into the store, until its answer is made.
struct Remembering {
  NewMemory memory;
  MemoryForm form;
  std::string reasoning;
  std::unique_ptr<WriteScope> scope = nullptr;
};

class MemoryRoutes {
 public:
  explicit MemoryRoutes(const ApiContext& context) : api_(context) {}

  Response Remember(const Request& request, MemoryForm form) const {
    MemoryBody body;
    if (const auto refused = ReadMemoryBody(request, form, &body)) return ToResponse(*refused);
    const BodySpace space_of_body = body.space;
    const bool auto_link = body.auto_link.value_or(false);
    const float link_threshold = body.link_threshold.value_or(kDefaultLinkThreshold);
    const std::string reasoning = body.confidence_reasoning.value_or(kDefaultReasoning);
    auto memory = MakeMemory(std::move(body), form, Now(api_.context.clock));
    if (!memory) return ToResponse(memory.error());
    if (auto_link && !request.may_block) return Response::Defer();
    const auto space = SpaceToWrite(api_, request, space_of_body);
    if (!space) return space.error();
    if (space->deferred) return Response::Defer();
    if (!request.may_block) {
      return RememberStaged(space->space, {std::move(*memory), form, reasoning});
    }

    std::vector<AutoLink> links;
    const WriteScope scope(api_.context.spaces, space->space);
    plugin::Space& store = *space->space->space;
    const auto stored = store.Store(NewMemoryView(*memory).record());
    if (!stored.ok()) return StatusResponse(stored.status());
    if (auto_link) {
      const Status linked = LinkToSimilar(store, *memory, link_threshold, &links);
      if (!linked.ok()) return StatusResponse(linked);
    }
    return Remembered(*memory, form, reasoning, auto_link, links);
  }

  Response Get(const Request& request) const {
    RecordStyle style;
    if (const auto refused = ReadStyle(request, &style)) return ToResponse(*refused);
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    if (read->deferred) return Response::Defer();
    const std::string_view id = request.PathParam("id");
    if (read->space == nullptr) return MemoryNotFound(false, id);
    std::string body;
    const Status status =
        read->space->space->Retrieve(id, style.embeddings, [&](const engram_se_memory& memory) {
          AppendRecord(memory, style, &body);
          return false;
        });
    if (status.code() == StatusCode::kNotFound) return MemoryNotFound(read->arriving, id);
    if (!status.ok()) return StatusResponse(status);
    return Response::Json(200, std::move(body));
  }

  Response Delete(const Request& request) const {
    const auto read = SpaceToRead(api_, request);
    if (!read) return read.error();
    const std::string_view id = request.PathParam("id");
    if (read->space == nullptr) return MemoryNotFound(false, id);
    const WriteScope scope(api_.context.spaces, read->space);
    const auto removed = read->space->space->Remove(id);
    if (removed.status().code() == StatusCode::kNotFound) return MemoryNotFound(read->arriving, id);
    if (!removed.ok()) return StatusResponse(removed.status());
    std::string body;
    ObjectText object(&body);
    object.String("status", "deleted");
    object.String("message", "Memory '" + std::string(id) + "' and its edges were deleted.");
    object.String("memory_id", id);
    object.Close();
    return Response::Json(200, std::move(body));
  }

 private:
  // The same without waiting: who waits for the flush is the connection's affair.
  Response RememberStaged(const SpaceHandle& space, Remembering given) const {
    const auto one = std::make_shared<Remembering>(std::move(given));
    one->scope = std::make_unique<WriteScope>(api_.context.spaces, space);
    const auto staged = space->space->Stage(NewMemoryView(one->memory).record());
    const StatusCode code = staged.status().code();
    if (code == StatusCode::kBusy || code == StatusCode::kUnsupported) return Response::Defer();
    if (!staged.ok()) return StatusResponse(staged.status());
    return Response::After(space.get(), [one, space, lsn = *staged] {
      const Status durable = space->space->WaitDurable(lsn);
      one->scope.reset();  // before the client can ask for what it wrote
      if (!durable.ok()) return StatusResponse(durable);
      return Remembered(one->memory, one->form, one->reasoning, false, {});
    });
  }

  const ApiGroup api_;
};

}  // namespace

void AddMemoryRoutes(const ApiContext& context, Router* router) {
  const auto routes = std::make_shared<const MemoryRoutes>(context);
  const auto remember = [&](const char* pattern, MemoryForm form) {
    AddMeasured(context, router, "remember",
                {Method::kPost, pattern, Execution::kInlineFirst, Guard::kControl,
                 [routes, form](const Request& request) { return routes->Remember(request, form); },
                 /*takes_json=*/true});
  };
  remember("/api/v1/memories", MemoryForm::kPlain);
  remember("/api/v1/memories/remember", MemoryForm::kMemory);
  remember("/api/v1/episodes/remember", MemoryForm::kEpisode);
  AddMeasured(context, router, "get",
              {Method::kGet, "/api/v1/memories/{id}", Execution::kInlineFirst, Guard::kRead,
               [routes](const Request& request) { return routes->Get(request); }});
  AddMeasured(context, router, "delete",
              {Method::kDelete, "/api/v1/memories/{id}", Execution::kBlocking, Guard::kControl,
               [routes](const Request& request) { return routes->Delete(request); }});
  AddListRoutes(context, router);
  AddCompletionRoutes(context, router);
}

}  // namespace engram::server
