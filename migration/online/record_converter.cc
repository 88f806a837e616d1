#include "migration/online/record_converter.h"

#include "compat/conversion.h"

namespace engram::migration::online {
namespace {

// The old head's row as stored; empty if there is none.
Result<std::string> OldHeadRow(engine::ReadView& view, NodeKey key) {
  const std::string wanted = engine::EncodeU64Key(key.value);
  std::string row;
  ENGRAM_TRY(view.ScanTable(engine::Table::kOldHeads, AsBytes(wanted),
                            [&](Bytes at, Bytes value) -> Result<bool> {
                              if (AsView(at) == wanted) row = AsView(value);
                              return false;
                            }));
  return row;
}

Status AddPoison(engine::ReadView& view, NodeKey key, std::string reason,
                 std::vector<ConvertedRange::Poison>* poison) {
  ENGRAM_ASSIGN_OR_RETURN(std::string row, OldHeadRow(view, key));
  poison->push_back({key, std::move(reason), std::move(row)});
  return Status::Ok();
}

}  // namespace

Status ConvertRecords(engine::ReadView& view, const SpaceId& space,
                      const std::vector<NodeKey>& keys, std::vector<ConvertedRange::Head>* heads,
                      std::vector<ConvertedRange::Poison>* poison) {
  for (NodeKey key : keys) {
    const auto record = view.Record(key);
    if (record.status().code() == StatusCode::kCorruption) {
      ENGRAM_TRY(AddPoison(view, key, record.status().message(), poison));
      continue;
    }
    ENGRAM_TRY(record.status());
    if (!*record || (*record)->is_dual()) continue;  // deleted or converted meanwhile
    const engine::OldHead& old_head = *(*record)->old_head;
    ConvertedRange::Head head{key, {}};
    head.head.common = old_head.common;
    compat::ToDualHead(old_head.memory, engine::NodeUuid(space, (*record)->text.id),
                       (*record)->extension, &head.head.node);
    const Sha256Digest digest = engine::RecordDigest(head.head.node, (*record)->text);
    if (digest == old_head.common.digest) {
      heads->push_back(std::move(head));
      continue;
    }
    ENGRAM_TRY(AddPoison(view, key,
                         "its digest would change: expected " + ToHex(old_head.common.digest) +
                             ", actual " + ToHex(digest),
                         poison));
  }
  return Status::Ok();
}

}  // namespace engram::migration::online
