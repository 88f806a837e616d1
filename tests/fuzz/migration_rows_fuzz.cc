// The rows that a migration keeps in the store: known sources, receipts, jobs. What decodes encodes
// to the same bytes; a job is JSON, so there it is what is encoded that must stay.
#include <cstdlib>

#include "migration/coverage.h"
#include "migration/job.h"
#include "migration/online/progress_row.h"
#include "migration/source_registry.h"

namespace {

using namespace engram;
using namespace engram::migration;

template <typename Row>
void CheckRow(std::string_view row) {
  const Result<Row> decoded = Row::DecodeRow(row);
  if (!decoded.ok()) return;
  const std::string encoded = decoded->EncodeRow();
  const Result<Row> again = Row::DecodeRow(encoded);
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
  CheckRow<Job>(AsView(input));
  CheckRow<online::Progress>(AsView(input));
  return 0;
}
