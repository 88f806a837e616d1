// ReadView over a RowReader.
#ifndef ENGRAM_ENGINE_INTERNAL_READ_VIEW_H_
#define ENGRAM_ENGINE_INTERNAL_READ_VIEW_H_

#include "engine/internal/row_reader.h"
#include "engine/internal/stored_heads.h"

namespace engram::engine {

// kCurrent: the old head is looked at only where no dual head passes its check.
enum class HeadChoice { kBoth, kCurrent };

class ReadViewImpl final : public ReadView {
 public:
  ReadViewImpl(ReadState state, const StagedRows* staged, StoreImpl* store)
      : reader_(std::move(state), staged), store_(store) {}

  Lsn lsn() const override { return reader_.state().visible; }
  Mode mode() const override;
  Result<std::optional<NodeKey>> FindId(std::string_view id) override;
  Result<std::optional<NodeKey>> FindUuid(const Uuid& uuid) override;
  Result<std::optional<StoredRecord>> Record(NodeKey key) override;
  Result<std::optional<StoredRecord>> CurrentRecord(NodeKey key) override;
  Result<std::optional<StoredRecord>> RecordToReplace(NodeKey key) override;
  Result<std::optional<HeadCommon>> Head(NodeKey key) override;
  Result<std::string> IdOf(NodeKey key) override;
  Result<NodeKey> ReadEmbedding(VectorKey key, Embedding* out) override;
  Result<std::vector<Neighbour>> OutEdges(NodeKey source) override;
  Result<std::vector<Neighbour>> InEdges(NodeKey target) override;
  Result<std::vector<Binding>> ConceptsOf(NodeKey episode) override;
  Result<std::vector<Binding>> EpisodesOf(NodeKey concept_node) override;
  Result<DigestState> Digests() override;
  Result<Counts> Count() override;
  Result<std::optional<RangeSum>> Range(uint64_t range) override;
  Result<std::optional<std::string>> Meta(std::string_view name) override;
  Result<std::optional<Lsn>> Tombstone(std::string_view id) override;
  Status ScanIds(
      std::optional<std::string_view> after,
      const std::function<Result<bool>(std::string_view id, NodeKey key)>& visit) override;
  Status ScanTable(Table table, Bytes first,
                   const std::function<Result<bool>(Bytes key, Bytes value)>& visit) override;

  const RowReader& reader() const { return reader_; }
  // Heads, extension and whether there is any; the text row is not read. Heads that fail their
  // check are noted and left out, all of them if need be.
  Result<bool> LoadHeads(NodeKey key, HeadChoice choice, StoredRecord* record);
  Result<HeadRows> ReadHeadRows(NodeKey key) const;

 private:
  Result<std::optional<StoredRecord>> RecordWith(NodeKey key, HeadChoice choice);
  // As LoadHeads, with the text row; kCorruption if no head or not the text passes its check.
  Result<bool> LoadRecord(NodeKey key, HeadChoice choice, StoredRecord* record);
  // The error of a record all of whose heads fail their check.
  Status NoReadableHead(NodeKey key) const;
  Result<std::optional<uint64_t>> GetU64(Table table, Bytes key);
  Result<std::vector<Neighbour>> Edges(Table table, NodeKey node);
  Result<std::vector<Binding>> Bindings(Table table, NodeKey node);
  struct Changes {
    std::vector<DigestChange> digests;
    CountDeltas counts;
  };
  Result<DigestRows> StoredDigests() const;
  Changes OverlayChanges() const;

  RowReader reader_;
  StoreImpl* store_;
};

// node | ordinal | other, all big-endian.
inline constexpr size_t kLinkKeySizeBytes = 24;
std::string EncodeLinkKey(NodeKey node, uint64_t ordinal, NodeKey other);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_READ_VIEW_H_
