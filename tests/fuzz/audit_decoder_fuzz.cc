// The verification's decoder of source payloads beside the converter's: both refuse a payload or
// both read the same record from it.
#include <cstdlib>

#include "compat/conversion.h"
#include "compat/upstream_codec.h"
#include "migration/audit_decoder.h"

namespace {

using namespace engram;

Sha256Digest ConverterDigest(compat::UpstreamRecord& record) {
  engine::Memory& memory = record.memory;
  if (memory.layout != engine::Layout::kM) memory.activation = memory.confidence_encoding;
  memory.embedding_sha256 = Sha256Of(record.embedding);
  return compat::MemoryDigest(memory, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint32_t type = data[0] % 2 + 1;
  const Bytes payload(data + 1, size - 1);
  static compat::UpstreamRecord record;  // reused, as the ingest does
  static migration::AuditDecoder audit;
  const migration::AuditPayload contribution{type, payload};
  const bool decoded = compat::DecodeUpstreamPayload(type, payload, &record).ok();
  if (audit.Decodable(contribution) != decoded) std::abort();
  if (audit.Fold({&contribution, 1}).ok() != decoded) std::abort();
  if (decoded && audit.digest() != ConverterDigest(record)) std::abort();
  return 0;
}
