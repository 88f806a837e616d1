// The record pass of salvage: heads, text, extension and embedding of every node key, then the
// tables of ids and uuids and the embeddings that no record names.
#ifndef ENGRAM_MIGRATION_INTERNAL_SALVAGE_RECORDS_H_
#define ENGRAM_MIGRATION_INTERNAL_SALVAGE_RECORDS_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "migration/internal/salvage_rows.h"

namespace engram::migration::internal {

class SalvageRecords {
 public:
  SalvageRecords(engine::ReadView& view, const SalvageScope& scope, SalvageRows* rows);
  Status Run();
  // The id of a key as it will be: of a record, or of the end of an edge; none if it is unknown.
  Result<std::optional<std::string>> IdOf(NodeKey key);
  Uuid UuidOf(std::string_view id) const { return engine::NodeUuid(space_, id); }

 private:
  using Row = std::optional<std::string>;
  struct Item {
    uint64_t key = 0;
    Row dual_head;
    Row old_head;
    Row text;
    Row extension;
  };
  // A record that is being looked at.
  struct Subject {
    Item* item = nullptr;
    std::string row_key;
    engine::HeadCommon head;  // of the current head
    engine::DualNode node;    // its content, text included
    bool text_is_good = false;
    bool is_superseded = false;
    std::string mixed;  // why it is, if it is
  };

  Status CollectRange(uint64_t first);
  Status Collect(engine::Table table, uint64_t first, Row Item::*row);
  Status CheckItem(Item& item);
  Status CheckHeadless(Item& item);
  // Each returns "" or why the record cannot be served.
  std::string ReadHeads(Subject* subject);
  std::string ReadText(Subject* subject);
  std::string ReadExtension(Subject* subject);
  Result<std::string> ReadEmbedding(Subject* subject);
  Result<std::string> CheckOwner(Subject* subject);
  std::string CheckDigest(Subject* subject);
  Result<std::string> WhatIsWrong(Subject* subject);
  void Keep(Subject& subject);
  void RewriteHeads(const Subject& subject, bool* changed);
  void Quarantine(const Subject& subject, const std::string& reason);
  void PutOnlyId(uint64_t key, std::string_view id);
  Status EnsureNames(uint64_t key, const std::string& id);
  Status EnsureName(engine::Table table, Bytes name, uint64_t key, const std::string& id);
  Status FindOwners();
  Status CheckIdTable();
  Status CheckUuidTable();
  Status CheckEmbeddingTable();

  engine::ReadView& view_;
  const SpaceId space_;
  const bool writes_lost_;
  SalvageRows& rows_;
  std::vector<Item> items_;                        // one per key of the range
  std::vector<uint64_t> vector_keys_;              // that records keep
  std::map<uint64_t, std::string> ids_;            // of keys whose text row is made anew
  std::map<uint64_t, std::string> nameless_;       // keys without a readable text row, and why
  std::set<uint64_t> superseded_;                  // their id belongs to another key
  std::map<uint64_t, uint64_t> newest_vector_of_;  // by owner; filled if writes are lost
  engine::Embedding embedding_{};
};

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_SALVAGE_RECORDS_H_
