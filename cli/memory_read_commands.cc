#include "cli/memory_commands.h"
#include "cli/record_stream.h"
#include "cli/remote_space.h"
#include "cli/signals.h"
#include "plugin/loader/memory_json.h"

namespace engram::cli {
namespace {

constexpr size_t kExcerptSizeBytes = 60;

using plugin::ToView;

MemoryStyle StyleOf(const MemoryReadFlags& flags) {
  return {.floats = flags.exact ? FloatStyle::kExact : FloatStyle::kDecimal,
          .dual_view = flags.view == "dual",
          .embeddings = flags.embeddings};
}

bool IsOpen(const engram_se_memory& m, uint64_t bit) { return (m.present & bit) != 0; }

std::string SummaryLine(const engram_se_memory& m) {
  std::string activation;
  AppendJsonFloat(m.activation, FloatStyle::kDecimal, &activation);
  const std::string content =
      IsOpen(m, ENGRAM_SE_HAS_CONTENT) ? Printable(ToView(m.content), kExcerptSizeBytes) : "-";
  return Printable(ToView(m.id), 200) + "  " + std::string(plugin::TierText(m.tier)) + "  " +
         activation + "  " + content;
}

plugin::ScanOptions ScanOf(const MemoryReadFlags& flags) {
  return {.after = flags.after, .limit = flags.limit.value_or(0), .embeddings = flags.embeddings};
}

Status Interrupted(uint64_t count) {
  return Status::Cancelled("interrupted after " + WithThousands(count) + " memories",
                           "go on with --after and the last id that was printed");
}

Status ScanInto(Session& session, plugin::Space& space, const MemoryReadFlags& flags,
                RecordStream* stream, uint64_t* count) {
  const bool one_object = !flags.jsonl && session.console().json();
  if (flags.limit && *flags.limit == 0) return Status::Ok();
  Status scanned = space.Scan(ScanOf(flags), [&](const engram_se_memory& memory) {
    if (CancelFlag().load()) return false;
    if (!flags.jsonl && !one_object) {
      session.console().Answer(SummaryLine(memory));
    } else {
      if (one_object && *count > 0) stream->Append(",");
      stream->AppendRecord(memory);
      if (flags.jsonl) stream->Append("\n");
    }
    ++*count;
    return stream->status().ok();
  });
  if (!scanned.ok() || !CancelFlag().load()) return scanned;
  return Interrupted(*count);
}

// Ends the one object of --json: what failed is said inside it.
std::string EndOfListObject(const Status& scanned, uint64_t count) {
  std::string out = "],\"count\":" + std::to_string(count);
  out += scanned.ok() ? ",\"ok\":true" : ",\"ok\":false";
  if (!scanned.ok()) {
    out += ",\"error\":";
    ObjectText error(&out);
    error.String("code", StatusCodeName(scanned.code()));
    error.String("message", scanned.message());
    error.String("hint", HintOf(scanned));
    error.Close();
  }
  return out + "}\n";
}

std::string JsonText(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

void SayMemory(Console& console, const engram_se_memory& m) {
  console.Answer("id          " + Printable(ToView(m.id), 400));
  if (IsOpen(m, ENGRAM_SE_HAS_CONTENT)) {
    console.Answer("content     " + Printable(ToView(m.content), 2000));
  }
  std::string numbers = "activation  ";
  AppendJsonFloat(m.activation, FloatStyle::kDecimal, &numbers);
  numbers += " (" + std::string(plugin::TierText(m.tier)) + ")\nconfidence  ";
  AppendJsonFloat(m.confidence_encoding, FloatStyle::kDecimal, &numbers);
  console.Answer(numbers);
  if (IsOpen(m, ENGRAM_SE_HAS_CREATED_AT)) {
    console.Answer("created     " + std::string(ToView(m.created_at)));
  }
  if (IsOpen(m, ENGRAM_SE_HAS_WHEN)) console.Answer("when        " + std::string(ToView(m.when)));
  console.Answer(std::string("type        ") +
                 (m.node_type == ENGRAM_SE_NODE_CONCEPT ? "concept" : "episode") + ", stored as " +
                 (m.format == ENGRAM_SE_FORMAT_DUAL ? "dual" : "old") + " record, lsn " +
                 std::to_string(m.lsn));
}

std::string TextOf(const JsonTree& tree, const char* key) {
  const auto found = tree.find(key);
  if (found == tree.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// As SummaryLine(), of a record that came as JSON.
std::string RemoteSummaryLine(const std::string& line) {
  const JsonTree tree = JsonTree::parse(line, nullptr, /*allow_exceptions=*/false);
  return Printable(TextOf(tree, "id"), 200) + "  " + TextOf(tree, "tier") + "  " +
         TextOf(tree, "activation") + "  " + Printable(TextOf(tree, "content"), kExcerptSizeBytes);
}

int FinishList(Session& session, const MemoryReadFlags& flags, const Status& scanned,
               uint64_t count, RecordStream* stream) {
  Console& console = session.console();
  const bool one_object = console.json() && !flags.jsonl;
  if (one_object) stream->Append(EndOfListObject(scanned, count));
  stream->Flush();
  if (!stream->status().ok()) return console.Fail(stream->status());
  if (!scanned.ok()) return one_object ? kExitFailed : console.Fail(scanned);
  if (!flags.jsonl) console.Say(WithThousands(count) + (count == 1 ? " memory" : " memories"));
  return kExitDone;
}

// Nobody named a space, and what was looked for may lie in the one that the server's clients use.
Status NamingTheDefault(const Session& session, RemoteSpace& space, const Status& error) {
  if (error.code() != StatusCode::kNotFound || session.space_given()) return error;
  const auto name = space.DefaultOfServer();
  if (!name.ok() || name->empty() || *name == session.space()) return error;
  return error.WithHint("this command looked in the space " + session.space() +
                        "; the server's own default space is another: --space=" + *name);
}

int RemoteList(Session& session, RemoteSpace&& space, const MemoryReadFlags& flags) {
  const bool one_object = session.console().json() && !flags.jsonl;
  RecordStream stream(session.console(), StyleOf(flags));
  if (one_object) stream.Append("{\"space\":" + JsonText(session.space()) + ",\"memories\":[");
  uint64_t count = 0;
  Status listed = space.List(flags, [&](const std::string& line) {
    if (CancelFlag().load()) return false;
    if (flags.jsonl || one_object) {
      stream.Append(one_object && count > 0 ? "," : "");
      stream.Append(line);
      stream.Append(one_object ? "" : "\n");
      // The stream keeps its text until it is told.
      if (count % 256 == 255) stream.Flush();
    } else {
      session.console().Answer(RemoteSummaryLine(line));
    }
    ++count;
    return stream.status().ok();
  });
  if (listed.ok() && CancelFlag().load()) listed = Interrupted(count);
  listed = NamingTheDefault(session, space, listed);
  return FinishList(session, flags, listed, count, &stream);
}

int RemoteGet(Session& session, RemoteSpace&& space, const std::string& id,
              const MemoryReadFlags& flags) {
  Console& console = session.console();
  auto line = space.Get(id, flags);
  if (!line.ok()) return console.Fail(NamingTheDefault(session, space, line.status()));
  if (!console.json() && !flags.jsonl) {
    console.Answer(RemoteSummaryLine(*line));
    return kExitDone;
  }
  Status written = console.Write(*line + "\n");
  return written.ok() ? kExitDone : console.Fail(written);
}

}  // namespace

int MemoryList(Session& session, const MemoryReadFlags& flags) {
  Console& console = session.console();
  auto space = session.OpenSpace(ENGRAM_SE_ACCESS_READ_ONLY);
  if (auto server = ServerBeside(session, space.status())) {
    return RemoteList(session, RemoteSpace(std::move(server), session.space()), flags);
  }
  if (!space.ok()) return console.Fail(space.status());
  RecordStream stream(console, StyleOf(flags));
  if (console.json() && !flags.jsonl) {
    stream.Append("{\"space\":" + JsonText(session.space()) + ",\"memories\":[");
  }
  uint64_t count = 0;
  const Status scanned = ScanInto(session, **space, flags, &stream, &count);
  return FinishList(session, flags, scanned, count, &stream);
}

int MemoryGet(Session& session, const std::string& id, const MemoryReadFlags& flags) {
  Console& console = session.console();
  auto space = session.OpenSpace(ENGRAM_SE_ACCESS_READ_ONLY);
  if (auto server = ServerBeside(session, space.status())) {
    return RemoteGet(session, RemoteSpace(std::move(server), session.space()), id, flags);
  }
  if (!space.ok()) return console.Fail(space.status());
  std::string text;
  Status found = (*space)->Retrieve(id, flags.embeddings, [&](const engram_se_memory& memory) {
    if (console.json() || flags.jsonl) {
      plugin::AppendMemoryJson(memory, StyleOf(flags), &text);
    } else {
      SayMemory(console, memory);
    }
    return true;
  });
  space->reset();
  if (auto server = ServerBeside(session, found)) {
    return RemoteGet(session, RemoteSpace(std::move(server), session.space()), id, flags);
  }
  if (!found.ok()) return console.Fail(found);
  if (text.empty()) return kExitDone;
  Status written = console.Write(text + "\n");
  return written.ok() ? kExitDone : console.Fail(written);
}

}  // namespace engram::cli
