// The rows that keep records back from a conversion, as they are and under a right checksum: what
// is accepted is the tail of the row, and no byte of it is lost.
#include <cstdlib>

#include "base/crc32c.h"
#include "engine/rows.h"
#include "migration/quarantine.h"

namespace {

using namespace engram;
using namespace engram::engine;

constexpr uint64_t kNode = 42;

// A view that has one row of the quarantine table and nothing else.
class OneRowView : public ReadView {
 public:
  OneRowView(std::string key, std::string value) : key_(std::move(key)), value_(std::move(value)) {}
  Status ScanTable(Table, Bytes, const std::function<Result<bool>(Bytes, Bytes)>& visit) override {
    return visit(AsBytes(key_), AsBytes(value_)).status();
  }

  Lsn lsn() const override { return {}; }
  Mode mode() const override { return Mode::kDual; }
  Result<std::optional<NodeKey>> FindId(std::string_view) override { return Nothing(); }
  Result<std::optional<NodeKey>> FindUuid(const Uuid&) override { return Nothing(); }
  Result<std::optional<StoredRecord>> Record(NodeKey) override { return Nothing(); }
  Result<std::string> IdOf(NodeKey) override { return Nothing(); }
  Result<NodeKey> ReadEmbedding(VectorKey, Embedding*) override { return Nothing(); }
  Result<std::vector<Neighbour>> OutEdges(NodeKey) override { return Nothing(); }
  Result<std::vector<Neighbour>> InEdges(NodeKey) override { return Nothing(); }
  Result<std::vector<Binding>> ConceptsOf(NodeKey) override { return Nothing(); }
  Result<std::vector<Binding>> EpisodesOf(NodeKey) override { return Nothing(); }
  Result<DigestState> Digests() override { return Nothing(); }
  Result<Counts> Count() override { return Nothing(); }
  Result<std::optional<RangeSum>> Range(uint64_t) override { return Nothing(); }
  Result<std::optional<std::string>> Meta(std::string_view) override { return Nothing(); }
  Result<std::optional<Lsn>> Tombstone(std::string_view) override { return Nothing(); }
  Status ScanIds(std::optional<std::string_view>,
                 const std::function<Result<bool>(std::string_view, NodeKey)>&) override {
    return Nothing();
  }

 private:
  static Status Nothing() { return Status::NotFound("there is only the quarantine"); }
  const std::string key_;
  const std::string value_;
};

void Check(const std::string& key, const std::string& value) {
  OneRowView view(key, value);
  const auto records = migration::QuarantinedRecords(view);
  if (!records.ok() || records->empty()) return;
  const auto& [node, record] = *records->begin();
  if (records->size() != 1 || node != kNode) std::abort();
  // u32 size of the reason, the reason, the record, u32 checksum.
  const std::string body = value.substr(0, value.size() - 4);
  const uint64_t reason_size = LoadLe<uint32_t>(AsBytes(body).data());
  if (body.size() != 4 + reason_size + record.size() || !body.ends_with(record)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const std::string key = "convert|" + EncodeU64Key(kNode);
  Check(key, std::string(AsView(input)));
  std::string sealed(AsView(input));
  PutLe(&sealed, Crc32cExtend(Crc32c(AsBytes(key)), input));
  Check(key, sealed);
  Check("convert|" + sealed, sealed);  // a key of another size
  return 0;
}
