/* Engines that are wrong on purpose, one per value of BAD. The loader must refuse each. */
#include <string.h>

#include "engram/engram_storage_engine.h"

#define BAD_MAJOR 1
#define BAD_SHORT_TABLE 2
#define BAD_EMPTY_SLOT 3
#define BAD_CAPABILITY 4
#define BAD_REFUSES 5
#define BAD_REFUSES_SILENTLY 6
#define BAD_NEWER_MINOR 7 /* not wrong: a longer table of a later minor version */

static engram_se_status engine_open(const engram_se_host* host,
                                    const engram_se_engine_options* options,
                                    engram_se_engine** engine_out, engram_se_error* error) {
  (void)host;
  (void)options;
  (void)engine_out;
  strcpy(error->message, "opened on purpose");
  return BAD == BAD_NEWER_MINOR ? 99 : ENGRAM_SE_IO;
}

static void never(void) {}

/* Every slot filled with something that is not NULL; none but engine_open may be called. */
static void fill(engram_se_vtable* table) {
  void (*const anything)(void) = never;
  char* const first = (char*)&table->engine_open;
  const uint64_t count =
      (sizeof *table - offsetof(engram_se_vtable, engine_open)) / sizeof anything;
  for (uint64_t i = 0; i < count; ++i) {
    memcpy(first + i * sizeof anything, &anything, sizeof anything);
  }
  table->engine_open = engine_open;
}

static struct {
  engram_se_vtable table;
  uint64_t of_a_later_minor[4];
} offered;

__attribute__((visibility("default"))) const engram_se_vtable* engram_storage_engine_v1(
    const engram_se_host* host, engram_se_error* error) {
  engram_se_vtable* table = &offered.table;
  (void)host;
  fill(table);
  table->struct_size = BAD == BAD_SHORT_TABLE   ? (uint32_t)offsetof(engram_se_vtable, space_list)
                       : BAD == BAD_NEWER_MINOR ? sizeof offered
                                                : sizeof *table;
  table->abi_major = BAD == BAD_MAJOR ? 2 : ENGRAM_SE_ABI_MAJOR;
  table->abi_minor = BAD == BAD_NEWER_MINOR ? ENGRAM_SE_ABI_MINOR + 1 : ENGRAM_SE_ABI_MINOR;
  table->capabilities = BAD == BAD_CAPABILITY ? ENGRAM_SE_CAP_SEARCH : 0;
  table->engine_name = "bad";
  table->engine_version = "1";
  if (BAD == BAD_EMPTY_SLOT) table->scan = NULL;
  if (BAD == BAD_CAPABILITY) table->search = NULL;
  if (BAD == BAD_REFUSES) {
    error->status = ENGRAM_SE_FAILED_PRECONDITION;
    strcpy(error->message, "not on this machine");
    strcpy(error->hint, "use another one");
  }
  return BAD == BAD_REFUSES || BAD == BAD_REFUSES_SILENTLY ? NULL : table;
}
