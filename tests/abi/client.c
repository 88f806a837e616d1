/* A pure-C host: loads an engine, stores and reads through it, uses what its capabilities offer.
 * usage: abi_client ENGINE. Exits 0 when everything held. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engram/engram_storage_engine.h"

static const engram_se_vtable* se;
static engram_se_error error;

#define REQUIRE(condition)                                                         \
  do {                                                                             \
    if (!(condition)) {                                                            \
      fprintf(stderr, "line %d: %s\n  %s\n", __LINE__, #condition, error.message); \
      exit(1);                                                                     \
    }                                                                              \
  } while (0)
#define OK(call) REQUIRE((call) == ENGRAM_SE_OK)

static engram_se_bytes bytes(const char* text) {
  engram_se_bytes b = {(const uint8_t*)text, strlen(text)};
  return b;
}

static int equals(engram_se_bytes b, const char* text) {
  return b.size_bytes == strlen(text) && memcmp(b.data, text, b.size_bytes) == 0;
}

static float embedding[ENGRAM_SE_EMBEDDING_DIMENSION];

static engram_se_memory memory_named(const char* id) {
  engram_se_memory memory;
  memset(&memory, 0, sizeof memory);
  memory.struct_size = sizeof memory;
  memory.id = bytes(id);
  memory.content = bytes("content");
  memory.created_at = bytes("2025-11-21T18:57:13.120Z");
  memory.present = ENGRAM_SE_HAS_CONTENT | ENGRAM_SE_HAS_CREATED_AT | ENGRAM_SE_HAS_VIVIDNESS;
  memory.activation = 0.75f;
  memory.confidence_encoding = 0.5f;
  memory.confidence_vividness = -0.0f;
  memory.decay_rate = 0.1f;
  memory.embedding = embedding;
  return memory;
}

static int32_t check_memory(void* ctx, const engram_se_memory* found) {
  *(int*)ctx += 1;
  REQUIRE(found->struct_size >= sizeof *found);
  REQUIRE(equals(found->content, "content"));
  REQUIRE(equals(found->created_at, "2025-11-21T18:57:13.120Z"));
  REQUIRE((found->present & ENGRAM_SE_HAS_WHEN) == 0);
  REQUIRE(signbit(found->confidence_vividness));
  REQUIRE(found->embedding != NULL);
  REQUIRE(memcmp(found->embedding, embedding, sizeof embedding) == 0);
  return 0;
}

static int32_t count_ids(void* ctx, engram_se_bytes id) {
  (void)id;
  *(int*)ctx += 1;
  return 0;
}
static int32_t count_scored(void* ctx, engram_se_bytes id, float score) {
  (void)score;
  return count_ids(ctx, id);
}
static int32_t check_binding(void* ctx, engram_se_bytes id, float strength, float contribution) {
  REQUIRE(equals(id, "concept"));
  REQUIRE(strength == 1.0f); /* clamped */
  REQUIRE(contribution == 0.25f);
  return count_ids(ctx, id);
}

static void memories(engram_se_space* space) {
  const engram_se_memory a = memory_named("a"), b = memory_named("b"), c = memory_named("c");
  const engram_se_memory* batch[] = {&b, &c};
  const engram_se_bytes gone[] = {bytes("c"), bytes("never there")};
  engram_se_scan_options scan = {sizeof scan, ENGRAM_SE_WITH_EMBEDDING, NULL, 0, 0, 0, 0};
  uint64_t lsns[2] = {0, 0}, first = 0, done = 0, count = 0;
  uint8_t contains = 0;
  int visits = 0;
  OK(se->store(space, &a, &first, &error));
  OK(se->store_batch(space, batch, 2, lsns, &done, &error));
  REQUIRE(done == 2 && lsns[0] > first && lsns[1] > lsns[0]);
  OK(se->retrieve(space, bytes("a"), ENGRAM_SE_WITH_EMBEDDING, check_memory, &visits, &error));
  OK(se->scan(space, &scan, check_memory, &visits, &error));
  REQUIRE(visits == 4);
  OK(se->remove_batch(space, gone, 2, lsns, &done, &error));
  REQUIRE(lsns[0] > 0 && lsns[1] == 0);
  OK(se->contains(space, bytes("c"), &contains, &error));
  REQUIRE(contains == 0);
  OK(se->count(space, &count, &error));
  REQUIRE(count == 2);
  OK(se->update_activation(space, bytes("a"), 2.0f, &first, &error));
  REQUIRE(se->retrieve(space, bytes("c"), 0, check_memory, &visits, &error) == ENGRAM_SE_NOT_FOUND);
  REQUIRE(error.hint[0] != '\0');
}

static void graph(engram_se_space* space) {
  engram_se_memory node = memory_named("concept");
  uint64_t lsn = 0;
  float weight = 0;
  uint8_t removed = 0;
  int visits = 0;
  node.node_type = ENGRAM_SE_NODE_CONCEPT;
  node.coherence = 0.5f;
  node.instance_count = 3;
  node.formation_time = bytes("2025-11-21T18:57:13Z");
  OK(se->node_put(space, &node, &lsn, &error));
  OK(se->node_set_strength(space, bytes("a"), 0.9f, &lsn, &error));
  OK(se->node_set_consolidation_score(space, bytes("a"), 0.1f, &lsn, &error));
  OK(se->edge_add(space, bytes("a"), bytes("b"), 0.5f, &error));
  OK(se->edge_add(space, bytes("a"), bytes("b"), 0.25f, &error));
  OK(se->edge_weight(space, bytes("a"), bytes("b"), &weight, &error));
  REQUIRE(weight == 0.5f);
  OK(se->edge_neighbours(space, bytes("a"), count_scored, &visits, &error));
  REQUIRE(visits == 2);
  OK(se->traverse(space, bytes("a"), 1, count_ids, &visits, &error));
  REQUIRE(visits == 4);
  OK(se->spread(space, bytes("a"), 0.5f, &error));
  OK(se->edge_remove(space, bytes("a"), bytes("b"), &removed, &error));
  REQUIRE(removed == 1);
  REQUIRE(se->edge_weight(space, bytes("a"), bytes("b"), &weight, &error) == ENGRAM_SE_NOT_FOUND);
  visits = 0;
  OK(se->binding_add(space, bytes("a"), bytes("concept"), 1.5f, 0.25f, &error));
  OK(se->binding_concepts_of(space, bytes("a"), check_binding, &visits, &error));
  REQUIRE(visits == 1);
  OK(se->binding_spread(space, bytes("a"), 1, 0.5f, &error));
  OK(se->search(space, embedding, 2, count_scored, &visits, &error));
  REQUIRE(visits == 3);
}

static void take_report(void* ctx, engram_se_bytes json) {
  REQUIRE(json.size_bytes > 2 && json.data[0] == '{');
  *(int*)ctx += 1;
}

static void jobs(engram_se_engine* engine) {
  engram_se_verify_options verify = {sizeof verify, ENGRAM_SE_VERIFY_FULL, "abc", NULL, 0};
  engram_se_job job;
  int reports = 0, spaces = 0;
  memset(&job, 0, sizeof job);
  job.struct_size = sizeof job;
  job.ctx = &reports;
  job.report = take_report;
  OK(se->space_stats(engine, "abc", &job, &error));
  OK(se->verify(engine, &verify, &job, &error));
  REQUIRE(reports == 2);
  OK(se->space_list(engine, count_ids, &spaces, &error));
  REQUIRE(spaces == 1);
  REQUIRE(se->space_stats(engine, "no", &job, &error) == ENGRAM_SE_INVALID_ARGUMENT);
}

static void run(const char* data_root, const engram_se_host* host) {
  engram_se_engine_options options = {sizeof options, ENGRAM_SE_LOG_IO_PWRITE, data_root, 0};
  engram_se_space_options of_space = {sizeof of_space, ENGRAM_SE_ACCESS_CREATE, "abc", 0};
  engram_se_engine* engine = NULL;
  engram_se_space* space = NULL;
  OK(se->engine_open(host, &options, &engine, &error));
  OK(se->space_open(engine, &of_space, &space, &error));
  if (ENGRAM_SE_HAS_SLOT(se, mode_set)) OK(se->mode_set(space, ENGRAM_SE_MODE_DUAL, &error));
  memories(space);
  if ((se->capabilities & ENGRAM_SE_CAP_BINDINGS) != 0) graph(space);
  OK(se->space_close(space, &error));
  if ((se->capabilities & ENGRAM_SE_CAP_JOBS) != 0) jobs(engine);
  se->engine_close(engine);
}

int main(int argc, char** argv) {
  char data_root[] = "/tmp/abi-client-XXXXXX";
  char command[128];
  engram_se_host host;
  engram_se_entry_v1 entry;
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (library == NULL) {
    fprintf(stderr, "usage: abi_client ENGINE (%s)\n", argc == 2 ? dlerror() : "no engine given");
    return 2;
  }
  for (uint32_t i = 0; i < ENGRAM_SE_EMBEDDING_DIMENSION; ++i) embedding[i] = (float)i / 768;
  error.struct_size = sizeof error;
  memset(&host, 0, sizeof host);
  host.struct_size = sizeof host;
  host.abi_major = ENGRAM_SE_ABI_MAJOR;
  *(void**)&entry = dlsym(library, ENGRAM_SE_ENTRY_SYMBOL_V1);
  REQUIRE(entry != NULL);
  se = entry(&host, &error);
  REQUIRE(se != NULL && se->struct_size >= ENGRAM_SE_VTABLE_SIZE_1_0);
  REQUIRE(mkdtemp(data_root) != NULL);
  run(data_root, &host);
  snprintf(command, sizeof command, "rm -r %s", data_root);
  REQUIRE(system(command) == 0);
  return 0;
}
