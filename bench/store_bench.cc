// The store beside the raw harness: ingest, conversion, verification, durable puts, gets. Every
// pair "<row>/ours" and "<row>/raw" runs in the same process on the same disk; bench/report.py
// turns the medians into ratios.
//
//   ENGRAM_BENCH_RECORDS   records of the generated source (default 200000)
//   ENGRAM_BENCH_FOLDER    where the data goes (default ./bench-data): a real disk
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/freed_memory.h"
#include "bench/raw_store_harness.h"
#include "compat/memory_backend.h"
#include "migration/ingest.h"
#include "migration/migration.h"
#include "migration/sources/source.h"

namespace engram::bench {
namespace {

namespace fs = std::filesystem;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "bench: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) Fail(result.status().ToString());
  return std::move(result).value();
}
void Must(const Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

uint64_t RecordCount() {
  const char* text = std::getenv("ENGRAM_BENCH_RECORDS");
  return text ? std::strtoull(text, nullptr, 10) : 200000;
}

std::string Folder() {
  const char* text = std::getenv("ENGRAM_BENCH_FOLDER");
  return text ? text : "bench-data";
}

std::string SourceFolder() {
  static const std::string folder = [] {
    const std::string path = Folder() + "/source";
    if (!fs::exists(path)) {
      fs::create_directories(Folder());
      const std::string tool =
          fs::read_symlink("/proc/self/exe").parent_path() / "upstream_log_gen";
      const std::string command = tool + " --out " + path + " --records " +
                                  std::to_string(RecordCount()) + " --seed 1 >/dev/null";
      if (std::system(command.c_str()) != 0) Fail("cannot run " + command);
    }
    return path;
  }();
  return folder;
}

std::string SourceLog() {
  for (const auto& entry : fs::recursive_directory_iterator(SourceFolder())) {
    if (entry.path().extension() == ".log") return entry.path();
  }
  Fail("no log in " + SourceFolder());
}

migration::JobContext Context(const std::string& root) {
  migration::JobContext context;
  context.data_root = root;
  return context;
}

std::string FreshRoot(const std::string& name) {
  const std::string root = Folder() + "/" + name;
  fs::remove_all(root);
  fs::create_directories(root);
  sync();  // what the row before left to the device is not this one's
  return root;
}

std::unique_ptr<engine::Store> Open(const std::string& root, engine::Access access) {
  auto context = Context(root);
  if (access == engine::Access::kCreate) fs::create_directories(root + "/default");
  return Must(migration::OpenSpace(context, "default", access));
}

// A store that holds the source in the old format; `copy` gives a run its own.
void IngestInto(engine::Store* store) {
  auto source = Must(migration::DiscoverSource(FileSystem::Posix(), SourceFolder(), std::nullopt));
  migration::IngestOptions options;
  options.workers = std::max(1u, std::thread::hardware_concurrency() / 2);
  auto report = Must(migration::Ingest(engine::Environment{}, store, source, source.spaces.at(0),
                                       options, migration::IngestHooks{}));
  if (report.written == 0) Fail("ingest wrote nothing");
}

void IngestOurs(benchmark::State& state) {
  SourceFolder();
  for (auto _ : state) {
    auto store = Open(FreshRoot("ingest"), engine::Access::kCreate);
    const double started = Now();
    IngestInto(store.get());
    Must(store->Drain({.sync = true}));
    state.SetIterationTime(Now() - started);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(RecordCount()));
}

void IngestRaw(benchmark::State& state) {
  const std::string log = SourceLog();
  for (auto _ : state) {
    RawStore raw(Folder() + "/raw", RawShape{});
    state.SetIterationTime(raw.BulkLoad(RecordCount(), 32000, log));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(RecordCount()));
}

void EndToEnd(benchmark::State& state) {
  const std::string source = SourceFolder();
  for (auto _ : state) {
    const std::string root = FreshRoot("whole");
    const double started = Now();
    migration::MigrateOptions options;
    options.source = source;
    auto report = Must(migration::Migrate(Context(root), options));
    state.SetIterationTime(Now() - started);
    if (!report.at("ok").get<bool>()) Fail("the migration did not verify");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(RecordCount()));
}

// Conversion alone: the report's own seconds would include opening and verification, so the old
// store is made first and only the conversion's phase is timed, from its progress callbacks.
void ConvertOurs(benchmark::State& state) {
  SourceFolder();
  for (auto _ : state) {
    const std::string root = FreshRoot("convert");
    {
      auto store = Open(root, engine::Access::kCreate);
      IngestInto(store.get());
      Must(store->Close());
    }
    auto context = Context(root);
    double first = 0, last = 0;
    context.progress = [&](const migration::Progress& progress) {
      if (progress.phase != "convert") return;
      if (first == 0) first = Now();
      last = Now();
      if (progress.done == progress.total) return;
    };
    const double started = Now();
    migration::MigrateOptions options;
    auto report = Must(migration::Migrate(context, options));
    const auto& space = report.at("spaces").at(0);
    if (space.at("converted").get<uint64_t>() == 0) Fail("nothing was converted");
    const double seconds = space.contains("convert_seconds")
                               ? space.at("convert_seconds").get<double>()
                               : (last > first ? last - started : Now() - started);
    state.SetIterationTime(seconds);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(RecordCount()));
}

void ConvertRaw(benchmark::State& state) {
  for (auto _ : state) {
    RawStore raw(Folder() + "/raw", RawShape{});
    raw.BulkLoad(RecordCount(), 32000, "");
    state.SetIterationTime(raw.RewriteHeads(32000));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(RecordCount()));
}

// The pass of storage-engine.md 2.4 (sequential, sync, batch 1000): says whether the harness is
// right.
void HeadsInPlaceRaw(benchmark::State& state) {
  RawStore raw(Folder() + "/raw", RawShape{});
  raw.BulkLoad(RecordCount(), 32000, "");
  raw.RewriteHeads(1000);
  for (auto _ : state) state.SetIterationTime(raw.UpdateHeadsInPlace(1000));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(RecordCount()));
}

const std::string& ConvertedRoot() {
  static const std::string root = [] {
    std::string path = FreshRoot("converted");
    migration::MigrateOptions options;
    options.source = SourceFolder();
    Must(migration::Migrate(Context(path), options));
    return path;
  }();
  return root;
}

void VerifyOurs(benchmark::State& state) {
  auto context = Context(ConvertedRoot());
  for (auto _ : state) {
    const double started = Now();
    migration::VerifyOptions options;
    options.space = "default";
    auto report = Must(migration::Verify(context, options));
    state.SetIterationTime(Now() - started);
    if (!report.at("ok").get<bool>()) Fail("verification failed: " + report.dump());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(RecordCount()));
}

RawStore& LoadedRaw() {
  static RawStore raw(Folder() + "/raw-loaded", RawShape{});
  static const double seconds = raw.BulkLoad(RecordCount(), 32000, "");
  benchmark::DoNotOptimize(seconds);
  return raw;
}

void VerifyRaw(benchmark::State& state) {
  RawStore& raw = LoadedRaw();
  for (auto _ : state) {
    state.SetIterationTime(raw.ReopenAndHashAll(std::thread::hardware_concurrency()));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(raw.count()));
}

// What a client puts: new records, ids of 12 bytes, 60 bytes of text.
struct Workload {
  std::vector<engine::Memory> memories;
  std::vector<engine::Embedding> embeddings;
  std::vector<compat::MemoryBackend::PutItem> items;

  Workload(uint64_t first, uint64_t count) : memories(count), embeddings(count) {
    std::mt19937 random(1);
    for (uint64_t i = 0; i < count; ++i) {
      char id[24];
      std::snprintf(id, sizeof id, "bench%07llu", static_cast<unsigned long long>(first + i));
      memories[i].text.id = id;
      memories[i].text.content = std::string(60, 'c');
      memories[i].activation = memories[i].confidence_encoding = 0.5f;
      for (float& x : embeddings[i]) x = static_cast<float>(random()) / 4e9f;
      items.push_back({&memories[i], &embeddings[i]});
    }
  }
};

constexpr uint64_t kPutBatch = 512;
constexpr uint64_t kPutCount = 100 * kPutBatch;
// Put before the clock starts, on both sides: the log of a store has its pre-written segments by
// then, as the harness has its file.
constexpr uint64_t kPutsBefore = 50 * kPutBatch;

void PutBatchOurs(benchmark::State& state) {
  std::vector<Workload> before, work;
  for (uint64_t at = 0; at < kPutsBefore; at += kPutBatch) before.emplace_back(at, kPutBatch);
  for (uint64_t at = 0; at < kPutCount; at += kPutBatch) {
    work.emplace_back(kPutsBefore + at, kPutBatch);
  }
  for (auto _ : state) {
    auto store = Open(FreshRoot("put"), engine::Access::kCreate);
    auto backend = compat::MemoryBackend::Make(*store, {});
    std::vector<Lsn> lsns;
    const auto put = [&](const std::vector<Workload>& batches) {
      for (const Workload& batch : batches) Must(backend->PutBatch(batch.items, &lsns));
      Must(store->Drain({.sync = true}));
    };
    put(before);
    const double started = Now();
    put(work);
    state.SetIterationTime(Now() - started);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kPutCount));
}

// In mode legacy a put writes no dual head, so its row is empty here too.
void PutBatchRaw(benchmark::State& state) {
  for (auto _ : state) {
    RawShape shape;
    shape.dual_head = 8;
    RawStore raw(Folder() + "/raw", shape);
    raw.LogAndApply(kPutsBefore, kPutBatch, Folder() + "/raw.log");
    state.SetIterationTime(raw.LogAndApply(kPutCount, kPutBatch, Folder() + "/raw.log"));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kPutCount));
}

constexpr uint64_t kSinglePuts = 2000;

// The median latency of one durable put, as the iteration's time.
void PutSingleOurs(benchmark::State& state) {
  Workload work(0, kSinglePuts);
  for (auto _ : state) {
    auto store = Open(FreshRoot("single"), engine::Access::kCreate);
    auto backend = compat::MemoryBackend::Make(*store, {});
    std::vector<double> seconds;
    for (const auto& item : work.items) {
      const double started = Now();
      Must(backend->Put(*item.memory, *item.embedding).status());
      seconds.push_back(Now() - started);
    }
    std::nth_element(seconds.begin(), seconds.begin() + kSinglePuts / 2, seconds.end());
    state.SetIterationTime(seconds[kSinglePuts / 2]);
  }
}

void PutSingleRaw(benchmark::State& state) {
  for (auto _ : state) {
    state.SetIterationTime(RawDurableWriteMedian(Folder() + "/raw.log", 3600, kSinglePuts));
  }
}

// Of every record, in random order.
std::vector<std::string> ShuffledIds(engine::Store& store) {
  std::vector<std::string> ids;
  auto view = Must(store.Snapshot());
  Must(view->ScanIds(std::nullopt, [&](std::string_view id, NodeKey) -> Result<bool> {
    ids.emplace_back(id);
    return true;
  }));
  std::shuffle(ids.begin(), ids.end(), std::mt19937_64(1));
  return ids;
}

void GetOurs(benchmark::State& state, bool full) {
  auto store = Open(ConvertedRoot(), engine::Access::kReadOnly);
  const std::vector<std::string> ids = ShuffledIds(*store);
  engine::Embedding embedding;
  const auto get_all = [&] {
    const double started = Now();
    for (const std::string& id : ids) {
      auto view = Must(store->View());
      auto key = Must(view->FindId(id));
      auto record = Must(view->CurrentRecord(*key));
      if (full) Must(view->ReadEmbedding(record->current().vector_key, &embedding).status());
      benchmark::DoNotOptimize(record);
    }
    return Now() - started;
  };
  get_all();  // warm: the file is mapped anew by each Open
  for (auto _ : state) state.SetIterationTime(get_all());
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(ids.size()));
}

void GetRaw(benchmark::State& state, bool full) {
  RawStore& raw = LoadedRaw();
  raw.GetAll(full);
  for (auto _ : state) state.SetIterationTime(raw.GetAll(full));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(raw.count()));
}

void RegisterAll() {
  auto add = [](const char* name, auto function, auto... arguments) {
    benchmark::RegisterBenchmark(name, function, arguments...)
        ->UseManualTime()
        ->Iterations(1)
        ->Repetitions(5)
        ->ReportAggregatesOnly(false)
        ->Unit(benchmark::kMicrosecond);
  };
  add("ingest/ours", IngestOurs);
  add("ingest/raw", IngestRaw);
  add("end_to_end/ours", EndToEnd);
  add("convert/ours", ConvertOurs);
  add("convert/raw", ConvertRaw);
  add("heads_in_place/raw", HeadsInPlaceRaw);
  add("verify/ours", VerifyOurs);
  add("verify/raw", VerifyRaw);
  add("put_batch_512/ours", PutBatchOurs);
  add("put_batch_512/raw", PutBatchRaw);
  add("put_single_p50/ours", PutSingleOurs);
  add("put_single_p50/raw", PutSingleRaw);
  add("get_head/ours", GetOurs, false);
  add("get_head/raw", GetRaw, false);
  add("get_full/ours", GetOurs, true);
  add("get_full/raw", GetRaw, true);
}

}  // namespace
}  // namespace engram::bench

int main(int argc, char** argv) {
  engram::KeepFreedMemory();  // as our programs do
  // Each flush wakes a core: how long an idle one of a virtual machine stays awake moves the rows.
  std::string halt_polling = "unknown";
  std::ifstream("/sys/module/haltpoll/parameters/guest_halt_poll_ns") >> halt_polling;
  benchmark::AddCustomContext("guest_halt_poll_ns", halt_polling);
  engram::bench::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
