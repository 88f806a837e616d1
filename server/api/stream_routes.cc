// Server-sent events: the migration's progress, and what the open spaces' own counters show.
#include <utility>

#include "base/rfc3339.h"
#include "server/api/context.h"
#include "server/api/migration_feed.h"
#include "server/api/migration_text.h"
#include "server/api/space_choice.h"

namespace engram::server {
namespace {

using nlohmann::json;

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
    if (polled_ns_ != 0 && now - polled_ns_ < MigrationFeed::kBeatNs) return true;
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
    SendText(event, Dump(data), out);
  }
  void SendText(const char* event, const std::string& data, std::string* out) {
    *out += "event: " + std::string(event) + "\nid: " + std::to_string(++number_) +
            "\ndata: " + data + "\n\n";
  }
  Clock& clock_;

 private:
  uint64_t polled_ns_ = 0;
  uint64_t spoke_ns_ = 0;
  uint64_t number_ = 0;
};

// `knobs`: the knobs, when they changed; `migration`: a space whose status changed.
class MigrationStream final : public Stream {
 public:
  MigrationStream(const ApiContext& context, std::shared_ptr<MigrationFeed> feed)
      : Stream(context.clock), feed_(std::move(feed)) {}

 protected:
  void Add(uint64_t, std::string* out) override {
    const auto latest = feed_->Latest();
    if (latest->knobs.changed_in > seen_) SendText("knobs", *latest->knobs.text, out);
    for (const MigrationFeed::Part& space : latest->spaces) {
      if (space.changed_in > seen_) SendText("migration", *space.text, out);
    }
    seen_ = latest->number;
  }

 private:
  const std::shared_ptr<MigrationFeed> feed_;
  uint64_t seen_ = 0;
};

// The same of one space, which costs little.
class SpaceMigrationStream final : public Stream {
 public:
  SpaceMigrationStream(const ApiContext& context, std::string space)
      : Stream(context.clock), scheduler_(context.scheduler), space_(std::move(space)) {}

 protected:
  void Add(uint64_t, std::string* out) override {
    SendIfNew("knobs", KnobsText(scheduler_), &knobs_, out);
    for (const SpaceMigration& space : scheduler_.Spaces(space_)) {
      SendIfNew("migration", Dump(ToJson(space, scheduler_.knobs())), &status_, out);
    }
  }

 private:
  void SendIfNew(const char* event, std::string text, std::string* sent, std::string* out) {
    if (text == *sent) return;
    SendText(event, text, out);
    *sent = std::move(text);
  }

  MigrationScheduler& scheduler_;
  const std::string space_;
  std::string knobs_;
  std::string status_;
};

// One event for each look at a space that was written to meanwhile: how many writes of any kind,
// how many memories there are now.
class WritesStream final : public Stream {
 public:
  // `fewer`: the event's name when there are fewer memories than at the look before.
  WritesStream(const ApiContext& context, std::string space, const char* event, const char* fewer)
      : Stream(context.clock),
        spaces_(context.spaces),
        space_(std::move(space)),
        event_(event),
        fewer_(fewer) {}

 protected:
  void Add(uint64_t, std::string* out) override {
    const bool first = !std::exchange(looked_, true);
    const SpaceHandle space = spaces_.FindOpen(space_);
    if (space == nullptr) return;
    const uint64_t writes = space->writes.load();
    const int64_t life = space->opened_at_unix_ns.load();
    // What was written before the stream began is not its business; an opening counts anew.
    if (life_ != life) seen_ = first ? writes : 0;
    life_ = life;
    if (writes == seen_ && !first) return;
    const auto figures = space->space->Figures();
    if (!figures.ok()) return;
    const char* event = figures->count < memories_ ? fewer_ : event_;
    memories_ = figures->count;
    if (writes == seen_) return;
    Send(event,
         {{"event_type", event},
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
  const char* const fewer_;
  uint64_t seen_ = 0;
  uint64_t memories_ = 0;
  int64_t life_ = 0;  // of the space when it was looked at
  bool looked_ = false;
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
  const auto add = [&](const char* pattern, Guard guard, Handler handler) {
    router->Add({Method::kGet, pattern, Execution::kInline, guard, std::move(handler)});
  };
  const auto feed = std::make_shared<MigrationFeed>(context.scheduler, context.clock);
  add("/api/v1/stream/migration", Guard::kControl, [context, feed](const Request& request) {
    auto space = NamedSpace(request);
    if (!space) return ToResponse(space.error());
    if (*space) return Streaming(std::make_shared<SpaceMigrationStream>(context, **space));
    return Streaming(std::make_shared<MigrationStream>(context, feed));
  });
  // Of one space.
  using Make = std::shared_ptr<EventSource> (*)(const ApiContext&, std::string space);
  const auto add_of_space = [&](const char* pattern, Make make) {
    const std::string default_space = context.config.config().memory_spaces.default_space;
    add(pattern, Guard::kRead, [context, default_space, make](const Request& request) {
      auto space = ChooseSpace(request, {}, default_space);
      if (!space) return ToResponse(space.error());
      return Streaming(make(context, std::move(*space)));
    });
  };
  add_of_space("/api/v1/stream/activities",
               [](const ApiContext& api, std::string space) -> std::shared_ptr<EventSource> {
                 return std::make_shared<WritesStream>(api, std::move(space), "storage", "storage");
               });
  add_of_space("/api/v1/stream/memories",
               [](const ApiContext& api, std::string space) -> std::shared_ptr<EventSource> {
                 return std::make_shared<WritesStream>(api, std::move(space), "formation",
                                                       "deletion");
               });
  add_of_space("/api/v1/stream/consolidation",
               [](const ApiContext& api, std::string space) -> std::shared_ptr<EventSource> {
                 return std::make_shared<ConsolidationStream>(api, std::move(space));
               });
}

}  // namespace engram::server
