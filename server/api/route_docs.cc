#include "server/api/route_docs.h"

namespace engram::server {
namespace {

constexpr Method kGet = Method::kGet, kPost = Method::kPost, kDelete = Method::kDelete;

// The space may also be given by a header or in the body (docs/http-api.md).
#define ENGRAM_CUE "query:string embedding:string max_results:integer threshold:number space:string"
#define ENGRAM_FILTER \
  " required_tags:string excluded_tags:string from_time:string to_time:string location:string"
#define ENGRAM_MEMORY_KEYS                                                                   \
  "content:string! id:string embedding:array confidence:number confidence_reasoning:string " \
  "tags:array memory_type:string timestamp:string auto_link:boolean link_threshold:number "  \
  "memory_space_id:string memory_space:string"

constexpr RouteDoc kRouteDocs[] = {
    {kGet, "/api/v1/memories", "memories", "Pages of all memories, sorted by id bytes", "200 400",
     "tier:string offset:integer limit:integer cursor:string include_embeddings:boolean "
     "view:string space:string"},
    {kPost, "/api/v1/memories", "memories", "Remembers; an existing id is replaced", "201 400",
     "space:string", ENGRAM_MEMORY_KEYS},
    {kPost, "/api/v1/memories/remember", "memories", "Remembers; an existing id is replaced",
     "201 400 422", "space:string", ENGRAM_MEMORY_KEYS},
    {kPost, "/api/v1/episodes/remember", "memories", "Remembers an episode", "201 400 422",
     "space:string",
     "what:string! when:string! id:string where_location:string where:string who:array why:string "
     "how:string embedding:array emotional_valence:number importance:number confidence:number "
     "confidence_reasoning:string tags:array memory_type:string auto_link:boolean "
     "link_threshold:number memory_space_id:string memory_space:string"},
    {kGet, "/api/v1/memories/{id}", "memories", "One memory", "200 400 404",
     "include_embeddings:boolean view:string space:string"},
    {kDelete, "/api/v1/memories/{id}", "memories", "Deletes a memory, its edges and bindings",
     "200 400 404", "space:string"},
    {kPost, "/api/v1/complete", "memories", "Completes a partial episode from stored memories",
     "200 400 422 501", "space:string",
     "partial_episode:object! config:object memory_space_id:string memory_space:string"},

    {kGet, "/api/v1/memories/recall", "recall", "Memories like a text or an embedding",
     "200 400 501",
     ENGRAM_CUE ENGRAM_FILTER " include_metadata:boolean trace_activation:boolean mode:string"},
    {kGet, "/api/v1/memories/search", "recall", "Memories that contain a text", "200 400 501",
     "query:string limit:integer space:string"},
    {kPost, "/api/v1/memories/recognize", "recall", "Whether something like it is stored",
     "200 400 422 501", "space:string",
     "input:string! embedding:array threshold:number "
     "memory_space_id:string memory_space:string"},
    {kGet, "/api/v1/query/probabilistic", "recall", "Recall with an interval of its scores",
     "200 400 501",
     ENGRAM_CUE ENGRAM_FILTER " include_evidence:boolean include_uncertainty:boolean"},
    {kPost, "/api/v1/query", "recall", "RECALL and SPREAD of the query language", "200 400 422 501",
     "space:string", "query_text:string! memory_space_id:string memory_space:string"},
    {kGet, "/api/v1/consolidations", "recall", "The Concepts of a space with their episodes",
     "200 400", "max_episodes:integer max_patterns:integer space:string"},
    {kGet, "/api/v1/consolidations/{id}", "recall", "One Concept with its episodes", "200 400 404",
     "space:string"},

    {kGet, "/api/v1/memories/{id}/edges", "graph", "The edges that leave a memory", "200 400 404",
     "limit:integer space:string"},
    {kPost, "/api/v1/memories/{id}/edges", "graph", "Adds an edge", "201 400 404 422",
     "space:string", "to:string! weight:number memory_space_id:string memory_space:string"},
    {kDelete, "/api/v1/memories/{id}/edges", "graph", "Removes the edges to a memory",
     "200 400 404", "to:string space:string"},
    {kDelete, "/api/v1/memories/{id}/edges/{to}", "graph", "Removes the edges to a memory",
     "200 400 404", "space:string"},
    {kGet, "/api/v1/memories/{id}/neighbours", "graph", "What the edges lead to", "200 400 404",
     "limit:integer space:string"},
    {kGet, "/api/v1/memories/{id}/neighbors", "graph", "The same, spelt otherwise", "200 400 404",
     "limit:integer space:string"},
    {kGet, "/api/v1/memories/{id}/traverse", "graph", "Breadth first along the edges",
     "200 400 404", "depth:integer limit:integer space:string"},
    {kPost, "/api/v1/memories/{id}/spread", "graph", "Spreads activation to the neighbours",
     "200 400 404 422", "space:string", "decay:number memory_space_id:string memory_space:string"},
    {kGet, "/api/v1/memories/{id}/bindings", "graph", "Its bindings to Concepts or Episodes",
     "200 400 404", "space:string"},

    {kGet, "/api/v1/spaces", "spaces", "All memory spaces", "200"},
    {kPost, "/api/v1/spaces", "spaces", "Makes a memory space, or finds it", "201 400 422", "",
     "id:string!"},
    {kPost, "/api/v1/maintenance/compact", "spaces",
     "Answers that a served space is compacted offline", "200 400", "space:string"},
    {kPost, "/cluster/migrate", "cluster", "Not part of a cluster", "501"},
    {kGet, "/cluster/rebalance", "cluster", "Not part of a cluster", "501"},
    {kPost, "/cluster/rebalance", "cluster", "Not part of a cluster", "501"},
    {kGet, "/cluster/health", "cluster", "Not part of a cluster", "501"},
    {kGet, "/cluster/nodes", "cluster", "Not part of a cluster", "501"},

    {kGet, "/health", "health", "Whether the server can serve", "200 503"},
    {kGet, "/health/alive", "health", "Whether the process answers", "200"},
    {kGet, "/health/spreading", "health", "The check of spreading activation", "200 404"},
    {kGet, "/api/v1/system/health", "health", "Every check, every space", "200 422 503",
     "space:string"},
    {kGet, "/api/v1/system/introspect", "health", "Counts over all spaces", "200"},
    {kGet, "/api/v1/system/spreading/config", "health", "The log of spreading's tuning", "200"},
    {kPost, "/shutdown", "admin", "Stops the server in order", "200"},
    {kGet, "/metrics", "metrics", "Metrics in windows, as JSON", "200"},
    {kGet, "/metrics/prometheus", "metrics", "Metrics for Prometheus", "200", "", "",
     "text/plain; version=0.0.4"},

    {kGet, "/api/v1/admin/features", "admin", "The feature flags", "200"},
    {kPost, "/api/v1/admin/features", "admin", "Sets feature flags, at once and for good",
     "200 400 409 422", "", "dual_memory_types:boolean cohort:string"},
    {kGet, "/api/v1/admin/migration", "admin", "The migrator of each space", "200 400 404",
     "space:string"},
    {kPost, "/api/v1/admin/migration", "admin",
     "Turns the migrator's knobs, or begins a guided migration: {\"action\": \"online\"}",
     "200 400 404 409 422", "space:string",
     "paused:boolean rate_limit:integer history_scan:boolean p99_budget_percent:number "
     "batch_size:integer memory_budget_mb:integer action:string space:string"},
    {kGet, "/api/v1/admin/config", "admin", "Every configuration key with its source", "200"},
    {kGet, "/api/v1/admin/config/{key}", "admin", "One configuration key", "200 404"},
    {kPost, "/api/v1/admin/config/{key}", "admin", "Sets a key at run time", "200 400 404 409 422",
     "", "value:string!"},

    {kGet, "/api/v1/admin/memories", "admin", "Whole records as JSON lines, at most 1000",
     "200 400 404",
     "space:string view:string exact:boolean embeddings:boolean after:string limit:integer", "",
     "application/x-ndjson"},
    {kPost, "/api/v1/admin/memories", "admin",
     "Stores JSON lines in the form of `engram memory put`; answers an id and LSN for each",
     "200 400", "space:string", "", "application/x-ndjson"},
    {kPost, "/api/v1/admin/memories/delete", "admin", "Deletes the ids of the lines", "200 400 404",
     "space:string", "", "application/x-ndjson"},
    {kGet, "/api/v1/admin/memories/{id}", "admin", "One whole record", "200 400 404",
     "space:string view:string exact:boolean embeddings:boolean"},
    {kGet, "/api/v1/admin/space", "admin", "Counts, tiers and digests of a space", "200 400 404",
     "space:string"},
    {kPost, "/api/v1/admin/space/reopen", "admin",
     "Closes an open space and opens it again, with recovery: for one that takes no writes",
     "200 400 404", "space:string"},
    {kPost, "/api/v1/admin/verify", "admin", "Recomputes the digests of a space and compares",
     "200 400 404 422", "space:string", "sample:integer full:boolean"},

    {kGet, "/api/v1/stream/migration", "streams", "The migrator's progress as events",
     "200 400 503", "space:string", "", "text/event-stream"},
    {kGet, "/api/v1/stream/activities", "streams", "What happens in a space, as events",
     "200 400 503", "space:string", "", "text/event-stream"},
    {kGet, "/api/v1/stream/memories", "streams", "Memories that come and go, as events",
     "200 400 503", "space:string", "", "text/event-stream"},
    {kGet, "/api/v1/stream/consolidation", "streams", "Consolidation, as events", "200 400 503",
     "space:string", "", "text/event-stream"},

    {kGet, "/docs", "documents", "This interface for people", "200", "", "", "text/html"},
    {kGet, "/docs/", "documents", "The same", "200", "", "", "text/html"},
    {kGet, "/docs/{page}", "documents", "The same: the pages that errors refer to", "200", "", "",
     "text/html"},
    {kGet, "/api-docs/openapi.json", "documents", "This document", "200"},
    {kGet, "/api-docs/openapi.yaml", "documents", "This document: JSON is YAML", "200", "", "",
     "application/yaml"},
};

#undef ENGRAM_CUE
#undef ENGRAM_FILTER
#undef ENGRAM_MEMORY_KEYS

}  // namespace

std::span<const RouteDoc> RouteDocs() { return kRouteDocs; }

}  // namespace engram::server
