#include "server/server.h"

#include <algorithm>
#include <atomic>
#include <latch>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/context.h"
#include "server/config/pid_file.h"
#include "server/http/access_log.h"
#include "server/http/awake_cores.h"
#include "server/http/listener.h"
#include "server/lifecycle/service_manager.h"
#include "server/lifecycle/signals.h"
#include "server/migration/knobs_of.h"

namespace engram::server {
namespace {

constexpr uint64_t kAddressSpaceBytes = uint64_t{64} << 40;
constexpr uint64_t kMapSizeBytesMax = uint64_t{1} << 40;
constexpr uint32_t kWatchdogPatienceMs = 2'000;
constexpr uint32_t kSpacesCloseWaitMs = 500;

uint32_t LogIoOf(const Config& config) {
  if (config.storage.log_io == "uring") return ENGRAM_SE_LOG_IO_URING;
  if (config.storage.log_io == "pwrite") return ENGRAM_SE_LOG_IO_PWRITE;
  return ENGRAM_SE_LOG_IO_AUTO;
}

// The spaces that may be open at once share the address space: each gets its part of it.
uint64_t MapSizeOf(const Config& config) {
  if (config.storage.map_size_bytes != 0) return config.storage.map_size_bytes;
  const uint64_t share = kAddressSpaceBytes / config.storage.max_open_spaces;
  return std::min(share, kMapSizeBytesMax) & ~uint64_t{0xfffff};
}

ListenerOptions ListenerOptionsOf(const Config& config) {
  ListenerOptions options;
  options.address = config.server.http_bind;
  options.port = config.server.http_port;
  options.io_threads = config.server.http_threads;
  options.blocking_threads = config.server.blocking_threads;
  options.connections_max = config.server.connections_max;
  options.body_size_bytes_max = config.server.body_size_bytes_max;
  options.header_deadline_ms = config.server.header_deadline_ms;
  options.body_deadline_ms = config.server.body_deadline_ms;
  options.busy_poll_us = config.server.busy_poll_us;
  if (config.server.keep_cores_awake) options.cpu_latency_device = kCpuLatencyDevice;
  options.api_key = config.server.api_key;
  return options;
}

bool IsForeground(std::string_view pattern) {
  return pattern.starts_with("/api/v1/") && !pattern.starts_with("/api/v1/admin/") &&
         !pattern.starts_with("/api/v1/system/") && !pattern.starts_with("/api/v1/stream/");
}

// The parts and the order in which they start and stop (README.md).
class Server {
 public:
  Server(const ServerOptions& options, ConfigSet config, LevelLogger& logger, SignalEvents& signals)
      : options_(options),
        config_(std::move(config)),
        logger_(logger),
        signals_(signals),
        service_(options.inputs.environment) {}
  ~Server() { IgnoreError(Stop(), "Start() has failed, and its error is the one to report"); }

  Status Start() {
    const Config config = config_.config();
    ENGRAM_TRY(CheckServable(config));
    ENGRAM_ASSIGN_OR_RETURN(claim_, ServerClaim::Take(config));
    ENGRAM_TRY(OpenStore(config));
    AddRoutes();
    ENGRAM_ASSIGN_OR_RETURN(
        listener_, Listener::Start(ListenerOptionsOf(config), router_, logger_,
                                   [this](const RequestRecord& record) { Record(record); }));
    scheduler_->SetHttpPort(listener_->port());
    ENGRAM_TRY(claim_->Publish(listener_->port(), config_.file()));
    listener_->Serve();  // whoever has an answer finds the pid file
    for (const std::string& note : config_.Notes()) logger_.Warning(note);
    MakeBootstrapSpaces(config);
    Announce(config);
    return Status::Ok();
  }

  // Until a signal or POST /shutdown.
  void Run() {
    const auto interval_ms = service_.watchdog_interval_ms();
    while (true) {
      switch (signals_.Wait(interval_ms ? static_cast<int64_t>(*interval_ms) : -1)) {
        case SignalEvents::Event::kStop:
          return;
        case SignalEvents::Event::kReload:
          Reload();
          break;
        case SignalEvents::Event::kTimeout:
          break;
      }
      // A server whose event loop is stuck is not alive, whatever this thread does.
      if (interval_ms && listener_->Responsive(kWatchdogPatienceMs)) service_.Watchdog();
    }
  }

  // In the opposite order of Start(); the first failure is returned.
  Status Stop() {
    if (std::exchange(stopped_, true)) return Status::Ok();
    const bool served = listener_ != nullptr;
    service_.Stopping();
    signals_.LetTheNextOneKill();
    if (served) {
      logger_.Info("shutting down: requests in flight finish");
      listener_->Drain(config_.config().server.drain_deadline_ms);
    }
    if (scheduler_ != nullptr) scheduler_->Stop();
    const Status closed = spaces_ != nullptr ? spaces_->Close(kSpacesCloseWaitMs) : Status::Ok();
    listener_.reset();
    scheduler_in_use_.store(nullptr);
    scheduler_.reset();
    spaces_.reset();
    if (claim_ != nullptr) claim_->Withdraw();
    if (closed.ok()) {
      if (served) logger_.Info("stopped");
    } else {
      logger_.Error("stopped, but not in order: " + closed.ToString());
    }
    return closed;
  }

 private:
  Status OpenStore(const Config& config) {
    ENGRAM_ASSIGN_OR_RETURN(const auto plugin, plugin::Plugin::Load(options_.plugin_path, logger_));
    plugin::EngineOptions engine_options;
    engine_options.data_root = config.storage.data_root;
    engine_options.log_io = LogIoOf(config);
    engine_options.map_size_bytes = MapSizeOf(config);
    ENGRAM_ASSIGN_OR_RETURN(auto engine, plugin::Engine::Open(plugin, engine_options));
    metrics_ = ServerMetrics::Make(options_.version, config.storage.data_root);
    spaces_ = std::make_unique<SpaceRegistry>(std::move(engine), RegistryOptions(config), logger_);
    MigrationScheduler::Options options;
    options.knobs = KnobsOf(config);
    options.enabled = config.migration.enabled;
    options.dual_memory_types = config.features.dual_memory_types;
    options.data_root = config.storage.data_root;
    options.default_space = config.memory_spaces.default_space;
    auto started = MigrationScheduler::Start(*spaces_, options, Clock::System(), logger_);
    if (started.ok()) {
      scheduler_ = std::move(*started);
      scheduler_in_use_.store(scheduler_.get());
    }
    scheduler_known_.count_down();
    return started.status();
  }

  SpaceRegistry::Options RegistryOptions(const Config& config) {
    SpaceRegistry::Options options;
    options.max_open_spaces = config.storage.max_open_spaces;
    options.data_root = config.storage.data_root;
    options.legacy_space = config.memory_spaces.default_space;
    options.mode_for_new = [this] {
      MigrationScheduler* scheduler = SchedulerInUse();
      const bool dual = scheduler != nullptr && scheduler->dual_memory_types();
      return static_cast<uint32_t>(dual ? ENGRAM_SE_MODE_DUAL : ENGRAM_SE_MODE_LEGACY);
    };
    options.opened = [this](const SpaceHandle& space) {
      metrics_->SpaceOpened(space);
      if (MigrationScheduler* scheduler = SchedulerInUse()) scheduler->SpaceOpened(space);
    };
    options.failed = [this](const Status& why) { metrics_->SpaceFailedToOpen(why); };
    options.written = [this](const SpaceHandle& space) {
      if (MigrationScheduler* scheduler = SchedulerInUse()) scheduler->SpaceWritten(space);
    };
    options.closing = [this](ServedSpace& space) {
      if (MigrationScheduler* scheduler = SchedulerInUse()) scheduler->SpaceClosing(space);
    };
    return options;
  }

  // The scheduler's own thread opens spaces before its Start() has returned here: it waits for
  // that. Null when it did not start or is gone.
  MigrationScheduler* SchedulerInUse() {
    scheduler_known_.wait();
    return scheduler_in_use_.load(std::memory_order_acquire);
  }

  void AddRoutes() {
    const ApiContext context{*spaces_, *scheduler_,      *metrics_,
                             config_,  changing_,        Clock::System(),
                             logger_,  options_.version, [this] { signals_.RequestStop(); }};
    AddMemoryRoutes(context, &router_);
    AddRecallRoutes(context, &router_);
    AddGraphRoutes(context, &router_);
    AddSpaceRoutes(context, &router_);
    AddHealthRoutes(context, &router_);
    AddMetricsRoutes(context, &router_);
    AddAdminRoutes(context, &router_);
    AddRecordRoutes(context, &router_);
    AddStreamRoutes(context, &router_);
    AddDocsRoutes(context, &router_);
  }

  void Record(const RequestRecord& record) {
    metrics_->RecordRequest(record);
    // Probes, scrapes and administration are no foreground.
    if (record.route != nullptr && IsForeground(record.route->pattern)) {
      scheduler_->foreground().Record(record.duration_ns);
    }
    LogRequest(logger_, record);
  }

  // What is wrong with one space must not keep the others from being served. A stop does not wait
  // for all of them: the next start makes the rest.
  void MakeBootstrapSpaces(const Config& config) {
    for (const std::string& name : config.memory_spaces.bootstrap_spaces) {
      if (signals_.StopIsPending()) return;
      const auto space = spaces_->FindOrCreate(name);
      if (!space.ok()) {
        logger_.Write(LogLevel::kError, "a bootstrap space cannot be opened",
                      {{"space", name}, {"detail", space.status().ToString()}});
      }
    }
  }

  void Announce(const Config& config) {
    const bool is_v6 = config.server.http_bind.find(':') != std::string::npos;
    const std::string url =
        "http://" + (is_v6 ? "[" + config.server.http_bind + "]" : config.server.http_bind) + ":" +
        std::to_string(listener_->port());
    if (options_.started) options_.started(url, listener_->port());
    logger_.Write(LogLevel::kInfo, "serving",
                  {{"address", url},
                   {"data_root", config.storage.data_root},
                   {"dual_memory_types", config.features.dual_memory_types ? "on" : "off"}});
    service_.Ready("serving " + url);
  }

  void Reload() {
    service_.Reloading();
    MutexLock lock(changing_);
    const auto changed = config_.Reload();
    if (!changed.ok()) {
      logger_.Error("the configuration is as it was: " + changed.status().ToString());
    } else {
      for (const std::string& key : *changed) logger_.Info("changed: " + key);
      for (const std::string& note : config_.Notes()) logger_.Warning(note);
      Apply(config_.config());
    }
    service_.Ready("configuration read again");
  }

  void Apply(const Config& config) {
    if (const auto level = ParseLogLevel(config.logging.level); level.ok()) {
      logger_.SetLevel(*level);
    }
    listener_->SetApiKey(config.server.api_key);
    Status applied = scheduler_->SetKnobs(KnobsOf(config));
    if (applied.ok() && config.features.dual_memory_types != scheduler_->dual_memory_types()) {
      applied = scheduler_->SetDualMemoryTypes(config.features.dual_memory_types).status();
    }
    if (!applied.ok()) logger_.Error("not in effect: " + applied.ToString());
  }

  const ServerOptions& options_;
  ConfigSet config_;
  Mutex changing_;
  LevelLogger& logger_;
  SignalEvents& signals_;
  ServiceManager service_;
  std::unique_ptr<ServerClaim> claim_;
  std::unique_ptr<ServerMetrics> metrics_;
  std::latch scheduler_known_{1};
  std::atomic<MigrationScheduler*> scheduler_in_use_{nullptr};
  std::unique_ptr<SpaceRegistry> spaces_;
  std::unique_ptr<MigrationScheduler> scheduler_;
  Router router_;
  std::unique_ptr<Listener> listener_;
  bool stopped_ = false;
};

}  // namespace

Status RunServer(const ServerOptions& options) {
  ENGRAM_ASSIGN_OR_RETURN(ConfigSet config, ConfigSet::Load(options.inputs));
  ENGRAM_ASSIGN_OR_RETURN(const LogLevel level, ParseLogLevel(config.config().logging.level));
  ENGRAM_ASSIGN_OR_RETURN(const LogFormat format, ParseLogFormat(config.config().logging.format));
  // The engine logs until the process ends: its logger is never destroyed.
  static LevelLogger* const logger = MakeStderrLogger(level, format).release();
  ENGRAM_ASSIGN_OR_RETURN(const auto signals, SignalEvents::Block());
  if (options.stop_is_asked && options.stop_is_asked()) return Status::Ok();
  Server server(options, std::move(config), *logger, *signals);
  ENGRAM_TRY(server.Start());
  server.Run();
  return server.Stop();
}

}  // namespace engram::server
