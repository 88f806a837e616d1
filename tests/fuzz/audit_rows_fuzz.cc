// The verification's reader of stored rows beside the engine's, on bytes under a right checksum:
// what one accepts the other does.
#include <cstdlib>

#include "base/crc32c.h"
#include "engine/rows.h"
#include "migration/audit_rows.h"

namespace {

using namespace engram;
using namespace engram::migration;

void Agree(bool engine_reads, const std::string& audit_says) {
  if (engine_reads != audit_says.empty()) std::abort();
}

void Compare(Bytes key, Bytes value) {
  engine::OldHead old_head;
  engine::DualHead dual_head;
  engine::Extension extension;
  engine::TextFields text;
  NodeKey owner;
  Bytes floats;
  AuditHead audit_head;
  AuditExtension audit_extension;
  AuditRecord record;
  uint64_t audit_owner = 0;
  Bytes audit_floats;
  Agree(engine::DecodeOldHead(key, value, &old_head).ok(), ReadOldHead(key, value, &audit_head));
  Agree(engine::DecodeDualHead(key, value, &dual_head).ok(), ReadDualHead(key, value, &audit_head));
  Agree(engine::DecodeExtension(key, value, &extension).ok(),
        ReadExtension(key, value, &audit_extension));
  Agree(engine::DecodeTextFields(key, value, &text).ok(), ReadText(key, value, &record));
  Agree(engine::DecodeEmbedding(key, value, &owner, &floats).ok(),
        ReadEmbeddingRow(key, value, &audit_owner, &audit_floats));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string key = engine::EncodeU64Key(42);
  const Bytes input(data, size);
  Compare(AsBytes(key), input);
  std::string sealed(AsView(input));
  PutLe(&sealed, Crc32cExtend(Crc32c(AsBytes(key)), input));
  Compare(AsBytes(key), AsBytes(sealed));
  return 0;
}
