#include "base/crypto.h"
#include "base/json_text.h"
#include "base/utf8.h"
#include "cli/console.h"
#include "cli/inspect/inspectors.h"
#include "compat/upstream_codec.h"
#include "migration/sources/log_scanner.h"
#include "migration/sources/source.h"

namespace engram::cli {
namespace {

using compat::UpstreamType;
using migration::LogScanner;
using migration::SourceFile;

const char* TypeText(uint32_t type) {
  static constexpr const char* kNames[] = {
      "", "episode", "memory", "delete", "consolidation", "checkpoint", "compaction"};
  return type >= 1 && type < std::size(kNames) ? kNames[type] : "unknown";
}

bool HoldsMemory(uint32_t type) {
  return type == static_cast<uint32_t>(UpstreamType::kEpisodeStore) ||
         type == static_cast<uint32_t>(UpstreamType::kMemoryUpdate);
}

// What the payload says about itself.
struct Content {
  std::string id;
  std::string layout;  // "" when it has none
  std::string error;   // why it does not decode
};

Content ContentOf(const LogScanner::Event& event) {
  Content content;
  const uint32_t type = event.header.type;
  if (type == static_cast<uint32_t>(UpstreamType::kMemoryDelete)) {
    content.id = AsView(event.payload());
    return content;
  }
  if (!HoldsMemory(type)) return content;
  compat::UpstreamRecord record;
  Status decoded = compat::DecodeUpstreamPayload(type, event.payload(), &record);
  content.id = record.memory.text.id;
  if (decoded.ok()) {
    content.layout = engine::LayoutName(record.memory.layout);
  } else {
    content.error = decoded.message();
    auto id = compat::PeekUpstreamId(type, event.payload());
    content.id = id.ok() ? std::string(*id) : "";
  }
  return content;
}

std::string RecordJson(const std::string& space, const SourceFile& file,
                       const LogScanner::Event& event, const Content& content) {
  std::string json;
  ObjectText object(&json);
  object.String("kind", "record");
  object.String("space", space);
  object.String("file", PathText(file.relative_path));
  object.Integer("offset", event.offset);
  object.Integer("length", event.length);
  object.Integer("sequence", event.header.sequence);
  object.Integer("timestamp_ns", event.header.timestamp_ns);
  object.Integer("type", event.header.type);
  object.String("type_name", TypeText(event.header.type));
  if (IsValidUtf8(content.id)) {
    object.String("id", content.id);
  } else {
    object.Null("id");
    object.String("id_hex", ToHex(AsBytes(content.id)));
  }
  content.layout.empty() ? object.Null("layout") : object.String("layout", content.layout);
  content.error.empty() ? object.Null("error") : object.String("error", content.error);
  object.Close();
  return json;
}

std::string DamageJson(const std::string& space, const SourceFile& file,
                       const LogScanner::Event& event) {
  std::string json;
  ObjectText object(&json);
  object.String("kind", "damage");
  object.String("space", space);
  object.String("file", PathText(file.relative_path));
  object.Integer("offset", event.offset);
  object.Integer("length", event.length);
  object.String("damage", migration::DamageKindName(event.kind));
  object.Close();
  return json;
}

Status ShowEvent(const std::string& space, const SourceFile& file, const LogScanner::Event& event,
                 const InspectSink& sink) {
  const std::string where =
      PathText(file.relative_path) + " @" + std::to_string(event.offset) + "  ";
  if (!event.is_record) {
    return sink.found(DamageJson(space, file, event),
                      where + "DAMAGE: " + std::string(migration::DamageKindName(event.kind)) +
                          ", " + WithThousands(event.length) + " bytes");
  }
  const Content content = ContentOf(event);
  std::string line = where + "seq " + std::to_string(event.header.sequence) + "  " +
                     TypeText(event.header.type) + "  " + content.layout + "  " +
                     Printable(content.id, 120);
  if (!content.error.empty()) line += "  NOT DECODABLE: " + content.error;
  return sink.found(RecordJson(space, file, event, content), line);
}

Status ShowFile(FileSystem& fs, const std::string& space, const SourceFile& file,
                const InspectSink& sink) {
  ENGRAM_ASSIGN_OR_RETURN(const auto opened, fs.Open(file.path, OpenMode::kReadOnly));
  LogScanner scanner(*opened, file.size_bytes, {});
  LogScanner::Event event;
  while (true) {
    ENGRAM_ASSIGN_OR_RETURN(const bool more, scanner.Next(&event));
    if (!more) return Status::Ok();
    ENGRAM_TRY(ShowEvent(space, file, event, sink));
  }
}

}  // namespace

Status InspectSourceAt(FileSystem& fs, const std::string& path, const InspectSink& sink) {
  ENGRAM_ASSIGN_OR_RETURN(const FileInfo info, fs.Stat(path));
  if (info.is_regular) {
    const SourceFile file = {path, path.substr(path.find_last_of('/') + 1), info.size_bytes};
    return ShowFile(fs, "", file, sink);
  }
  ENGRAM_ASSIGN_OR_RETURN(const auto source, migration::DiscoverSource(fs, path, std::nullopt));
  for (const auto& space : source.spaces) {
    for (const SourceFile& file : space.files) ENGRAM_TRY(ShowFile(fs, space.space, file, sink));
  }
  for (const std::string& skipped : source.skipped) {
    std::string json;
    ObjectText object(&json);
    object.String("kind", "skipped");
    object.String("reason", skipped);
    object.Close();
    ENGRAM_TRY(sink.found(json, "NOT READ: " + skipped));
  }
  return Status::Ok();
}

}  // namespace engram::cli
