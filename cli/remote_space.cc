#include "cli/remote_space.h"

#include <algorithm>

#include "base/json_text.h"

namespace engram::cli {
namespace {

constexpr uint32_t kPageDeadlineMs = 30'000;
constexpr uint32_t kVerifyDeadlineMs = 3'600'000;
constexpr uint64_t kPageRecords = 1000;
constexpr uint64_t kPageRecordsWithEmbeddings = 200;
constexpr size_t kBodySizeBytes = 1 << 20;  // half of what a server takes by default

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end != 0) lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

Result<std::string> IdOf(const std::string& line) {
  const JsonTree tree = JsonTree::parse(line, nullptr, /*allow_exceptions=*/false);
  if (tree.is_object() && tree.contains("id") && tree["id"].is_string()) {
    return tree["id"].get<std::string>();
  }
  return Status::Io("a line of the server's reply has no id",
                    "check that the server and this program are of one version");
}

Status ErrorOfLine(const JsonTree& error) {
  const std::string name = error.value("code", "");
  for (int32_t code = 1; code <= static_cast<int32_t>(StatusCode::kCancelled); ++code) {
    if (StatusCodeName(static_cast<StatusCode>(code)) != name) continue;
    return Status(static_cast<StatusCode>(code), error.value("message", ""),
                  error.value("hint", ""));
  }
  return Status::Io(error.value("message", ""), error.value("hint", ""));
}

Status TakeAcknowledgements(const std::string& text,
                            std::vector<RemoteSpace::Acknowledgement>* acknowledged) {
  for (const std::string& line : SplitLines(text)) {
    const JsonTree tree = JsonTree::parse(line, nullptr, /*allow_exceptions=*/false);
    if (tree.is_object() && tree.contains("error")) return ErrorOfLine(tree["error"]);
    ENGRAM_ASSIGN_OR_RETURN(std::string id, IdOf(line));
    const JsonTree& lsn = tree["lsn"];
    acknowledged->push_back(
        {std::move(id), lsn.is_number_unsigned() ? lsn.get<uint64_t>() : uint64_t{0}});
  }
  return Status::Ok();
}

}  // namespace

std::unique_ptr<ServerLink> RunningServer(Session& session) {
  auto link = ServerLink::OpenFor(session);
  if (!link.ok() || !(*link)->running()) return nullptr;
  return std::move(*link);
}

std::unique_ptr<ServerLink> ServerBeside(Session& session, const Status& error) {
  const bool knows = error.code() == StatusCode::kBusy || error.code() == StatusCode::kNotFound;
  return knows ? RunningServer(session) : nullptr;
}

Status NamingTheServer(Session& session, const Status& error) {
  if (error.code() != StatusCode::kBusy) return error;
  const auto link = ServerBeside(session, error);
  if (link == nullptr) return error;
  return error
      .WithContext("the running server, process " + std::to_string(link->process()->pid()) +
                   ", has it open")
      .WithHint(
          "this command works offline: `engram stop` first. A running server is controlled "
          "with `engram config set features.dual_memory_types` and `engram migrate-dual "
          "--mode online|pause|resume|throttle`");
}

std::string RemoteSpace::Target(const std::string& path, const MemoryReadFlags* flags) const {
  std::string target = "/api/v1/admin/" + path + "?space=" + PercentEncoded(space_);
  if (flags == nullptr) return target;
  target += "&view=" + flags->view;
  if (flags->exact) target += "&exact=1";
  if (flags->embeddings) target += "&embeddings=1";
  return target;
}

Result<std::string> RemoteSpace::Text(const std::string& method, const std::string& target,
                                      const std::string& body, uint32_t deadline_ms) {
  ENGRAM_ASSIGN_OR_RETURN(HttpReply reply, link_->Send(method, target, body, deadline_ms));
  if (reply.status != 200) return ReplyError(reply);
  return std::move(reply.body);
}

Status RemoteSpace::List(const MemoryReadFlags& flags,
                         const std::function<bool(const std::string&)>& visit) {
  const uint64_t page_max = flags.embeddings ? kPageRecordsWithEmbeddings : kPageRecords;
  const std::string target = Target("memories", &flags);
  uint64_t left = flags.limit.value_or(UINT64_MAX);
  std::optional<std::string> after = flags.after;
  while (left > 0) {
    const uint64_t page = std::min(left, page_max);
    std::string page_target = target + "&limit=" + std::to_string(page);
    if (after) page_target += "&after=" + PercentEncoded(*after);
    ENGRAM_ASSIGN_OR_RETURN(const std::string text, Text("GET", page_target, "", kPageDeadlineMs));
    const std::vector<std::string> lines = SplitLines(text);
    for (const std::string& line : lines) {
      if (!visit(line)) return Status::Ok();
    }
    if (lines.size() < page) return Status::Ok();
    left -= lines.size();
    ENGRAM_ASSIGN_OR_RETURN(after, IdOf(lines.back()));
  }
  return Status::Ok();
}

Result<std::string> RemoteSpace::Get(const std::string& id, const MemoryReadFlags& flags) {
  return Text("GET", Target("memories/" + PercentEncoded(id), &flags), "", kPageDeadlineMs);
}

Status RemoteSpace::Write(const std::string& path, const std::vector<std::string>& lines,
                          std::vector<Acknowledgement>* acknowledged) {
  for (size_t at = 0; at < lines.size();) {
    std::string body;
    do {
      body += lines[at++] + "\n";
    } while (at < lines.size() && body.size() + lines[at].size() < kBodySizeBytes);
    ENGRAM_ASSIGN_OR_RETURN(const std::string text,
                            Text("POST", Target(path, nullptr), body, kPageDeadlineMs));
    ENGRAM_TRY(TakeAcknowledgements(text, acknowledged));
  }
  return Status::Ok();
}

Status RemoteSpace::Put(const std::vector<std::string>& lines,
                        std::vector<Acknowledgement>* acknowledged) {
  return Write("memories", lines, acknowledged);
}

Status RemoteSpace::Remove(const std::vector<std::string>& ids,
                           std::vector<Acknowledgement>* acknowledged) {
  std::vector<std::string> lines;
  for (const std::string& id : ids) AppendJsonString(id, &lines.emplace_back());
  return Write("memories/delete", lines, acknowledged);
}

Result<std::string> RemoteSpace::DefaultOfServer() {
  ENGRAM_ASSIGN_OR_RETURN(const JsonTree setting, link_->Setting("memory_spaces.default_space"));
  return setting.value("value", "");
}

Result<std::string> RemoteSpace::Stats() {
  return Text("GET", Target("space", nullptr), "", kPageDeadlineMs);
}

Result<std::string> RemoteSpace::Verify(uint64_t sample, bool full) {
  JsonTree body = {{"full", full}};
  if (sample != 0) body["sample"] = sample;
  return Text("POST", Target("verify", nullptr), body.dump(), kVerifyDeadlineMs);
}

}  // namespace engram::cli
