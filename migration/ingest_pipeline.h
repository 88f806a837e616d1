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
  uint64_t batches_max = 8;       // that exist at a time: what to work on while a commit flushes
};

// Calls `write` on this thread with every batch of `work`, in order; while none is ready this
// thread fills batches too. Stops at the first error, of a worker or of `write`.
Status RunPipeline(const PipelineOptions& options, const SourceIndex& index,
                   const BatchBuilder::Options& build, const WorkList& work,
                   const std::function<Status(IngestBatch&)>& write);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_INGEST_PIPELINE_H_
