// The threads of an ingest's second pass: workers fill batches, the caller takes them in order.
#ifndef ENGRAM_MIGRATION_INGEST_PIPELINE_H_
#define ENGRAM_MIGRATION_INGEST_PIPELINE_H_

#include <functional>

#include "migration/ingest_batch.h"

namespace engram::migration {

struct PipelineOptions {
  uint32_t workers = 1;
  uint64_t records_max = 1000;    // per batch
  uint64_t bytes_max = 8u << 20;  // of source records per batch; one record may exceed it
};

// Calls `write` on this thread with every batch of `work`, in order. At most 2 * workers + 1
// batches exist at a time. Stops at the first error, of a worker or of `write`.
Status RunPipeline(const PipelineOptions& options, const SourceIndex& index, engine::Store* store,
                   uint32_t origin, const WorkList& work,
                   const std::function<Status(IngestBatch&)>& write);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_INGEST_PIPELINE_H_
