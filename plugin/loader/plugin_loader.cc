#include "plugin/loader/plugin_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plugin/loader/call.h"

namespace engram::plugin {
namespace {

constexpr char kWhichEngineHint[] =
    "name the engine with --plugin or ENGRAM_STORAGE_PLUGIN, or install it again";

void HostLog(void* host_ctx, int32_t level, const char* message, uint64_t message_size_bytes) {
  const auto known = std::clamp(level, ENGRAM_SE_LOG_DEBUG, ENGRAM_SE_LOG_ERROR);
  static_cast<Logger*>(host_ctx)->Write(static_cast<LogLevel>(known),
                                        {message, message_size_bytes});
}

struct LibraryCloser {
  void operator()(void* library) const { dlclose(library); }
};

struct Slot {
  const char* name;
  bool present;
};

// The first empty slot of a group, or null.
const char* FirstEmpty(const std::vector<Slot>& slots) {
  for (const Slot& slot : slots) {
    if (!slot.present) return slot.name;
  }
  return nullptr;
}

struct SlotGroup {
  uint64_t capability;  // 0: required of every engine
  const char* name;
  std::vector<Slot> slots;
};

#define ENGRAM_SLOT_(name) \
  { #name, t.name != nullptr }
std::vector<SlotGroup> SlotGroups(const engram_se_vtable& t) {
  return {
      {0,
       "required",
       {ENGRAM_SLOT_(engine_open), ENGRAM_SLOT_(engine_close), ENGRAM_SLOT_(space_open),
        ENGRAM_SLOT_(space_close), ENGRAM_SLOT_(store), ENGRAM_SLOT_(store_batch),
        ENGRAM_SLOT_(retrieve), ENGRAM_SLOT_(remove), ENGRAM_SLOT_(remove_batch),
        ENGRAM_SLOT_(contains), ENGRAM_SLOT_(count), ENGRAM_SLOT_(clear),
        ENGRAM_SLOT_(update_activation), ENGRAM_SLOT_(scan), ENGRAM_SLOT_(ids)}},
      {ENGRAM_SE_CAP_MODES, "modes", {ENGRAM_SLOT_(mode_get), ENGRAM_SLOT_(mode_set)}},
      {ENGRAM_SE_CAP_SEARCH, "search", {ENGRAM_SLOT_(search)}},
      {ENGRAM_SE_CAP_EDGES,
       "edges",
       {ENGRAM_SLOT_(edge_add), ENGRAM_SLOT_(edge_remove), ENGRAM_SLOT_(edge_neighbours),
        ENGRAM_SLOT_(edge_weight), ENGRAM_SLOT_(edge_all), ENGRAM_SLOT_(traverse),
        ENGRAM_SLOT_(spread)}},
      {ENGRAM_SE_CAP_BINDINGS,
       "bindings",
       {ENGRAM_SLOT_(binding_add), ENGRAM_SLOT_(binding_concepts_of),
        ENGRAM_SLOT_(binding_episodes_of), ENGRAM_SLOT_(binding_spread)}},
      {ENGRAM_SE_CAP_TYPED_NODES,
       "typed nodes",
       {ENGRAM_SLOT_(node_put), ENGRAM_SLOT_(node_set_strength),
        ENGRAM_SLOT_(node_set_consolidation_score)}},
      {ENGRAM_SE_CAP_JOBS,
       "jobs",
       {ENGRAM_SLOT_(migrate), ENGRAM_SLOT_(verify), ENGRAM_SLOT_(rollback),
        ENGRAM_SLOT_(can_rollback), ENGRAM_SLOT_(migration_status), ENGRAM_SLOT_(compact),
        ENGRAM_SLOT_(space_stats), ENGRAM_SLOT_(space_list)}},
      {ENGRAM_SE_CAP_SERVING,
       "serving",
       {ENGRAM_SLOT_(space_figures), ENGRAM_SLOT_(space_ingest), ENGRAM_SLOT_(space_verify),
        ENGRAM_SLOT_(space_rollback), ENGRAM_SLOT_(migrator_open), ENGRAM_SLOT_(migrator_step),
        ENGRAM_SLOT_(migrator_close), ENGRAM_SLOT_(control_publish), ENGRAM_SLOT_(control_read)}},
      {ENGRAM_SE_CAP_TEXT_SEARCH, "text search", {ENGRAM_SLOT_(search_text)}},
      {ENGRAM_SE_CAP_SALVAGE, "salvage", {ENGRAM_SLOT_(salvage)}},
      {ENGRAM_SE_CAP_SNAPSHOTS, "snapshots", {ENGRAM_SLOT_(rollback_state)}},
      {ENGRAM_SE_CAP_STAGING, "staging", {ENGRAM_SLOT_(store_stage), ENGRAM_SLOT_(wait_durable)}},
  };
}
#undef ENGRAM_SLOT_

Status CheckSlots(const std::string& path, const engram_se_vtable& table) {
  for (const SlotGroup& group : SlotGroups(table)) {
    if (group.capability != 0 && (table.capabilities & group.capability) == 0) continue;
    const char* empty = FirstEmpty(group.slots);
    if (empty == nullptr) continue;
    const std::string why = group.capability == 0 ? std::string("which every engine must fill")
                                                  : std::string("though it claims ") + group.name;
    return Status::Unsupported(
        "the storage engine " + path + " leaves the slot " + empty + " empty, " + why,
        kWhichEngineHint);
  }
  return Status::Ok();
}

Status CheckPath(const std::string& path) {
  if (path.empty() || path.front() != '/') {
    return Status::InvalidArgument(
        "the path of the storage engine is not absolute: \"" + path + "\"",
        "give the full path, for example /usr/local/lib/libengram_dual.so");
  }
  if (access(path.c_str(), R_OK) != 0) {
    return Status::FromErrno(errno, "open storage engine " + path).WithHint(kWhichEngineHint);
  }
  return Status::Ok();
}

}  // namespace

Status ToStatus(engram_se_status code, const engram_se_error& error) {
  const bool known = code > ENGRAM_SE_OK && code <= ENGRAM_SE_CANCELLED;
  std::string message(error.message, strnlen(error.message, sizeof error.message));
  if (message.empty()) message = "the storage engine gave no details";
  if (!known) message += " (status " + std::to_string(code) + ")";
  return Status(known ? static_cast<StatusCode>(code) : StatusCode::kFatal, std::move(message),
                std::string(error.hint, strnlen(error.hint, sizeof error.hint)));
}

Plugin::Plugin(std::string path, Logger& logger) : path_(std::move(path)) {
  host_.struct_size = sizeof host_;
  host_.abi_major = ENGRAM_SE_ABI_MAJOR;
  host_.abi_minor = ENGRAM_SE_ABI_MINOR;
  host_.host_ctx = &logger;
  host_.log = HostLog;
}

Result<std::shared_ptr<const Plugin>> Plugin::Load(const std::string& path, Logger& logger) {
  ENGRAM_TRY(CheckPath(path));
  std::unique_ptr<void, LibraryCloser> library(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (library == nullptr) {
    return Status::Unsupported(path + " cannot be loaded as a library: " + dlerror(),
                               kWhichEngineHint);
  }
  std::shared_ptr<Plugin> plugin(new Plugin(path, logger));
  ENGRAM_TRY(plugin->Adopt(library.get()));
  (void)library.release();  // never unloaded, see the header
  return std::shared_ptr<const Plugin>(std::move(plugin));
}

Status Plugin::Adopt(void* library) {
  const auto entry =
      reinterpret_cast<engram_se_entry_v1>(dlsym(library, ENGRAM_SE_ENTRY_SYMBOL_V1));
  if (entry == nullptr) {
    return Status::Unsupported(path_ +
                                   " is not an Engram storage engine of major version 1: it "
                                   "does not export " ENGRAM_SE_ENTRY_SYMBOL_V1,
                               kWhichEngineHint);
  }
  const engram_se_vtable* offered = nullptr;
  Status refusal = Run([&](engram_se_error* error) -> engram_se_status {
    offered = entry(&host_, error);
    if (offered != nullptr) return ENGRAM_SE_OK;
    return error->status == ENGRAM_SE_OK ? ENGRAM_SE_UNSUPPORTED : error->status;
  });
  if (!refusal.ok()) {
    return refusal.WithContext("the storage engine " + path_ + " refused to start");
  }
  if (offered->abi_major != ENGRAM_SE_ABI_MAJOR) {
    return Status::Unsupported("the storage engine " + path_ + " speaks major version " +
                                   std::to_string(offered->abi_major) + ", this program speaks " +
                                   std::to_string(ENGRAM_SE_ABI_MAJOR),
                               "install the engine and the program of the same release");
  }
  if (offered->struct_size < ENGRAM_SE_VTABLE_SIZE_1_0) {
    return Status::Unsupported("the storage engine " + path_ + " offers a table of " +
                                   std::to_string(offered->struct_size) +
                                   " bytes, version 1.0 has " +
                                   std::to_string(ENGRAM_SE_VTABLE_SIZE_1_0),
                               "install the engine and the program of the same release");
  }
  std::memcpy(&table_, offered, std::min<size_t>(offered->struct_size, sizeof table_));
  table_.struct_size = sizeof table_;
  return CheckSlots(path_, table_);
}

}  // namespace engram::plugin
