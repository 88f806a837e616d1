/* The boundary between a host of Engram (server, command line) and a storage engine: the only
 * installed header. Reference and versioning policy: docs/abi.md.
 *
 * The rules
 * 1. C11: no C++ types, bool, size_t, enum fields, bit-fields or varargs. Fixed-width integers.
 * 2. Every struct that crosses starts with `uint32_t struct_size`, set by whoever allocates it to
 *    its own sizeof; fields are only ever appended. Exceptions, frozen for major 1: the value types
 *    engram_se_bytes and engram_se_pair. An input struct that is shorter reads as zeros behind its
 *    end; a field behind the end of a delivered struct must not be read.
 * 3. The exported symbol carries the major version. A minor version only appends slots and fields.
 *    A retired slot stays and is NULL.
 * 4. A fallible call returns engram_se_status and takes an engram_se_error last. The error is the
 *    caller's, with inline text: nothing is freed, no allocator crosses. NULL: no details wanted.
 * 5. Memory belongs to the side that made it. What a call is given is borrowed until it returns;
 *    what a callback is given is borrowed until the callback returns. Copy what must live longer.
 * 6. No exception, longjmp or signal crosses, in either direction.
 * 7. Engines and spaces may be used from several threads at once, except that closing one must be
 *    the last call on it. A callback runs on the calling thread and must not call into the same
 *    space. A space must be closed before its engine.
 *
 * Text is UTF-8 and not NUL-terminated where it is an engram_se_bytes. Ids are any UTF-8, may be
 * empty and may hold NUL. Times are RFC 3339 text exactly as upstream's log writes them. */
#ifndef ENGRAM_ENGRAM_STORAGE_ENGINE_H_
#define ENGRAM_ENGRAM_STORAGE_ENGINE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ENGRAM_SE_ABI_MAJOR 1u
#define ENGRAM_SE_ABI_MINOR 1u
#define ENGRAM_SE_EMBEDDING_DIMENSION 768u
#define ENGRAM_SE_UNKNOWN_OFFSET UINT64_MAX

/* What the caller can do about it. Values are never reused. */
typedef int32_t engram_se_status;
#define ENGRAM_SE_OK 0
#define ENGRAM_SE_NOT_FOUND 1           /* what was named does not exist */
#define ENGRAM_SE_INVALID_ARGUMENT 2    /* the caller's input is wrong */
#define ENGRAM_SE_FULL 3                /* no space on the device or in the map; may clear itself */
#define ENGRAM_SE_BUSY 4                /* another process or handle holds it; try later */
#define ENGRAM_SE_CORRUPTION 5          /* stored bytes fail their check; the text names the file */
#define ENGRAM_SE_IO 6                  /* the operating system reported an error */
#define ENGRAM_SE_UNSUPPORTED 7         /* unknown version, missing feature */
#define ENGRAM_SE_FATAL 8               /* the handle is latched: close it and open it again */
#define ENGRAM_SE_FAILED_PRECONDITION 9 /* right call, wrong state (finalized, read-only, ...) */
#define ENGRAM_SE_CANCELLED 10          /* stopped on request; progress is checkpointed */

typedef struct engram_se_error { /* 2048 bytes, no padding */
  uint32_t struct_size;
  engram_se_status status;
  int32_t os_errno;      /* 0 if none */
  int32_t engine_code;   /* of the library below the engine; 0 if none */
  uint64_t offset_bytes; /* where in the file that the message names; UNKNOWN_OFFSET if unknown */
  char message[1512];    /* UTF-8, NUL-terminated, cut at a character if too long */
  char hint[512];        /* what to do about it; as message */
} engram_se_error;

/* Frozen. `data` may be NULL when the size is 0. */
typedef struct engram_se_bytes {
  const uint8_t* data;
  uint64_t size_bytes;
} engram_se_bytes;
typedef struct engram_se_pair {
  engram_se_bytes key;
  engram_se_bytes value;
} engram_se_pair;

typedef struct engram_se_engine engram_se_engine; /* one data root; owned by the engine */
typedef struct engram_se_space engram_se_space;   /* one open space; owned by the engine */

/* Services the host lends; outlives every engine that was opened with it. Every pointer may be
 * NULL. */
#define ENGRAM_SE_LOG_DEBUG 0
#define ENGRAM_SE_LOG_INFO 1
#define ENGRAM_SE_LOG_WARNING 2
#define ENGRAM_SE_LOG_ERROR 3
typedef struct engram_se_host {
  uint32_t struct_size;
  uint16_t abi_major;
  uint16_t abi_minor;
  void* host_ctx;
  /* State changes worth a line; never ids or payloads. Any thread. NULL: nothing is logged. */
  void (*log)(void* host_ctx, int32_t level, const char* message, uint64_t message_size_bytes);
  /* NULL: the system's clock. Any thread. */
  uint64_t (*clock_monotonic_ns)(void* host_ctx);
  int64_t (*clock_wall_ns)(void* host_ctx); /* since the Unix epoch */
} engram_se_host;

/* How the write-ahead log does its I/O. AUTO: the engine's choice. */
#define ENGRAM_SE_LOG_IO_AUTO 0u
#define ENGRAM_SE_LOG_IO_URING 1u
#define ENGRAM_SE_LOG_IO_PWRITE 2u

typedef struct engram_se_engine_options {
  uint32_t struct_size;
  uint32_t log_io;         /* ENGRAM_SE_LOG_IO_* */
  const char* data_root;   /* NUL-terminated path; created when a space is created in it */
  uint64_t map_size_bytes; /* upper bound of one space's map; 0: the engine's choice */
} engram_se_engine_options;

#define ENGRAM_SE_ACCESS_READ_ONLY 1u  /* shares the space with other readers; changes nothing */
#define ENGRAM_SE_ACCESS_READ_WRITE 2u /* exclusive; NOT_FOUND if the space has no store */
#define ENGRAM_SE_ACCESS_CREATE 3u     /* as READ_WRITE; makes an empty store in mode legacy */
typedef struct engram_se_space_options {
  uint32_t struct_size;
  uint32_t access;                     /* ENGRAM_SE_ACCESS_* */
  const char* space;                   /* NUL-terminated space id */
  uint64_t conversion_cache_bytes_max; /* 0: the engine's choice */
} engram_se_space_options;

/* Persisted by engines; never renumbered. */
#define ENGRAM_SE_MODE_LEGACY 1u
#define ENGRAM_SE_MODE_DUAL_WRITE 2u
#define ENGRAM_SE_MODE_SHADOW 3u
#define ENGRAM_SE_MODE_DUAL 4u
#define ENGRAM_SE_MODE_FINALIZED 5u

/* Bits of engram_se_memory.present: an absent part has no bit, whatever its field holds. */
#define ENGRAM_SE_HAS_CONTENT (UINT64_C(1) << 0)
#define ENGRAM_SE_HAS_WHERE (UINT64_C(1) << 1)
#define ENGRAM_SE_HAS_WHO (UINT64_C(1) << 2)
#define ENGRAM_SE_HAS_WHEN (UINT64_C(1) << 3)
#define ENGRAM_SE_HAS_LAST_RECALL (UINT64_C(1) << 4)
#define ENGRAM_SE_HAS_RECALL_COUNT (UINT64_C(1) << 5)
#define ENGRAM_SE_HAS_LAST_ACCESS (UINT64_C(1) << 6)
#define ENGRAM_SE_HAS_ACCESS_COUNT (UINT64_C(1) << 7)
#define ENGRAM_SE_HAS_CREATED_AT (UINT64_C(1) << 8)
#define ENGRAM_SE_HAS_VIVIDNESS (UINT64_C(1) << 9)
#define ENGRAM_SE_HAS_RELIABILITY (UINT64_C(1) << 10)
#define ENGRAM_SE_HAS_DECAY_FUNCTION (UINT64_C(1) << 11)
#define ENGRAM_SE_HAS_PROVENANCE (UINT64_C(1) << 12)
#define ENGRAM_SE_HAS_PROVENANCE_LANGUAGE (UINT64_C(1) << 13)
#define ENGRAM_SE_HAS_PROVENANCE_QUALITY (UINT64_C(1) << 14)
#define ENGRAM_SE_HAS_STRENGTH (UINT64_C(1) << 15)
#define ENGRAM_SE_HAS_CONSOLIDATION_SCORE (UINT64_C(1) << 16)

#define ENGRAM_SE_DECAY_EXPONENTIAL 0u   /* a: tau_hours */
#define ENGRAM_SE_DECAY_POWER_LAW 1u     /* a: beta */
#define ENGRAM_SE_DECAY_TWO_COMPONENT 2u /* n: consolidation_threshold */
#define ENGRAM_SE_DECAY_HYBRID 3u /* a: short_term_tau, b: long_term_beta, n: transition_point */

#define ENGRAM_SE_NODE_EPISODE 1u
#define ENGRAM_SE_NODE_CONCEPT 2u
#define ENGRAM_SE_TIER_HOT 1u
#define ENGRAM_SE_TIER_WARM 2u
#define ENGRAM_SE_TIER_COLD 3u
#define ENGRAM_SE_LAYOUT_NONE 0u /* born here */
#define ENGRAM_SE_LAYOUT_E0 1u
#define ENGRAM_SE_LAYOUT_E1 2u
#define ENGRAM_SE_LAYOUT_E2 3u
#define ENGRAM_SE_LAYOUT_E3 4u
#define ENGRAM_SE_LAYOUT_M 5u
#define ENGRAM_SE_FORMAT_OLD 1u
#define ENGRAM_SE_FORMAT_DUAL 2u

/* One record, in both views at once. Floats keep their bits (NaN payloads, -0.0). In a delivered
 * record everything is filled; what a call reads of a given one is said at the call. */
typedef struct engram_se_memory {
  uint32_t struct_size;
  uint32_t node_type; /* ENGRAM_SE_NODE_* */
  uint64_t present;   /* ENGRAM_SE_HAS_* */
  engram_se_bytes id;
  engram_se_bytes content;
  engram_se_bytes where;
  const engram_se_bytes* who;
  uint64_t who_count;
  const engram_se_pair* metadata; /* of a repeated key the last pair counts */
  uint64_t metadata_count;
  engram_se_bytes when;
  engram_se_bytes last_recall;
  engram_se_bytes last_access;
  engram_se_bytes created_at;
  uint64_t access_count;
  const float* embedding; /* 768 floats; NULL if it was not asked for */
  float activation;
  float confidence_encoding;
  float confidence_vividness;
  float confidence_reliability;
  float decay_rate;
  uint32_t recall_count;
  uint32_t decay_kind; /* ENGRAM_SE_DECAY_* */
  float decay_a;
  float decay_b;
  float provenance_quality_score;
  uint64_t decay_n;
  engram_se_bytes provenance_model_name;
  engram_se_bytes provenance_model_version;
  engram_se_bytes provenance_language;
  uint64_t provenance_dimension;
  uint64_t provenance_created_at_s;
  const engram_se_pair* provenance_metadata;
  uint64_t provenance_metadata_count;
  /* The node. Unset strength and score have no bit. */
  float strength;
  float consolidation_score;
  float coherence;
  uint32_t instance_count;
  engram_se_bytes formation_time; /* of a Concept; empty for an Episode */
  /* Read-only: ignored in what a call is given. */
  uint64_t binding_count;
  uint64_t lsn;
  uint32_t tier;   /* ENGRAM_SE_TIER_* */
  uint32_t layout; /* ENGRAM_SE_LAYOUT_* */
  uint32_t format; /* ENGRAM_SE_FORMAT_*: what is physically stored now */
  uint32_t reserved;
  uint8_t uuid[16];
  uint8_t embedding_sha256[32];
  uint8_t digest[32];
} engram_se_memory;

/* Callbacks: a result other than 0 stops the enumeration, which then succeeds. */
typedef int32_t (*engram_se_memory_fn)(void* ctx, const engram_se_memory* memory);
typedef int32_t (*engram_se_id_fn)(void* ctx, engram_se_bytes id);
typedef int32_t (*engram_se_scored_fn)(void* ctx, engram_se_bytes id, float score);
typedef int32_t (*engram_se_edge_fn)(void* ctx, engram_se_bytes from, engram_se_bytes to,
                                     float weight);
typedef int32_t (*engram_se_binding_fn)(void* ctx, engram_se_bytes id, float strength,
                                        float contribution);

#define ENGRAM_SE_WITH_EMBEDDING 1u /* fills engram_se_memory.embedding */

typedef struct engram_se_scan_options {
  uint32_t struct_size;
  uint32_t flags;               /* ENGRAM_SE_WITH_EMBEDDING */
  const engram_se_bytes* after; /* starts behind this id; NULL: at the first */
  uint64_t limit;               /* 0: no limit */
  /* Since 1.1. */
  uint64_t skip; /* records (of the tier asked for) passed over before the first delivered one */
  uint32_t tier; /* ENGRAM_SE_TIER_*: only records of it; 0: all */
  uint32_t reserved;
} engram_se_scan_options;

/* What a progress bar shows. Delivered at most ten times a second and at the end of a phase. */
typedef struct engram_se_progress {
  uint32_t struct_size;
  uint32_t reserved;
  engram_se_bytes space;
  engram_se_bytes phase; /* "index", "ingest", "convert", "verify", "compact" */
  uint64_t done;         /* nodes; of phase "index" bytes */
  uint64_t total;        /* 0: not known yet */
  double rate_per_second;
  double eta_seconds; /* < 0: unknown */
  uint64_t resident_anon_bytes;
  uint64_t memory_budget_bytes;    /* 0: none */
  engram_se_bytes checkpoint_time; /* RFC 3339; empty before the first */
  uint64_t checkpoint_nodes;
} engram_se_progress;

/* What every job takes. A job opens the spaces it works on itself: they must not be open. */
typedef struct engram_se_job {
  uint32_t struct_size;
  uint32_t reserved;
  void* ctx;                                                       /* of both callbacks */
  void (*progress)(void* ctx, const engram_se_progress* progress); /* may be NULL */
  void (*report)(void* ctx, engram_se_bytes json);                 /* may be NULL; called once */
  /* Set to 1, by any thread or a signal handler, to stop: the job checkpoints and returns
   * CANCELLED. Only ever 0 or 1. May be NULL. */
  const volatile uint8_t* cancel;
} engram_se_job;

#define ENGRAM_SE_MIGRATE_DRY_RUN 1u         /* predicts; creates and changes nothing */
#define ENGRAM_SE_MIGRATE_RESUME 2u          /* from the checkpoint; from the start without one */
#define ENGRAM_SE_MIGRATE_SNAPSHOT 8u        /* takes one first, for rollback_state; since 1.1 */
#define ENGRAM_SE_MIGRATE_NO_HISTORY_SCAN 4u /* only what is written while it runs */
/* Of space_ingest, since 1.1: reads nothing; from now on no record that is deleted here comes back
 * with a source that is brought in later. */
#define ENGRAM_SE_MIGRATE_ANNOUNCE 16u
typedef struct engram_se_migrate_options {
  uint32_t struct_size;
  uint32_t flags;      /* ENGRAM_SE_MIGRATE_* */
  const char* source;  /* upstream data root or log directory; NULL: the space itself */
  const char* space;   /* NULL: every space of the source */
  uint64_t batch_size; /* 0 for this and the next three: the engine's default */
  uint64_t checkpoint_interval;
  uint64_t memory_budget_mb;
  uint64_t rate_limit_per_second; /* 0: none */
  uint32_t parallel_workers;      /* 0: cores / 2, at least 1 */
  uint32_t reserved;
} engram_se_migrate_options;

#define ENGRAM_SE_VERIFY_FULL 1u /* also layouts, map order, re-encoding, cross tables */
typedef struct engram_se_verify_options {
  uint32_t struct_size;
  uint32_t flags; /* ENGRAM_SE_VERIFY_* */
  const char* space;
  const char* source; /* NULL: the space alone */
  uint64_t sample;    /* 0: every record */
} engram_se_verify_options;

#define ENGRAM_SE_COMPACT_FINALIZE 1u /* converts and verifies what is old, drops all old heads */
typedef struct engram_se_compact_options {
  uint32_t struct_size;
  uint32_t flags; /* ENGRAM_SE_COMPACT_* */
  const char* space;
} engram_se_compact_options;

/* --- Since ABI 1.1: serving a space. What a host needs that keeps spaces open for long. --- */

/* Counters and gauges of an open space, all at `lsn`; cheap enough for every scrape (no scan, no
 * wait). Histogram buckets: entry i counts waits below 2^i microseconds and not below 2^(i-1), the
 * last one also everything above. */
#define ENGRAM_SE_WAIT_BUCKETS 24u
typedef struct engram_se_figures {
  uint32_t struct_size;
  uint32_t mode; /* ENGRAM_SE_MODE_* */
  uint64_t lsn;
  uint64_t count;
  uint64_t old_count; /* without a current dual head */
  uint64_t dual_count;
  uint64_t episode_count;
  uint64_t concept_count;
  uint64_t edge_count;
  uint64_t binding_count;
  uint64_t quarantined_count;
  uint64_t lossy_count;   /* Concepts served as Memory: the lossiness ledger */
  uint64_t tier_count[3]; /* hot, warm, cold */
  uint8_t tier_digest[3][32];
  uint8_t tier_dirty[3]; /* 1: a damaged record could not be subtracted; salvage makes it whole */
  uint8_t reserved8[5];
  uint8_t digest[32];
  uint64_t size_bytes; /* allocated on disk, log included */
  uint64_t lsn_durable;
  uint64_t lsn_applied;
  uint64_t overlay_size_bytes;
  uint64_t log_size_bytes;
  uint64_t log_appended_bytes_total; /* since the space was opened, as the next ones */
  uint64_t log_groups_total;
  uint64_t log_records_total;
  uint64_t log_flush_ns_total;
  uint64_t lazy_conversions_total; /* old records converted on a read */
  uint64_t lazy_installs_total;    /* of them installed */
  uint64_t shadow_mismatches_total;
  uint64_t recovery_ns; /* of the last open */
  uint64_t recovery_records;
  uint64_t mode_gate_wait[ENGRAM_SE_WAIT_BUCKETS]; /* operations, by how long they waited */
  uint64_t mode_gate_wait_ns_total;
  uint32_t latched; /* 1: writes answer FATAL until the space is closed and opened again */
  uint32_t reserved32;
} engram_se_figures;

/* A migrator of one open space: converts what is old in small steps, in the foreground of whoever
 * steps it, while the space is served. It tails the log for new writes and scans old heads for
 * history; both install by compare-and-rewrite, so stepping it at any time is safe. It keeps its
 * place in the store: a new migrator after a crash goes on. */
typedef struct engram_se_migrator engram_se_migrator;
#define ENGRAM_SE_MIGRATOR_NO_HISTORY_SCAN 1u /* only what is written while it is open */
typedef struct engram_se_migrator_options {
  uint32_t struct_size;
  uint32_t flags;            /* ENGRAM_SE_MIGRATOR_* */
  uint64_t memory_budget_mb; /* 0: the engine's default */
  uint32_t parallel_workers; /* 0: cores / 2, at least 1 */
  uint32_t reserved;
} engram_se_migrator_options;

#define ENGRAM_SE_PHASE_TAIL 1u     /* nothing old but what the log still brings */
#define ENGRAM_SE_PHASE_BACKFILL 2u /* scanning history */
#define ENGRAM_SE_PHASE_VERIFY 3u   /* recomputing the digests of what was converted */
#define ENGRAM_SE_PHASE_COMPLETE 4u /* all covered, digests agree, old only what is quarantined */
#define ENGRAM_SE_PHASE_FAILED 5u   /* a verification that did not hold; the error said what */
#define ENGRAM_SE_PHASE_INGEST 6u   /* of a control block alone: what upstream left is coming in */
typedef struct engram_se_migrator_state {
  uint32_t struct_size;
  uint32_t phase; /* ENGRAM_SE_PHASE_* */
  uint64_t done;  /* records this step looked at; 0: nothing to do until something is written */
  uint64_t converted_total; /* by this migrator */
  uint64_t remaining_old;
  uint64_t quarantined_total; /* poison records: readable, left old, counted */
  uint64_t lsn_tailed;
  uint64_t lsn_durable;
  uint8_t digest_matches; /* of the last verification: 1 yes, 0 no or none yet */
  uint8_t reserved8[7];
  uint64_t resident_budget_used_bytes;
} engram_se_migrator_state;

/* The mirror of a space's state in shared memory (<space>/dual/control): readable while its owner
 * is stopped, hung or dead. Never the truth; a torn or foreign file reads as NOT_FOUND. */
typedef struct engram_se_control {
  uint32_t struct_size;
  uint32_t mode;           /* ENGRAM_SE_MODE_* */
  uint32_t phase;          /* ENGRAM_SE_PHASE_*, 0: off */
  uint32_t pid;            /* of the owner; 0: nobody holds the space */
  uint64_t pid_start_time; /* field 22 of /proc/<pid>/stat: tells a reused pid */
  int64_t updated_unix_ns;
  uint64_t lsn;
  uint64_t count;
  uint64_t old_count;
  uint64_t converted;
  uint64_t quarantined;
  uint64_t lag_lsn;
  double rate_per_second;
  double eta_seconds;             /* < 0: unknown */
  uint64_t rate_limit_per_second; /* knob; 0: none */
  uint8_t paused;                 /* knob */
  uint8_t history_scan;           /* knob */
  uint8_t reserved8[6];
  int64_t throttled_since_unix_ns; /* 0: not throttled */
  char throttle_reason[48];        /* NUL-terminated */
  uint8_t digest[32];
  uint32_t http_port;
  uint32_t reserved;
} engram_se_control;

/* Going on with a damaged space. */
#define ENGRAM_SE_SALVAGE_DRY_RUN 1u /* lists what is lost; changes nothing */
typedef struct engram_se_salvage_options {
  uint32_t struct_size;
  uint32_t flags; /* ENGRAM_SE_SALVAGE_* */
  const char* space;
} engram_se_salvage_options;

/* Going back to the snapshot that a migration took. */
#define ENGRAM_SE_ROLLBACK_DRY_RUN 1u /* lists the later writes; changes nothing */
typedef struct engram_se_rollback_options {
  uint32_t struct_size;
  uint32_t flags; /* ENGRAM_SE_ROLLBACK_* */
  const char* space;
} engram_se_rollback_options;

/* Capabilities: the slots of a group may be NULL only if its bit is clear. */
#define ENGRAM_SE_CAP_MODES (UINT64_C(1) << 0)
#define ENGRAM_SE_CAP_SEARCH (UINT64_C(1) << 1)
#define ENGRAM_SE_CAP_EDGES (UINT64_C(1) << 2)
#define ENGRAM_SE_CAP_BINDINGS (UINT64_C(1) << 3)
#define ENGRAM_SE_CAP_TYPED_NODES (UINT64_C(1) << 4)
#define ENGRAM_SE_CAP_JOBS (UINT64_C(1) << 5)
#define ENGRAM_SE_CAP_DURABLE (UINT64_C(1) << 6) /* an acknowledged write survives a crash */
#define ENGRAM_SE_CAP_SERVING (UINT64_C(1) << 7) /* the slots since 1.1, search_text excepted */
#define ENGRAM_SE_CAP_TEXT_SEARCH (UINT64_C(1) << 8)
#define ENGRAM_SE_CAP_SALVAGE (UINT64_C(1) << 9)
#define ENGRAM_SE_CAP_SNAPSHOTS (UINT64_C(1) << 10)
#define ENGRAM_SE_CAP_STAGING (UINT64_C(1) << 11)

typedef struct engram_se_vtable {
  uint32_t struct_size;
  uint16_t abi_major;
  uint16_t abi_minor;
  uint64_t capabilities;   /* ENGRAM_SE_CAP_* */
  const char* engine_name; /* static storage */
  const char* engine_version;

  /* Lifecycle (required). Opening an engine touches nothing on disk. `host` must outlive it. */
  engram_se_status (*engine_open)(const engram_se_host* host,
                                  const engram_se_engine_options* options,
                                  engram_se_engine** engine_out, engram_se_error* error);
  void (*engine_close)(engram_se_engine* engine);
  engram_se_status (*space_open)(engram_se_engine* engine, const engram_se_space_options* options,
                                 engram_se_space** space_out, engram_se_error* error);
  /* Frees the space always; an error says that the orderly part failed. Nothing acknowledged is
   * lost by it. */
  engram_se_status (*space_close)(engram_se_space* space, engram_se_error* error);

  /* Memories (required). A write is durable and visible to every later read on return. */

  /* Replaces the whole memory. Reads every field but the node's and the read-only ones; the
   * embedding is required. An existing node keeps its type, bindings, edges and what typed calls
   * have set; of a Concept the projected fields change. */
  engram_se_status (*store)(engram_se_space* space, const engram_se_memory* memory,
                            uint64_t* lsn_out, engram_se_error* error);
  /* The same for many in order, with one group commit. `lsns_out` has room for `count`. On an
   * error the first `*stored_out` are stored, durable, and have their LSNs. */
  engram_se_status (*store_batch)(engram_se_space* space, const engram_se_memory* const* memories,
                                  uint64_t count, uint64_t* lsns_out, uint64_t* stored_out,
                                  engram_se_error* error);
  /* Calls `visit` once, or returns NOT_FOUND. `flags`: ENGRAM_SE_WITH_EMBEDDING. */
  engram_se_status (*retrieve)(engram_se_space* space, engram_se_bytes id, uint32_t flags,
                               engram_se_memory_fn visit, void* ctx, engram_se_error* error);
  /* NOT_FOUND for an unknown id. Drops the node's edges and bindings, both ways. */
  engram_se_status (*remove)(engram_se_space* space, engram_se_bytes id, uint64_t* lsn_out,
                             engram_se_error* error);
  /* In order, one group commit. An unknown id gets LSN 0 and is no error. */
  engram_se_status (*remove_batch)(engram_se_space* space, const engram_se_bytes* ids,
                                   uint64_t count, uint64_t* lsns_out, uint64_t* removed_out,
                                   engram_se_error* error);
  engram_se_status (*contains)(engram_se_space* space, engram_se_bytes id, uint8_t* contains_out,
                               engram_se_error* error);
  engram_se_status (*count)(engram_se_space* space, uint64_t* count_out, engram_se_error* error);
  engram_se_status (*clear)(engram_se_space* space, engram_se_error* error);
  /* Clamps to [0,1], NaN stays; changes the activation only. NOT_FOUND for an unknown id. */
  engram_se_status (*update_activation)(engram_se_space* space, engram_se_bytes id,
                                        float activation, uint64_t* lsn_out,
                                        engram_se_error* error);
  /* Records sorted by the bytes of their ids, all at one snapshot. */
  engram_se_status (*scan)(engram_se_space* space, const engram_se_scan_options* options,
                           engram_se_memory_fn visit, void* ctx, engram_se_error* error);
  /* The same, ids alone. */
  engram_se_status (*ids)(engram_se_space* space, const engram_se_scan_options* options,
                          engram_se_id_fn visit, void* ctx, engram_se_error* error);

  /* Modes (MODES). Setting is durable on return; FAILED_PRECONDITION once finalized. */
  engram_se_status (*mode_get)(engram_se_space* space, uint32_t* mode_out, engram_se_error* error);
  engram_se_status (*mode_set)(engram_se_space* space, uint32_t mode, engram_se_error* error);

  /* Exact cosine top-k over all embeddings, best first (SEARCH). 768 floats. */
  engram_se_status (*search)(engram_se_space* space, const float* query, uint32_t k,
                             engram_se_scored_fn visit, void* ctx, engram_se_error* error);

  /* Edges (EDGES): directed, parallel edges and self-loops allowed, no existence check, any
   * weight. Neighbours come in insertion order; an unknown id has none. */
  engram_se_status (*edge_add)(engram_se_space* space, engram_se_bytes from, engram_se_bytes to,
                               float weight, engram_se_error* error);
  /* All parallel ones; `*removed_out` is 1 if there was any. */
  engram_se_status (*edge_remove)(engram_se_space* space, engram_se_bytes from, engram_se_bytes to,
                                  uint8_t* removed_out, engram_se_error* error);
  engram_se_status (*edge_neighbours)(engram_se_space* space, engram_se_bytes id,
                                      engram_se_scored_fn visit, void* ctx, engram_se_error* error);
  /* Of the first parallel edge; NOT_FOUND if there is none. */
  engram_se_status (*edge_weight)(engram_se_space* space, engram_se_bytes from, engram_se_bytes to,
                                  float* weight_out, engram_se_error* error);
  engram_se_status (*edge_all)(engram_se_space* space, engram_se_edge_fn visit, void* ctx,
                               engram_se_error* error);
  /* Breadth first: each node once, by depth and insertion order, the start (even an unknown one)
   * and depth `depth` included. */
  engram_se_status (*traverse)(engram_se_space* space, engram_se_bytes start, uint32_t depth,
                               engram_se_id_fn visit, void* ctx, engram_se_error* error);
  /* One hop: target := min(1, activation + source activation * weight * decay). */
  engram_se_status (*spread)(engram_se_space* space, engram_se_bytes source, float decay,
                             engram_se_error* error);

  /* Bindings between Episodes and Concepts (BINDINGS). Both nodes must exist; strength and
   * contribution are clamped to [0,1], NaN stays; repeats append. */
  engram_se_status (*binding_add)(engram_se_space* space, engram_se_bytes episode,
                                  engram_se_bytes concept_id, float strength, float contribution,
                                  engram_se_error* error);
  engram_se_status (*binding_concepts_of)(engram_se_space* space, engram_se_bytes episode,
                                          engram_se_binding_fn visit, void* ctx,
                                          engram_se_error* error);
  engram_se_status (*binding_episodes_of)(engram_se_space* space, engram_se_bytes concept_id,
                                          engram_se_binding_fn visit, void* ctx,
                                          engram_se_error* error);
  engram_se_status (*binding_spread)(engram_se_space* space, engram_se_bytes source,
                                     uint8_t source_is_episode, float decay,
                                     engram_se_error* error);

  /* Typed nodes (TYPED_NODES). node_put reads the node's fields too; unset strength and score
   * have no bit. */
  engram_se_status (*node_put)(engram_se_space* space, const engram_se_memory* node,
                               uint64_t* lsn_out, engram_se_error* error);
  engram_se_status (*node_set_strength)(engram_se_space* space, engram_se_bytes id, float strength,
                                        uint64_t* lsn_out, engram_se_error* error);
  engram_se_status (*node_set_consolidation_score)(engram_se_space* space, engram_se_bytes id,
                                                   float score, uint64_t* lsn_out,
                                                   engram_se_error* error);

  /* Jobs (JOBS). Each delivers one JSON object to job->report when it returns OK; its "ok" is
   * false when it looked and something does not hold. Keys: the command line's contract. */
  engram_se_status (*migrate)(engram_se_engine* engine, const engram_se_migrate_options* options,
                              const engram_se_job* job, engram_se_error* error);
  engram_se_status (*verify)(engram_se_engine* engine, const engram_se_verify_options* options,
                             const engram_se_job* job, engram_se_error* error);
  engram_se_status (*rollback)(engram_se_engine* engine, const char* space,
                               const engram_se_job* job, engram_se_error* error);
  engram_se_status (*can_rollback)(engram_se_engine* engine, const char* space,
                                   const engram_se_job* job, engram_se_error* error);
  engram_se_status (*migration_status)(engram_se_engine* engine, const char* space,
                                       const engram_se_job* job, engram_se_error* error);
  engram_se_status (*compact)(engram_se_engine* engine, const engram_se_compact_options* options,
                              const engram_se_job* job, engram_se_error* error);
  engram_se_status (*space_stats)(engram_se_engine* engine, const char* space,
                                  const engram_se_job* job, engram_se_error* error);
  /* The spaces that have a store, sorted by name. */
  engram_se_status (*space_list)(engram_se_engine* engine, engram_se_id_fn visit, void* ctx,
                                 engram_se_error* error);
  /* Slots above are valid for ABI 1.0. */

  /* Text search over the contents, best first, ties by id bytes (TEXT_SEARCH). Without regard to
   * ASCII case: 1.0 if the content contains the query, 0.8 if the query contains the (non-empty)
   * content, else the Jaccard index of their sets of white-space separated words. An id equal to
   * the query scores 1.0. Records below `threshold` and those without content are left out. */
  engram_se_status (*search_text)(engram_se_space* space, engram_se_bytes query, float threshold,
                                  uint32_t k, engram_se_scored_fn visit, void* ctx,
                                  engram_se_error* error);

  /* On an open space, while it is served (SERVING). The caller sets figures->struct_size. */
  engram_se_status (*space_figures)(engram_se_space* space, engram_se_figures* figures,
                                    engram_se_error* error);
  /* Brings in what an upstream directory still holds: as migrate with a source (options->space is
   * not looked at), in batches between which writers and readers get in. Records that are written
   * here meanwhile win. In the modes that produce dual heads the records come in converted. A
   * source that was brought in whole and has not changed since costs no reading of its records. */
  engram_se_status (*space_ingest)(engram_se_space* space, const engram_se_migrate_options* options,
                                   const engram_se_job* job, engram_se_error* error);
  /* As verify, at one snapshot. */
  engram_se_status (*space_verify)(engram_se_space* space, const engram_se_verify_options* options,
                                   const engram_se_job* job, engram_se_error* error);
  /* As rollback (to old format). */
  engram_se_status (*space_rollback)(engram_se_space* space, const engram_se_job* job,
                                     engram_se_error* error);

  /* One migrator per space at a time (BUSY). Closing it never loses what its steps have done; it
   * must be closed before its space. */
  engram_se_status (*migrator_open)(engram_se_space* space,
                                    const engram_se_migrator_options* options,
                                    engram_se_migrator** migrator_out, engram_se_error* error);
  /* Looks at up to `records_max` records: first what the log brought, then history, then
   * verification; one commit. The caller sets state->struct_size. */
  engram_se_status (*migrator_step)(engram_se_migrator* migrator, uint64_t records_max,
                                    engram_se_migrator_state* state, engram_se_error* error);
  void (*migrator_close)(engram_se_migrator* migrator);

  /* Publishes the mirror; never blocks, no I/O but stores to mapped memory. */
  engram_se_status (*control_publish)(engram_se_space* space, const engram_se_control* control,
                                      engram_se_error* error);
  /* Needs no lease and no open space; changes nothing; never waits for the owner. */
  engram_se_status (*control_read)(engram_se_engine* engine, const char* space,
                                   engram_se_control* control, engram_se_error* error);

  /* A job (SALVAGE): goes on with a space whose log or tables are damaged. What is intact stays;
   * what is not is set aside and listed; sums are counted anew. */
  engram_se_status (*salvage)(engram_se_engine* engine, const engram_se_salvage_options* options,
                              const engram_se_job* job, engram_se_error* error);
  /* A job (SNAPSHOTS): restores the newest snapshot, digest-checked. Writes since are given up. */
  engram_se_status (*rollback_state)(engram_se_engine* engine,
                                     const engram_se_rollback_options* options,
                                     const engram_se_job* job, engram_se_error* error);

  /* The two halves of `store` (STAGING), for a host that serves many clients from few threads.
   * store_stage never waits: BUSY, and nothing is written, where `store` would wait for a flush,
   * for room, or for long for another writer. The write has its place in the order of writes; it is
   * durable and visible to reads once wait_durable has returned OK for its LSN or a later one. What
   * nobody waits for becomes durable with what comes after it, or when the space is closed; after a
   * crash it may be there or not. An error of wait_durable leaves the outcome unknown. */
  engram_se_status (*store_stage)(engram_se_space* space, const engram_se_memory* memory,
                                  uint64_t* lsn_out, engram_se_error* error);
  engram_se_status (*wait_durable)(engram_se_space* space, uint64_t lsn, engram_se_error* error);
  /* Slots above are valid for ABI 1.1. */
} engram_se_vtable;

#define ENGRAM_SE_VTABLE_SIZE_1_0 \
  (offsetof(engram_se_vtable, space_list) + sizeof(((engram_se_vtable*)0)->space_list))
#define ENGRAM_SE_VTABLE_SIZE_1_1 \
  (offsetof(engram_se_vtable, wait_durable) + sizeof(((engram_se_vtable*)0)->wait_durable))
#define ENGRAM_SE_HAS_SLOT(vt, slot) \
  ((vt)->struct_size >= offsetof(engram_se_vtable, slot) + sizeof((vt)->slot) && (vt)->slot != NULL)

/* The one exported symbol. Returns a table with static storage, or NULL with the error filled.
 * `host` is for the decision alone and is not kept. */
typedef const engram_se_vtable* (*engram_se_entry_v1)(const engram_se_host* host,
                                                      engram_se_error* error);
#define ENGRAM_SE_ENTRY_SYMBOL_V1 "engram_storage_engine_v1"
const engram_se_vtable* engram_storage_engine_v1(const engram_se_host* host,
                                                 engram_se_error* error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ENGRAM_ENGRAM_STORAGE_ENGINE_H_ */
