// The ingest of an upstream directory into a space that is open and served.
#include <thread>

#include "migration/ingest.h"
#include "migration/internal/space_migration.h"
#include "migration/migration.h"
#include "migration/progress.h"
#include "migration/source_registry.h"
#include "migration/source_stamps.h"
#include "migration/spaces.h"
#include "migration/throttle.h"

namespace engram::migration {
namespace {

using nlohmann::json;

class OpenIngest {
 public:
  OpenIngest(const JobContext& context, engine::Store& store, const MigrateOptions& options)
      : context_(context),
        options_(options),
        store_(store),
        begun_ns_(context.environment.clock.MonotonicNs()),
        budget_(context.environment.fs, options.memory_budget_mb << 20),
        throttle_(context.environment.clock, options.rate_limit_per_second, context.cancel),
        meter_(context.environment.clock, context.progress, &budget_, store.space()) {}

  Result<json> Run() {
    if (!options_.source) {
      return Status::InvalidArgument("no source was given", "name an upstream directory");
    }
    FileSystem& fs = context_.environment.fs;
    ENGRAM_ASSIGN_OR_RETURN(const Source source,
                            DiscoverSource(fs, *options_.source, store_.space()));
    for (const SourceSpace& space : source.spaces) {
      if (space.space == store_.space()) return TakeIn(source, space);
    }
    return Status::NotFound(*options_.source + " has no log of the space " + store_.space(),
                            "engram inspect source shows the spaces of a directory");
  }

 private:
  Result<json> TakeIn(const Source& source, const SourceSpace& space) {
    FileSystem& fs = context_.environment.fs;
    // Taken before the files are read: a change after this shows the next time.
    ENGRAM_ASSIGN_OR_RETURN(const auto stamps, TakeStamps(fs, context_.environment.clock, space));
    if (stamps && !options_.dry_run) {
      ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
      ENGRAM_ASSIGN_OR_RETURN(const uint32_t number,
                              FindUnchanged(*view, CanonicalDirectory(source.directory), *stamps));
      if (number != 0) return Unchanged(*view);
    }
    ENGRAM_ASSIGN_OR_RETURN(const IngestReport report, Ingest(context_.environment, &store_, source,
                                                              space, Options(), Hooks()));
    if (!phase_.empty()) meter_.End();
    if (stamps && !options_.dry_run) ENGRAM_TRY(KeepStamps(store_, report.origin, *stamps));
    return Report(report);
  }

  IngestOptions Options() const {
    IngestOptions options;
    options.served = true;
    options.heads = IngestHeads::kAsMode;
    options.dry_run = options_.dry_run;
    options.batch_size = internal::UnitSize(options_);
    options.checkpoint_interval = options_.checkpoint_interval;
    options.memory_budget_bytes = budget_.budget_bytes();
    options.workers = internal::WorkerCount(options_);
    options.store_directory = DualDirectory(context_, store_.space());
    return options;
  }

  IngestHooks Hooks() {
    IngestHooks hooks;
    hooks.progress = [this](const char* phase, uint64_t done, uint64_t total) {
      if (phase_ != phase) {
        if (!phase_.empty()) meter_.End();
        phase_ = phase;
        meter_.Begin(phase, total);
      }
      if (done > meter_.done()) meter_.Advance(done - meter_.done());
      meter_.Poll();
    };
    hooks.throttle = [this](uint64_t records) -> Status {
      if (throttle_.Admit(records)) return Status::Ok();
      return Status::Cancelled("the ingest was interrupted", "the next one goes on");
    };
    // Nothing is held while it waits: others write.
    hooks.waits = [this] { return throttle_.may_wait(); };
    hooks.cancel = context_.cancel;
    return hooks;
  }

  double Seconds() const {
    return static_cast<double>(context_.environment.clock.MonotonicNs() - begun_ns_) / 1e9;
  }

  Result<json> Unchanged(engine::ReadView& view) {
    ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, view.Digests());
    return json{{"ok", true},
                {"space", store_.space()},
                {"source", nullptr},
                {"source_unchanged", true},
                {"found", 0},
                {"deleted", 0},
                {"written", 0},
                {"removed", 0},
                {"unchanged", 0},
                {"kept_local", 0},
                {"digest",
                 {{"source", nullptr},
                  {"after", ToHex(digests.SpaceDigest())},
                  {"lsn", digests.lsn.value}}},
                {"seconds", Seconds()}};
  }

  Result<json> Report(const IngestReport& report) const {
    return json{{"ok", report.source_digest == report.space_digest || options_.dry_run},
                {"space", store_.space()},
                {"source", internal::SourceToJson(report)},
                {"source_unchanged", false},
                {"found", report.found},
                {"deleted", report.deleted},
                {"written", report.written},
                {"removed", report.removed},
                {"unchanged", report.unchanged},
                {"kept_local", report.kept_local},
                {"digest",
                 {{"source", ToHex(report.source_digest)},
                  {"after", ToHex(report.space_digest)},
                  {"lsn", report.lsn.value}}},
                {"seconds", Seconds()}};
  }

  const JobContext& context_;
  const MigrateOptions& options_;
  engine::Store& store_;
  const uint64_t begun_ns_;
  MemoryBudget budget_;
  Throttle throttle_;
  ProgressMeter meter_;
  std::string phase_;
};

}  // namespace

Result<json> IngestOpen(const JobContext& context, engine::Store& store,
                        const MigrateOptions& options) {
  return OpenIngest(context, store, options).Run();
}

}  // namespace engram::migration
