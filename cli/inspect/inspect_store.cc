#include <array>

#include "base/json_text.h"
#include "cli/console.h"
#include "cli/inspect/inspectors.h"
#include "engine/store.h"

namespace engram::cli {
namespace {

using engine::HeadCommon;
using engine::NodeType;
using engine::ReadView;
using engine::Store;
using engine::StoredRecord;
using engine::Table;

constexpr std::array<std::pair<Table, const char*>, engine::kTableCount> kTables = {{
    {Table::kMeta, "meta"},
    {Table::kHeads, "heads"},
    {Table::kOldHeads, "old_heads"},
    {Table::kContent, "content"},
    {Table::kExtensions, "extensions"},
    {Table::kEmbeddings, "embeddings"},
    {Table::kIds, "ids"},
    {Table::kUuids, "uuids"},
    {Table::kEdgesOut, "edges_out"},
    {Table::kEdgesIn, "edges_in"},
    {Table::kBindingsOut, "bindings_out"},
    {Table::kBindingsIn, "bindings_in"},
    {Table::kDigests, "digests"},
    {Table::kTombstones, "tombstones"},
    {Table::kQuarantine, "quarantine"},
}};

void AppendHead(std::string_view key, const HeadCommon* head, ObjectText* object) {
  if (head == nullptr) return object->Null(key);
  ObjectText inner(object->Key(key));
  inner.Integer("seq", head->seq.value);
  inner.Integer("vector_key", head->vector_key.value);
  inner.String("digest", ToHex(head->digest));
  inner.String("tier", engine::TierName(head->tier));
  inner.Integer("origin", head->origin);
  inner.Close();
}

std::string RecordJson(const StoredRecord& record) {
  std::string json;
  ObjectText object(&json);
  object.String("kind", "record");
  object.Integer("key", record.key.value);
  object.String("id", record.text.id);
  AppendHead("old_head", record.old_head ? &record.old_head->common : nullptr, &object);
  AppendHead("dual_head", record.dual_head ? &record.dual_head->common : nullptr, &object);
  object.String("format", record.is_dual() ? "dual" : "old");
  object.Bool("extension", record.has_extension);
  object.String("type", record.extension.type == NodeType::kConcept ? "concept" : "episode");
  object.Close();
  return json;
}

std::string RecordLine(const StoredRecord& record) {
  return "key " + std::to_string(record.key.value) + "  seq " +
         std::to_string(record.current().seq.value) + "  " + (record.is_dual() ? "dual" : "old") +
         (record.old_head && record.dual_head ? " (both heads)" : "") + "  " +
         Printable(record.text.id, 120);
}

Status InspectHeader(Store& store, const InspectSink& sink) {
  const engine::StoreInfo info = store.Info();
  const engine::RecoveryReport& recovery = store.recovery();
  std::string json;
  ObjectText object(&json);
  object.String("kind", "store");
  object.String("uuid", info.store_uuid.ToString());
  object.Integer("generation", info.generation);
  object.String("mode", engine::ModeName(store.mode()));
  object.Integer("bytes", info.bytes);
  object.Integer("applied_lsn", info.applied.value);
  object.Integer("durable_lsn", info.durable.value);
  object.Bool("torn_tail", recovery.torn_tail);
  recovery.torn_tail ? object.String("torn_detail", recovery.torn_detail)
                     : object.Null("torn_detail");
  object.Close();
  return sink.found(json, "store " + info.store_uuid.ToString() + "  generation " +
                              std::to_string(info.generation) + "  mode " +
                              std::string(engine::ModeName(store.mode())) + "  applied lsn " +
                              std::to_string(info.applied.value));
}

Status InspectTable(ReadView& view, Table table, const char* name, const InspectSink& sink) {
  uint64_t rows = 0, bytes = 0;
  ENGRAM_TRY(view.ScanTable(table, {}, [&](Bytes key, Bytes value) -> Result<bool> {
    ++rows;
    bytes += key.size() + value.size();
    return true;
  }));
  std::string json;
  ObjectText object(&json);
  object.String("kind", "table");
  object.String("table", name);
  object.Integer("rows", rows);
  object.Integer("bytes", bytes);
  object.Close();
  return sink.found(json, std::string("table ") + name + "  " + WithThousands(rows) + " rows  " +
                              WithThousands(bytes) + " bytes");
}

Status InspectTables(ReadView& view, const InspectSink& sink) {
  for (const auto& [table, name] : kTables) ENGRAM_TRY(InspectTable(view, table, name, sink));
  return Status::Ok();
}

// A record that cannot be read is shown with its error; the others follow.
Status InspectRecord(ReadView& view, std::string_view id, NodeKey key, const InspectSink& sink) {
  auto record = view.Record(key);
  if (record.ok() && record->has_value()) {
    return sink.found(RecordJson(**record), RecordLine(**record));
  }
  const bool bare = record.ok();
  std::string json;
  ObjectText object(&json);
  object.String("kind", bare ? "key" : "corrupt");
  object.Integer("key", key.value);
  object.String("id", id);
  if (!bare) object.String("error", record.status().message());
  object.Close();
  return sink.found(json, "key " + std::to_string(key.value) + "  " +
                              (bare ? "no record" : "CORRUPT: " + record.status().message()) +
                              "  " + Printable(id, 120));
}

Status InspectRecords(ReadView& view, const InspectSink& sink) {
  return view.ScanIds(std::nullopt, [&](std::string_view id, NodeKey key) -> Result<bool> {
    Status shown = InspectRecord(view, id, key, sink);
    if (!shown.ok()) return shown;
    return true;
  });
}

}  // namespace

Status InspectStoreAt(FileSystem& fs, const std::string& path, const InspectSink& sink) {
  constexpr const char* kHint = "give the folder of a space, for example ./engram-data/default";
  const auto info = fs.Stat(path);
  if (info.status().code() == StatusCode::kNotFound) {
    return Status::NotFound(path + " does not exist", kHint);
  }
  ENGRAM_TRY(info.status());
  if (!info->is_directory) {
    return Status::InvalidArgument(path + " is a file, a store is a folder", kHint);
  }
  const std::string below = JoinPath(path, "dual");
  const std::string directory = Exists(fs, below) ? below : path;
  if (!Exists(fs, JoinPath(directory, "STORE"))) {
    return Status::NotFound(path + " holds no store: there is no STORE file in " + directory,
                            kHint);
  }
  const std::string parent = ParentPath(directory);
  engine::StoreOptions options;
  options.directory = directory;
  options.space = parent.substr(parent.find_last_of('/') + 1);
  options.access = engine::Access::kReadOnly;
  ENGRAM_ASSIGN_OR_RETURN(auto store, Store::Open(engine::Environment{.fs = fs}, options));
  ENGRAM_TRY(InspectHeader(*store, sink));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store->Snapshot());
  ENGRAM_TRY(InspectRecords(*view, sink));
  return InspectTables(*view, sink);
}

}  // namespace engram::cli
