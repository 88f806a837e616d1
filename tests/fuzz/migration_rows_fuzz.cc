// The rows that a migration keeps in the store: known sources, receipts, the job. What decodes
// encodes to the same bytes; the job is JSON, so there it is what is encoded that must stay.
#include <cstdlib>

#include "migration/coverage.h"
#include "migration/job.h"
#include "migration/source_registry.h"

namespace {

using namespace engram;
using namespace engram::migration;

void CheckJob(std::string_view row) {
  const Result<Job> job = Job::DecodeRow(row);
  if (!job.ok()) return;
  const std::string encoded = job->EncodeRow();
  const Result<Job> again = Job::DecodeRow(encoded);
  if (!again.ok() || again->EncodeRow() != encoded) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const auto source = DecodeKnownSource(1, AsView(input));
  if (source.ok() && EncodeKnownSource(*source) != AsView(input)) std::abort();
  const auto receipts = CoverageLedger::Decode(input);
  if (receipts.ok()) {
    const std::string encoded = receipts->Encode();
    const auto again = CoverageLedger::Decode(AsBytes(encoded));
    if (!again.ok() || again->ranges() != receipts->ranges()) std::abort();
  }
  CheckJob(AsView(input));
  return 0;
}
