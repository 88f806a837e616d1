// The one exported symbol of libengram_dual.so.
#include "plugin/boundary.h"
#include "plugin/slots.h"

namespace engram::plugin {
namespace {

engram_se_vtable MakeTable() {
  engram_se_vtable table{};
  table.struct_size = sizeof table;
  table.abi_major = ENGRAM_SE_ABI_MAJOR;
  table.abi_minor = ENGRAM_SE_ABI_MINOR;
  table.capabilities = ENGRAM_SE_CAP_MODES | ENGRAM_SE_CAP_SEARCH | ENGRAM_SE_CAP_EDGES |
                       ENGRAM_SE_CAP_BINDINGS | ENGRAM_SE_CAP_TYPED_NODES | ENGRAM_SE_CAP_JOBS |
                       ENGRAM_SE_CAP_DURABLE | ENGRAM_SE_CAP_SERVING | ENGRAM_SE_CAP_TEXT_SEARCH |
                       ENGRAM_SE_CAP_SALVAGE | ENGRAM_SE_CAP_SNAPSHOTS | ENGRAM_SE_CAP_STAGING;
  table.engine_name = "engram-dual";
  table.engine_version = ENGRAM_VERSION;
  SetSpaceSlots(&table);
  SetGraphSlots(&table);
  SetJobSlots(&table);
  SetServingSlots(&table);
  SetMigratorSlots(&table);
  return table;
}

}  // namespace
}  // namespace engram::plugin

extern "C" __attribute__((visibility("default"))) const engram_se_vtable* engram_storage_engine_v1(
    const engram_se_host* host, engram_se_error* error) {
  static const engram_se_vtable kTable = engram::plugin::MakeTable();
  if (host == nullptr || host->abi_major != ENGRAM_SE_ABI_MAJOR) {
    engram::plugin::DeliverText({engram::StatusCode::kUnsupported,
                                 "the host speaks another major version of the storage boundary",
                                 "install the engine and the host of the same release"},
                                error);
    return nullptr;
  }
  return &kTable;
}
