/* The smallest storage engine: records in a sorted array in memory, gone when the space closes.
 * An example of the boundary (docs/abi.md) and a test of it: it has no capability beyond the
 * required slots. One thread at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engram/engram_storage_engine.h"

struct engram_se_engine {
  const engram_se_host* host;
};

/* A record owns one block of memory that all its pointers point into. */
typedef struct record {
  engram_se_memory memory;
  void* block;
} record;

struct engram_se_space {
  record* records; /* sorted by the bytes of the id */
  uint64_t count;
  uint64_t capacity;
  uint64_t lsn;
};

static engram_se_status fail(engram_se_error* error, engram_se_status status, const char* message,
                             const char* hint) {
  if (error != NULL) {
    error->status = status;
    error->os_errno = 0;
    error->engine_code = 0;
    error->offset_bytes = ENGRAM_SE_UNKNOWN_OFFSET;
    snprintf(error->message, sizeof error->message, "%s", message);
    snprintf(error->hint, sizeof error->hint, "%s", hint);
  }
  return status;
}

static engram_se_status out_of_memory(engram_se_error* error) {
  return fail(error, ENGRAM_SE_FULL, "null engine: no memory left", "store less");
}

static int compare(engram_se_bytes a, engram_se_bytes b) {
  const uint64_t shared = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
  const int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);
  if (order != 0) return order;
  return a.size_bytes < b.size_bytes ? -1 : a.size_bytes > b.size_bytes;
}

/* The position of the first record whose id is not below `id`. */
static uint64_t lower_bound(const engram_se_space* space, engram_se_bytes id) {
  uint64_t low = 0, high = space->count;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (compare(space->records[middle].memory.id, id) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static record* find(engram_se_space* space, engram_se_bytes id) {
  const uint64_t at = lower_bound(space, id);
  if (at == space->count || compare(space->records[at].memory.id, id) != 0) return NULL;
  return &space->records[at];
}

/* ---- deep copies: measured once with a NULL cursor, then made in one block ---- */

typedef struct arena {
  uint8_t* block; /* NULL: only measure */
  uint64_t used_bytes;
} arena;

static void* place(arena* a, const void* from, uint64_t size_bytes) {
  void* to = a->block == NULL ? NULL : a->block + a->used_bytes;
  if (to != NULL && size_bytes > 0) memcpy(to, from, size_bytes);
  a->used_bytes += (size_bytes + 7) & ~(uint64_t)7;
  return to;
}

static void place_bytes(arena* a, engram_se_bytes* bytes) {
  void* to = place(a, bytes->data, bytes->size_bytes);
  if (to != NULL) bytes->data = to;
}

static void place_pairs(arena* a, const engram_se_pair** pairs, uint64_t count) {
  const engram_se_pair* from = *pairs;
  engram_se_pair* to = place(a, from, count * sizeof *from);
  for (uint64_t i = 0; i < count; ++i) {
    engram_se_pair copy = from[i];
    place_bytes(a, &copy.key);
    place_bytes(a, &copy.value);
    if (to != NULL) to[i] = copy;
  }
  if (to != NULL) *pairs = to;
}

static void place_list(arena* a, const engram_se_bytes** list, uint64_t count) {
  const engram_se_bytes* from = *list;
  engram_se_bytes* to = place(a, from, count * sizeof *from);
  for (uint64_t i = 0; i < count; ++i) {
    engram_se_bytes copy = from[i];
    place_bytes(a, &copy);
    if (to != NULL) to[i] = copy;
  }
  if (to != NULL) *list = to;
}

static void place_memory(arena* a, engram_se_memory* m) {
  place_bytes(a, &m->id);
  place_bytes(a, &m->content);
  place_bytes(a, &m->where);
  place_bytes(a, &m->when);
  place_bytes(a, &m->last_recall);
  place_bytes(a, &m->last_access);
  place_bytes(a, &m->created_at);
  place_bytes(a, &m->provenance_model_name);
  place_bytes(a, &m->provenance_model_version);
  place_bytes(a, &m->provenance_language);
  place_bytes(a, &m->formation_time);
  place_list(a, &m->who, m->who_count);
  place_pairs(a, &m->metadata, m->metadata_count);
  place_pairs(a, &m->provenance_metadata, m->provenance_metadata_count);
  const float* embedding =
      place(a, m->embedding, ENGRAM_SE_EMBEDDING_DIMENSION * sizeof *m->embedding);
  if (a->block != NULL) m->embedding = embedding;
}

/* A caller built against an older header gives a shorter struct: the rest reads as zeros. */
static engram_se_memory take(const engram_se_memory* given) {
  engram_se_memory copy;
  memset(&copy, 0, sizeof copy);
  memcpy(&copy, given, given->struct_size < sizeof copy ? given->struct_size : sizeof copy);
  copy.struct_size = sizeof copy;
  return copy;
}

static int copy_record(const engram_se_memory* given, record* out) {
  out->memory = take(given);
  arena measure = {NULL, 0};
  engram_se_memory scratch = out->memory;
  place_memory(&measure, &scratch);
  out->block = malloc(measure.used_bytes + 1);
  if (out->block == NULL) return 0;
  arena real = {out->block, 0};
  place_memory(&real, &out->memory);
  return 1;
}

/* ---- slots ---- */

static engram_se_status engine_open(const engram_se_host* host,
                                    const engram_se_engine_options* options,
                                    engram_se_engine** engine_out, engram_se_error* error) {
  (void)options;
  *engine_out = calloc(1, sizeof **engine_out);
  if (*engine_out == NULL) return out_of_memory(error);
  (*engine_out)->host = host;
  return ENGRAM_SE_OK;
}

static void engine_close(engram_se_engine* engine) { free(engine); }

static engram_se_status space_open(engram_se_engine* engine, const engram_se_space_options* options,
                                   engram_se_space** space_out, engram_se_error* error) {
  static const char opened[] = "null engine: a space was opened; it will be forgotten";
  if (options->space == NULL) {
    return fail(error, ENGRAM_SE_INVALID_ARGUMENT, "null engine: no space named", "name a space");
  }
  *space_out = calloc(1, sizeof **space_out);
  if (*space_out == NULL) return out_of_memory(error);
  if (engine->host->log != NULL) {
    engine->host->log(engine->host->host_ctx, ENGRAM_SE_LOG_INFO, opened, sizeof opened - 1);
  }
  return ENGRAM_SE_OK;
}

static engram_se_status clear(engram_se_space* space, engram_se_error* error) {
  (void)error;
  for (uint64_t i = 0; i < space->count; ++i) free(space->records[i].block);
  space->count = 0;
  return ENGRAM_SE_OK;
}

static engram_se_status space_close(engram_se_space* space, engram_se_error* error) {
  clear(space, error);
  free(space->records);
  free(space);
  return ENGRAM_SE_OK;
}

static int make_room(engram_se_space* space) {
  if (space->count < space->capacity) return 1;
  const uint64_t capacity = space->capacity == 0 ? 16 : 2 * space->capacity;
  record* records = realloc(space->records, capacity * sizeof *records);
  if (records == NULL) return 0;
  space->records = records;
  space->capacity = capacity;
  return 1;
}

static engram_se_status store(engram_se_space* space, const engram_se_memory* memory,
                              uint64_t* lsn_out, engram_se_error* error) {
  if (memory->embedding == NULL) {
    return fail(error, ENGRAM_SE_INVALID_ARGUMENT, "null engine: a memory needs an embedding",
                "give 768 floats");
  }
  record copy;
  if (!make_room(space) || !copy_record(memory, &copy)) return out_of_memory(error);
  copy.memory.lsn = *lsn_out = ++space->lsn;
  copy.memory.node_type = ENGRAM_SE_NODE_EPISODE;
  copy.memory.tier = ENGRAM_SE_TIER_COLD;
  copy.memory.format = ENGRAM_SE_FORMAT_OLD;
  const uint64_t at = lower_bound(space, copy.memory.id);
  if (at < space->count && compare(space->records[at].memory.id, copy.memory.id) == 0) {
    free(space->records[at].block);
  } else {
    memmove(&space->records[at + 1], &space->records[at],
            (space->count - at) * sizeof *space->records);
    ++space->count;
  }
  space->records[at] = copy;
  return ENGRAM_SE_OK;
}

static engram_se_status store_batch(engram_se_space* space, const engram_se_memory* const* memories,
                                    uint64_t count, uint64_t* lsns_out, uint64_t* stored_out,
                                    engram_se_error* error) {
  for (*stored_out = 0; *stored_out < count; ++*stored_out) {
    const engram_se_status status =
        store(space, memories[*stored_out], &lsns_out[*stored_out], error);
    if (status != ENGRAM_SE_OK) return status;
  }
  return ENGRAM_SE_OK;
}

static engram_se_memory shown(const record* r, uint32_t flags) {
  engram_se_memory memory = r->memory;
  if ((flags & ENGRAM_SE_WITH_EMBEDDING) == 0) memory.embedding = NULL;
  return memory;
}

static engram_se_status unknown_id(engram_se_error* error) {
  return fail(error, ENGRAM_SE_NOT_FOUND, "null engine: there is no memory with this id",
              "this engine forgets everything when its space closes");
}

static engram_se_status retrieve(engram_se_space* space, engram_se_bytes id, uint32_t flags,
                                 engram_se_memory_fn visit, void* ctx, engram_se_error* error) {
  const record* found = find(space, id);
  if (found == NULL) return unknown_id(error);
  const engram_se_memory memory = shown(found, flags);
  visit(ctx, &memory);
  return ENGRAM_SE_OK;
}

static engram_se_status remove_one(engram_se_space* space, engram_se_bytes id, uint64_t* lsn_out,
                                   engram_se_error* error) {
  record* found = find(space, id);
  if (found == NULL) return unknown_id(error);
  free(found->block);
  const uint64_t behind = space->count - (uint64_t)(found - space->records) - 1;
  memmove(found, found + 1, behind * sizeof *found);
  --space->count;
  *lsn_out = ++space->lsn;
  return ENGRAM_SE_OK;
}

static engram_se_status remove_batch(engram_se_space* space, const engram_se_bytes* ids,
                                     uint64_t count, uint64_t* lsns_out, uint64_t* removed_out,
                                     engram_se_error* error) {
  for (*removed_out = 0; *removed_out < count; ++*removed_out) {
    lsns_out[*removed_out] = 0;
    (void)remove_one(space, ids[*removed_out], &lsns_out[*removed_out], error);
  }
  return ENGRAM_SE_OK;
}

static engram_se_status contains(engram_se_space* space, engram_se_bytes id, uint8_t* contains_out,
                                 engram_se_error* error) {
  (void)error;
  *contains_out = find(space, id) != NULL;
  return ENGRAM_SE_OK;
}

static engram_se_status count_records(engram_se_space* space, uint64_t* count_out,
                                      engram_se_error* error) {
  (void)error;
  *count_out = space->count;
  return ENGRAM_SE_OK;
}

static engram_se_status update_activation(engram_se_space* space, engram_se_bytes id,
                                          float activation, uint64_t* lsn_out,
                                          engram_se_error* error) {
  record* found = find(space, id);
  if (found == NULL) return unknown_id(error);
  found->memory.activation = activation < 0 ? 0 : activation > 1 ? 1 : activation;
  found->memory.lsn = *lsn_out = ++space->lsn;
  return ENGRAM_SE_OK;
}

/* The positions that a scan visits. */
static void range(const engram_se_space* space, const engram_se_scan_options* options,
                  uint64_t* first, uint64_t* end) {
  *first = 0;
  *end = space->count;
  if (options->after != NULL) {
    *first = lower_bound(space, *options->after);
    if (*first < *end && compare(space->records[*first].memory.id, *options->after) == 0) ++*first;
  }
  if (options->limit != 0 && options->limit < *end - *first) *end = *first + options->limit;
}

static engram_se_status scan(engram_se_space* space, const engram_se_scan_options* options,
                             engram_se_memory_fn visit, void* ctx, engram_se_error* error) {
  uint64_t at, end;
  (void)error;
  for (range(space, options, &at, &end); at < end; ++at) {
    const engram_se_memory memory = shown(&space->records[at], options->flags);
    if (visit(ctx, &memory) != 0) break;
  }
  return ENGRAM_SE_OK;
}

static engram_se_status ids(engram_se_space* space, const engram_se_scan_options* options,
                            engram_se_id_fn visit, void* ctx, engram_se_error* error) {
  uint64_t at, end;
  (void)error;
  for (range(space, options, &at, &end); at < end; ++at) {
    if (visit(ctx, space->records[at].memory.id) != 0) break;
  }
  return ENGRAM_SE_OK;
}

static const engram_se_vtable table = {
    .struct_size = sizeof(engram_se_vtable),
    .abi_major = ENGRAM_SE_ABI_MAJOR,
    .abi_minor = ENGRAM_SE_ABI_MINOR,
    .capabilities = 0,
    .engine_name = "null",
    .engine_version = "1",
    .engine_open = engine_open,
    .engine_close = engine_close,
    .space_open = space_open,
    .space_close = space_close,
    .store = store,
    .store_batch = store_batch,
    .retrieve = retrieve,
    .remove = remove_one,
    .remove_batch = remove_batch,
    .contains = contains,
    .count = count_records,
    .clear = clear,
    .update_activation = update_activation,
    .scan = scan,
    .ids = ids,
};

__attribute__((visibility("default"))) const engram_se_vtable* engram_storage_engine_v1(
    const engram_se_host* host, engram_se_error* error) {
  if (host->abi_major != ENGRAM_SE_ABI_MAJOR) {
    fail(error, ENGRAM_SE_UNSUPPORTED, "null engine: the host speaks another major version",
         "use the engine of the host's release");
    return NULL;
  }
  return &table;
}
