#include <array>

#include "base/ids.h"
#include "plugin/boundary.h"
#include "plugin/handles.h"
#include "plugin/memory_marshal.h"
#include "plugin/slots.h"

namespace engram::plugin {
namespace {

using engine::Access;
using engine::Mode;

static_assert(static_cast<uint32_t>(Mode::kFinalized) == ENGRAM_SE_MODE_FINALIZED);
static_assert(static_cast<uint32_t>(engine::Tier::kCold) == ENGRAM_SE_TIER_COLD);

Result<wal::LogIo> LogIoOf(uint32_t log_io) {
  switch (log_io) {
    case ENGRAM_SE_LOG_IO_AUTO:
      return wal::LogIo::kAuto;
    case ENGRAM_SE_LOG_IO_URING:
      return wal::LogIo::kUring;
    case ENGRAM_SE_LOG_IO_PWRITE:
      return wal::LogIo::kPwrite;
    default:
      return Status::InvalidArgument("unknown log I/O " + std::to_string(log_io));
  }
}

Result<Access> AccessOf(uint32_t access) {
  switch (access) {
    case ENGRAM_SE_ACCESS_READ_ONLY:
      return Access::kReadOnly;
    case ENGRAM_SE_ACCESS_READ_WRITE:
      return Access::kReadWrite;
    case ENGRAM_SE_ACCESS_CREATE:
      return Access::kCreate;
    default:
      return Status::InvalidArgument("unknown access " + std::to_string(access));
  }
}

engram_se_status EngineOpen(const engram_se_host* host, const engram_se_engine_options* options,
                            engram_se_engine** engine_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    const engram_se_host services = Taken(host);
    const engram_se_engine_options given = Taken(options);
    if (given.data_root == nullptr || *given.data_root == '\0') {
      return Status::InvalidArgument("no data root given", "name the folder of the spaces");
    }
    ENGRAM_ASSIGN_OR_RETURN(const wal::LogIo log_io, LogIoOf(given.log_io));
    *engine_out = new engram_se_engine{.logger = HostLogger(services),
                                       .clock = HostClock(services),
                                       .data_root = given.data_root,
                                       .log = {.io = log_io},
                                       .map_size_bytes = given.map_size_bytes};
    return Status::Ok();
  });
}

void EngineClose(engram_se_engine* engine) noexcept { delete engine; }

engram_se_status SpaceOpen(engram_se_engine* engine, const engram_se_space_options* options,
                           engram_se_space** space_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    const engram_se_space_options given = Taken(options);
    ENGRAM_ASSIGN_OR_RETURN(const SpaceId id,
                            SpaceId::Parse(given.space == nullptr ? "" : given.space));
    ENGRAM_ASSIGN_OR_RETURN(const Access access, AccessOf(given.access));
    auto space = std::make_unique<engram_se_space>();
    space->engine = engine;
    ENGRAM_ASSIGN_OR_RETURN(space->store,
                            migration::OpenSpace(engine->Context(), id.str(), access));
    compat::BackendOptions backend;
    if (given.conversion_cache_bytes_max != 0) {
      backend.conversion_cache_bytes_max = given.conversion_cache_bytes_max;
    }
    space->backend = compat::MemoryBackend::Make(*space->store, backend);
    *space_out = space.release();
    return Status::Ok();
  });
}

engram_se_status SpaceClose(engram_se_space* space, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    const std::unique_ptr<engram_se_space> owned(space);
    if (owned == nullptr) return Status::Ok();
    owned->backend.reset();
    owned->RetireControl();  // while the lease is still held
    return owned->store->Close();
  });
}

engram_se_status StoreOne(engram_se_space* space, const engram_se_memory* memory, uint64_t* lsn_out,
                          engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    OwnedMemory owned;
    ENGRAM_TRY(ReadMemory(Taken(memory), &owned));
    return SetLsn(space->backend->Put(owned.memory, owned.embedding), lsn_out);
  });
}

engram_se_status StoreBatch(engram_se_space* space, const engram_se_memory* const* memories,
                            uint64_t count, uint64_t* lsns_out, uint64_t* stored_out,
                            engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    *stored_out = 0;
    std::vector<OwnedMemory> owned;
    owned.reserve(count);
    std::vector<compat::MemoryBackend::PutItem> items;
    Status unreadable;  // of the first one that cannot be stored: those before it are
    for (uint64_t i = 0; i < count && unreadable.ok(); ++i) {
      OwnedMemory& one = owned.emplace_back();
      unreadable = ReadMemory(Taken(memories[i]), &one);
      if (unreadable.ok()) items.push_back({&one.memory, &one.embedding});
    }
    std::vector<Lsn> lsns;
    Status stored = space->backend->PutBatch(items, &lsns);
    *stored_out = std::min<uint64_t>(lsns.size(), count);
    for (uint64_t i = 0; i < *stored_out; ++i) lsns_out[i] = lsns[i].value;
    return stored.ok() ? unreadable : stored;
  });
}

Status UnknownId(std::string_view id) {
  return Status::NotFound("there is no memory with the id \"" + std::string(id) + "\"",
                          "`engram memory list` shows the ids of the space");
}

engram_se_status Retrieve(engram_se_space* space, engram_se_bytes id, uint32_t flags,
                          engram_se_memory_fn visit, void* ctx, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    engine::Embedding embedding;
    const bool wanted = (flags & ENGRAM_SE_WITH_EMBEDDING) != 0;
    ENGRAM_ASSIGN_OR_RETURN(const auto record,
                            space->backend->Get(ToView(id), wanted ? &embedding : nullptr));
    if (!record) return UnknownId(ToView(id));
    RecordView view;
    visit(ctx, &view.Fill(*record, wanted ? &embedding : nullptr));
    return Status::Ok();
  });
}

engram_se_status Remove(engram_se_space* space, engram_se_bytes id, uint64_t* lsn_out,
                        engram_se_error* error) noexcept {
  return Guarded(error,
                 [&]() -> Status { return SetLsn(space->backend->Remove(ToView(id)), lsn_out); });
}

engram_se_status RemoveBatch(engram_se_space* space, const engram_se_bytes* ids, uint64_t count,
                             uint64_t* lsns_out, uint64_t* removed_out,
                             engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    *removed_out = 0;
    std::vector<std::string> names;
    names.reserve(count);
    for (uint64_t i = 0; i < count; ++i) names.emplace_back(ToView(ids[i]));
    std::vector<Lsn> lsns;
    Status removed = space->backend->RemoveBatch(names, &lsns);
    *removed_out = std::min<uint64_t>(lsns.size(), count);
    for (uint64_t i = 0; i < *removed_out; ++i) lsns_out[i] = lsns[i].value;
    return removed;
  });
}

engram_se_status Contains(engram_se_space* space, engram_se_bytes id, uint8_t* contains_out,
                          engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const bool found, space->backend->Contains(ToView(id)));
    *contains_out = found ? 1 : 0;
    return Status::Ok();
  });
}

engram_se_status Count(engram_se_space* space, uint64_t* count_out,
                       engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(*count_out, space->backend->Count());
    return Status::Ok();
  });
}

engram_se_status Clear(engram_se_space* space, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status { return space->backend->Clear(); });
}

engram_se_status UpdateActivation(engram_se_space* space, engram_se_bytes id, float activation,
                                  uint64_t* lsn_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    return SetLsn(space->backend->UpdateActivation(ToView(id), activation), lsn_out);
  });
}

Result<compat::MemoryBackend::ScanOptions> ScanOptionsOf(const engram_se_scan_options* options) {
  const engram_se_scan_options given = Taken(options);
  compat::MemoryBackend::ScanOptions scan;
  if (given.after != nullptr) scan.after = std::string(ToView(*given.after));
  if (given.limit != 0) scan.limit = given.limit;
  scan.embeddings = (given.flags & ENGRAM_SE_WITH_EMBEDDING) != 0;
  scan.skip = given.skip;
  if (given.tier > ENGRAM_SE_TIER_COLD) {
    return Status::InvalidArgument("unknown tier " + std::to_string(given.tier),
                                   "use 1 (hot), 2 (warm), 3 (cold), or 0 for all");
  }
  if (given.tier != 0) scan.tier = static_cast<engine::Tier>(given.tier);
  return scan;
}

engram_se_status Scan(engram_se_space* space, const engram_se_scan_options* options,
                      engram_se_memory_fn visit, void* ctx, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    RecordView view;
    ENGRAM_ASSIGN_OR_RETURN(const auto scan, ScanOptionsOf(options));
    return space->backend->Scan(
        scan,
        [&](const compat::FullRecord& record, const engine::Embedding* embedding) -> Result<bool> {
          return visit(ctx, &view.Fill(record, embedding)) == 0;
        });
  });
}

engram_se_status Ids(engram_se_space* space, const engram_se_scan_options* options,
                     engram_se_id_fn visit, void* ctx, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(auto scan, ScanOptionsOf(options));
    scan.embeddings = false;
    return space->backend->Scan(
        scan, [&](const compat::FullRecord& record, const engine::Embedding*) -> Result<bool> {
          return visit(ctx, ToBytes(record.memory.text.id)) == 0;
        });
  });
}

engram_se_status ModeGet(engram_se_space* space, uint32_t* mode_out,
                         engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    *mode_out = static_cast<uint32_t>(space->store->mode());
    return Status::Ok();
  });
}

engram_se_status ModeSet(engram_se_space* space, uint32_t mode, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    if (mode < ENGRAM_SE_MODE_LEGACY || mode > ENGRAM_SE_MODE_FINALIZED) {
      return Status::InvalidArgument("unknown mode " + std::to_string(mode));
    }
    return space->backend->SetMode(static_cast<Mode>(mode));
  });
}

engram_se_status Search(engram_se_space* space, const float* query, uint32_t k,
                        engram_se_scored_fn visit, void* ctx, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    if (query == nullptr) return Status::InvalidArgument("no query given", "give 768 floats");
    engine::Embedding embedding;
    std::copy(query, query + embedding.size(), embedding.begin());
    ENGRAM_ASSIGN_OR_RETURN(const auto hits, space->backend->Search(embedding, k));
    for (const auto& hit : hits) {
      if (visit(ctx, ToBytes(hit.id), hit.score) != 0) break;
    }
    return Status::Ok();
  });
}

}  // namespace

void SetSpaceSlots(engram_se_vtable* table) {
  table->engine_open = EngineOpen;
  table->engine_close = EngineClose;
  table->space_open = SpaceOpen;
  table->space_close = SpaceClose;
  table->store = StoreOne;
  table->store_batch = StoreBatch;
  table->retrieve = Retrieve;
  table->remove = Remove;
  table->remove_batch = RemoveBatch;
  table->contains = Contains;
  table->count = Count;
  table->clear = Clear;
  table->update_activation = UpdateActivation;
  table->scan = Scan;
  table->ids = Ids;
  table->mode_get = ModeGet;
  table->mode_set = ModeSet;
  table->search = Search;
}

}  // namespace engram::plugin
