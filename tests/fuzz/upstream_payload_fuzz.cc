// Whatever decodes must encode to the very bytes it came from; nothing else may happen than a
// Status.
#include <cstdlib>
#include <string>

#include "compat/upstream_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  uint32_t type = data[0] % 4;
  engram::Bytes payload(data + 1, size - 1);
  static engram::compat::UpstreamRecord record;  // reused, as the ingest does
  auto id = engram::compat::PeekUpstreamId(type, payload);
  if (engram::compat::DecodeUpstreamPayload(type, payload, &record).ok()) {
    std::string again;
    if (!id.ok() || *id != record.memory.text.id) std::abort();
    if (!engram::compat::EncodeUpstreamPayload(record.memory, record.embedding, &again).ok()) {
      std::abort();
    }
    if (again != engram::AsView(payload)) std::abort();
  }
  engram::compat::UpstreamHeader header;
  if (payload.size() >= engram::compat::kUpstreamHeaderSizeBytes) {
    (void)engram::compat::CheckUpstreamHeader(payload, &header);
  }
  return 0;
}
