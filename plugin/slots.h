// The functions behind the table, grouped as in the header. Each is noexcept.
#ifndef ENGRAM_PLUGIN_SLOTS_H_
#define ENGRAM_PLUGIN_SLOTS_H_

#include "engram/engram_storage_engine.h"

namespace engram::plugin {

void SetSpaceSlots(engram_se_vtable* table);  // lifecycle, memories, modes, search
void SetGraphSlots(engram_se_vtable* table);  // edges, bindings, typed nodes
void SetJobSlots(engram_se_vtable* table);
// Since 1.1.
void SetServingSlots(
    engram_se_vtable* table);  // staging, text search, figures, jobs on an open space
void SetMigratorSlots(engram_se_vtable* table);  // migrator, control block

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_SLOTS_H_
