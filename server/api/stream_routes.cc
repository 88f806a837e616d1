// Server-sent events: the migration's progress, and what the open spaces' own counters show.
#include <map>

#include "base/rfc3339.h"
#include "server/api/context.h"
#include "server/api/migration_text.h"

namespace engram::server {
namespace {

using nlohmann::json;

constexpr uint64_t kBeatNs = 500'000'000;
constexpr uint64_t kHeartbeatNs = 15'000'000'000;
constexpr uint64_t kProgressNs = 10'000'000'000;

std::string NowText(Clock& clock) {
  const int64_t seconds = clock.WallSeconds();
  return FormatTime(seconds, clock.WallNanos());
}

// Numbers its events and says that it lives when it has nothing to say.
class Stream : public EventSource {
 public:
  explicit Stream(Clock& clock) : clock_(clock) {}
  bool Poll(std::string* out) final {
    const uint64_t now = clock_.MonotonicNs();
    if (polled_ns_ != 0 && now - polled_ns_ < kBeatNs) return true;
    polled_ns_ = now;
    const size_t before = out->size();
    Add(now, out);
    if (out->size() != before) {
      spoke_ns_ = now;
    } else if (now - spoke_ns_ >= kHeartbeatNs) {
      *out += ": heartbeat\n\n";
      spoke_ns_ = now;
    }
    return true;
  }

 protected:
  virtual void Add(uint64_t now_ns, std::string* out) = 0;
  void Send(const char* event, const json& data, std::string* out) {
    *out += "event: " + std::string(event) + "\nid: " + std::to_string(++number_) +
            "\ndata: " + Dump(data) + "\n\n";
  }
  Clock& clock_;

 private:
  uint64_t polled_ns_ = 0;
  uint64_t spoke_ns_ = 0;
  uint64_t number_ = 0;
};

// `migration`: a space whose status changed; `knobs`: the knobs, when they changed.
class MigrationStream final : public Stream {
 public:
  MigrationStream(const ApiContext& context, std::optional<std::string> space)
      : Stream(context.clock), scheduler_(context.scheduler), space_(std::move(space)) {}

 protected:
  void Add(uint64_t, std::string* out) override {
    const SchedulerKnobs in_effect = scheduler_.knobs();
    json knobs = ToJson(in_effect);
    knobs["dual_memory_types"] = scheduler_.dual_memory_types();
    if (knobs != knobs_) Send("knobs", knobs, out);
    knobs_ = std::move(knobs);
    for (const SpaceMigration& space : scheduler_.Spaces(space_)) {
      json status = ToJson(space, in_effect);
      json& sent = sent_[space.space];
      if (status == sent) continue;
      Send("migration", status, out);
      sent = std::move(status);
    }
  }

 private:
  MigrationScheduler& scheduler_;
  const std::optional<std::string> space_;
  json knobs_;
  std::map<std::string, json> sent_;
};

// One event for each look at a space that was written to meanwhile: how many writes, how many
// memories there are now.
class WritesStream final : public Stream {
 public:
  WritesStream(const ApiContext& context, std::string space, const char* event)
      : Stream(context.clock), spaces_(context.spaces), space_(std::move(space)), event_(event) {}

 protected:
  void Add(uint64_t, std::string* out) override {
    const SpaceHandle space = spaces_.FindOpen(space_);
    if (space == nullptr) return;
    const uint64_t writes = space->writes.load();
    const int64_t life = space->opened_at_unix_ns.load();
    if (life != life_) {
      life_ = life;
      seen_ = life_seen_ ? 0 : writes;
      life_seen_ = true;
    }
    if (writes == seen_) return;
    const auto figures = space->space->Figures();
    if (!figures.ok()) return;
    Send(event_,
         {{"event_type", event_},
          {"memory_space_id", space_},
          {"writes", writes - seen_},
          {"memories", figures->count},
          {"lsn", figures->lsn},
          {"timestamp", NowText(clock_)}},
         out);
    seen_ = writes;
  }

 private:
  SpaceRegistry& spaces_;
  const std::string space_;
  const char* const event_;
  uint64_t seen_ = 0;
  int64_t life_ = 0;
  bool life_seen_ = false;
};

// `progress` every ten seconds: Episodes, Concepts and the bindings between them.
class ConsolidationStream final : public Stream {
 public:
  ConsolidationStream(const ApiContext& context, std::string space)
      : Stream(context.clock), spaces_(context.spaces), space_(std::move(space)) {}

 protected:
  void Add(uint64_t now_ns, std::string* out) override {
    if (sent_ns_ != 0 && now_ns - sent_ns_ < kProgressNs) return;
    const SpaceHandle space = spaces_.FindOpen(space_);
    if (space == nullptr) return;
    const auto figures = space->space->Figures();
    if (!figures.ok()) return;
    sent_ns_ = now_ns;
    Send("progress",
         {{"memory_space_id", space_},
          {"episodes", figures->episode_count},
          {"concepts", figures->concept_count},
          {"bindings", figures->binding_count},
          {"timestamp", NowText(clock_)}},
         out);
  }

 private:
  SpaceRegistry& spaces_;
  const std::string space_;
  uint64_t sent_ns_ = 0;
};

Response Streaming(std::shared_ptr<EventSource> events) {
  Response response;
  response.content_type = "text/event-stream";
  response.events = std::move(events);
  return response;
}

}  // namespace

void AddStreamRoutes(const ApiContext& context, Router* router) {
  const std::string default_space = context.config.config().memory_spaces.default_space;
  const auto space_of = [default_space](const Request& request) {
    return std::string(request.Query("space").value_or(default_space));
  };
  const auto add = [&](const char* pattern, Handler handler) {
    router->Add({Method::kGet, pattern, Execution::kInline, Guard::kRead, std::move(handler)});
  };
  add("/api/v1/stream/migration", [context](const Request& request) {
    std::optional<std::string> space;
    if (const auto named = request.Query("space")) space = std::string(*named);
    return Streaming(std::make_shared<MigrationStream>(context, std::move(space)));
  });
  add("/api/v1/stream/activities", [context, space_of](const Request& request) {
    return Streaming(std::make_shared<WritesStream>(context, space_of(request), "storage"));
  });
  add("/api/v1/stream/memories", [context, space_of](const Request& request) {
    return Streaming(std::make_shared<WritesStream>(context, space_of(request), "formation"));
  });
  add("/api/v1/stream/consolidation", [context, space_of](const Request& request) {
    return Streaming(std::make_shared<ConsolidationStream>(context, space_of(request)));
  });
}

}  // namespace engram::server
