#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "base/json_text.h"
#include "cli/line_pipeline.h"
#include "cli/memory_commands.h"
#include "cli/remote_space.h"
#include "cli/signals.h"
#include "plugin/loader/memory_input.h"

namespace engram::cli {
namespace {

using plugin::MemoryInput;
using plugin::MemoryInputView;

struct PutItem {
  MemoryInput input;
  uint64_t line = 0;
  uint64_t size_bytes = 0;
};
// A line that the server will read again: it is checked here, so that the error names its number.
struct RemotePutItem {
  std::string text;
  uint64_t line = 0;
  uint64_t size_bytes = 0;
};
struct DeleteItem {
  std::string id;
  uint64_t line = 0;
  uint64_t size_bytes = 0;
};

// An input file, or stdin for "-".
class Input {
 public:
  static Result<Input> Open(const std::string& name) {
    if (name == "-") return Input(STDIN_FILENO);
    const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return Status::FromErrno(errno, "open " + name);
    return Input(fd);
  }
  Input(Input&& other) noexcept : fd_(std::exchange(other.fd_, STDIN_FILENO)) {}
  Input& operator=(Input&&) = delete;
  ~Input() {
    if (fd_ != STDIN_FILENO) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  explicit Input(int fd) : fd_(fd) {}
  int fd_;
};

std::string Now() {
  Clock& clock = Clock::System();
  const int64_t seconds = clock.WallSeconds();
  return FormatTime(seconds, clock.WallNanos());
}

Status AtLine(const Status& status, uint64_t line) {
  return status.WithContext("line " + std::to_string(line));
}

// What is printed for each durable write, in the order of the input.
class Acknowledger {
 public:
  // `verb` names the counter in the --json object: "stored", "deleted".
  Acknowledger(Console& console, std::string verb) : console_(console), verb_(std::move(verb)) {}

  // LSN 0: there was nothing to write.
  Status Acknowledge(std::string_view id, uint64_t lsn) {
    ++(lsn == 0 ? unknown_ : done_);
    std::string line;
    ObjectText object(&line);
    object.String("id", id);
    lsn == 0 ? object.Null("lsn") : object.Integer("lsn", lsn);
    object.Close();
    if (!console_.json()) return console_.Write(line + "\n");
    acknowledged_ += (acknowledged_.empty() ? "" : ",") + line;
    return Status::Ok();
  }

  int Finish(const Status& status) {
    if (!status.ok()) return console_.Fail(status, Members());
    const bool ok = unknown_ == 0;
    if (console_.json()) {
      std::string members = Members();
      members.pop_back();
      Status written = console_.Write(std::string("{\"ok\":") + (ok ? "true," : "false,") +
                                      (ok ? "" : UnknownError()) + members + "}\n");
      if (!written.ok()) return console_.Fail(written);
      return ok ? kExitDone : kExitFailed;
    }
    console_.Say(WithThousands(done_) + " " + verb_);
    if (ok) return kExitDone;
    return console_.Fail(Status::NotFound("ids that have no memory: " + WithThousands(unknown_),
                                          "they are the ones acknowledged with lsn null"));
  }

 private:
  // Each member ends in a comma.
  std::string Members() const {
    return "\"" + verb_ + "\":" + std::to_string(done_) +
           ",\"unknown\":" + std::to_string(unknown_) + ",\"acknowledged\":[" + acknowledged_ +
           "],";
  }
  std::string UnknownError() const {
    return "\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"ids that have no memory: " +
           std::to_string(unknown_) + "\",\"hint\":\"`acknowledged` shows them with lsn null\"},";
  }

  Console& console_;
  const std::string verb_;
  uint64_t done_ = 0;
  uint64_t unknown_ = 0;
  std::string acknowledged_;  // --json only
};

Status Interrupted() {
  if (!CancelFlag().load()) return Status::Ok();
  return Status::Cancelled("interrupted: everything acknowledged is stored",
                           "run the command again with the lines that have no acknowledgement");
}

Status StoreBatch(plugin::Space& space, Acknowledger* acknowledger, std::vector<PutItem>* batch) {
  std::vector<MemoryInputView> views;
  views.reserve(batch->size());
  std::vector<const engram_se_memory*> memories;
  for (const PutItem& item : *batch) memories.push_back(&views.emplace_back(item.input).memory());
  std::vector<uint64_t> lsns;
  Status stored = space.StoreBatch(memories, &lsns);
  for (size_t i = 0; i < lsns.size(); ++i) {
    ENGRAM_TRY(acknowledger->Acknowledge((*batch)[i].input.id, lsns[i]));
  }
  if (stored.ok() || lsns.size() >= batch->size()) return stored;
  return AtLine(stored, (*batch)[lsns.size()].line);
}

Status RemoveBatch(plugin::Space& space, Acknowledger* acknowledger,
                   std::vector<DeleteItem>* batch) {
  std::vector<std::string> ids;
  for (const DeleteItem& item : *batch) ids.push_back(item.id);
  std::vector<uint64_t> lsns;
  Status removed = space.RemoveBatch(ids, &lsns);
  for (size_t i = 0; i < lsns.size(); ++i) {
    ENGRAM_TRY(acknowledger->Acknowledge(ids[i], lsns[i]));
  }
  if (removed.ok() || lsns.size() >= batch->size()) return removed;
  return AtLine(removed, (*batch)[lsns.size()].line);
}

// Runs the pipeline, closes the space, reports.
template <typename Item>
int RunLines(const Input& input, plugin::Space& space, Acknowledger* acknowledger,
             const typename LinePipeline<Item>::Parse& parse,
             Status (*commit)(plugin::Space&, Acknowledger*, std::vector<Item>*)) {
  LinePipeline<Item> pipeline;
  Status status =
      pipeline.Run(input.fd(), CancelDescriptor(), parse,
                   [&](std::vector<Item>* batch) { return commit(space, acknowledger, batch); });
  if (status.ok()) status = Interrupted();
  Status closed = space.Close();
  return acknowledger->Finish(status.ok() ? closed : status);
}

// What the server acknowledged, then its error, which names the first line behind them.
template <typename Item>
Status AcknowledgeAll(const std::vector<RemoteSpace::Acknowledgement>& acknowledged,
                      const Status& status, const std::vector<Item>& batch,
                      Acknowledger* acknowledger) {
  for (const auto& [id, lsn] : acknowledged) ENGRAM_TRY(acknowledger->Acknowledge(id, lsn));
  if (status.ok() || acknowledged.size() >= batch.size()) return status;
  return AtLine(status, batch[acknowledged.size()].line);
}

template <typename Item, typename Commit>
int RunRemoteLines(const Input& input, Acknowledger* acknowledger,
                   const typename LinePipeline<Item>::Parse& parse, const Commit& commit) {
  LinePipeline<Item> pipeline;
  const Status status = pipeline.Run(input.fd(), CancelDescriptor(), parse, commit);
  return acknowledger->Finish(status.ok() ? Interrupted() : status);
}

int RemotePut(RemoteSpace&& space, const Input& input, Acknowledger* acknowledger) {
  auto parse = [](uint64_t number, std::string_view line) -> Result<RemotePutItem> {
    const Result<MemoryInput> memory = plugin::ParseMemoryLine(line, Now());
    if (!memory.ok()) return AtLine(memory.status(), number);
    return RemotePutItem{std::string(line), number, line.size()};
  };
  return RunRemoteLines<RemotePutItem>(
      input, acknowledger, parse, [&](std::vector<RemotePutItem>* batch) {
        std::vector<std::string> lines;
        for (RemotePutItem& item : *batch) lines.push_back(std::move(item.text));
        std::vector<RemoteSpace::Acknowledgement> acknowledged;
        const Status stored = space.Put(lines, &acknowledged);
        return AcknowledgeAll(acknowledged, stored, *batch, acknowledger);
      });
}

Result<DeleteItem> ParseDelete(uint64_t number, std::string_view line) {
  Result<std::string> id = plugin::ParseIdLine(line);
  if (!id.ok()) return AtLine(id.status(), number);
  return DeleteItem{std::move(id).value(), number, line.size()};
}

Status RemoteRemoveBatch(RemoteSpace& space, const std::vector<DeleteItem>& batch,
                         Acknowledger* acknowledger) {
  std::vector<std::string> ids;
  for (const DeleteItem& item : batch) ids.push_back(item.id);
  std::vector<RemoteSpace::Acknowledgement> acknowledged;
  const Status removed = space.Remove(ids, &acknowledged);
  return AcknowledgeAll(acknowledged, removed, batch, acknowledger);
}

std::vector<DeleteItem> Batch(const std::vector<std::string>& ids) {
  std::vector<DeleteItem> batch;
  for (const std::string& id : ids) batch.push_back({id, batch.size() + 1, id.size()});
  return batch;
}

int RemoteDelete(RemoteSpace&& space, const MemoryWriteFlags& flags, const Input& input,
                 Acknowledger* acknowledger) {
  if (flags.jsonl.empty()) {
    return acknowledger->Finish(RemoteRemoveBatch(space, Batch(flags.ids), acknowledger));
  }
  return RunRemoteLines<DeleteItem>(input, acknowledger, ParseDelete,
                                    [&](std::vector<DeleteItem>* batch) {
                                      return RemoteRemoveBatch(space, *batch, acknowledger);
                                    });
}

}  // namespace

int MemoryPut(Session& session, const MemoryWriteFlags& flags) {
  Console& console = session.console();
  Result<Input> input = Input::Open(flags.jsonl);
  if (!input.ok()) return console.Fail(input.status());
  Acknowledger acknowledger(console, "stored");
  auto space = session.OpenSpace(ENGRAM_SE_ACCESS_CREATE);
  if (auto server = ServerBeside(session, space.status())) {
    return RemotePut(RemoteSpace(std::move(server), session.space()), *input, &acknowledger);
  }
  if (!space.ok()) return console.Fail(space.status());
  auto parse = [](uint64_t number, std::string_view line) -> Result<PutItem> {
    Result<MemoryInput> memory = plugin::ParseMemoryLine(line, Now());
    if (!memory.ok()) return AtLine(memory.status(), number);
    return PutItem{std::move(memory).value(), number, line.size()};
  };
  return RunLines<PutItem>(*input, **space, &acknowledger, parse, StoreBatch);
}

int MemoryDelete(Session& session, const MemoryWriteFlags& flags) {
  Console& console = session.console();
  const bool from_lines = !flags.jsonl.empty();
  if (from_lines == !flags.ids.empty()) {
    return console.FailUsage(Status::InvalidArgument(
        "memory delete takes ids or --jsonl, one of the two",
        "for example: engram memory delete ID, or engram memory delete --jsonl ids.jsonl"));
  }
  Result<Input> input = Input::Open(from_lines ? flags.jsonl : "-");
  if (!input.ok()) return console.Fail(input.status());
  Acknowledger acknowledger(console, "deleted");
  // The server first, also for a space that it has not opened: only it knows what may still come
  // in.
  if (auto server = RunningServer(session)) {
    return RemoteDelete(RemoteSpace(std::move(server), session.space()), flags, *input,
                        &acknowledger);
  }
  auto space = session.OpenSpace(ENGRAM_SE_ACCESS_READ_WRITE);
  if (!space.ok()) return console.Fail(space.status());
  if (!from_lines) {
    std::vector<DeleteItem> batch = Batch(flags.ids);
    Status removed = RemoveBatch(**space, &acknowledger, &batch);
    Status closed = (*space)->Close();
    return acknowledger.Finish(removed.ok() ? closed : removed);
  }
  return RunLines<DeleteItem>(*input, **space, &acknowledger, ParseDelete, RemoveBatch);
}

}  // namespace engram::cli
