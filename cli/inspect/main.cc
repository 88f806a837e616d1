#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/json_text.h"
#include "cli/console.h"
#include "cli/inspect/inspectors.h"

namespace engram::cli {
namespace {

constexpr char kHelp[] =
    "What is physically in a source, a log or a store, record by record. Changes nothing.\n"
    "Usage: engram inspect source|log|store DIR_OR_FILE [--jsonl | --json]\n\n"
    "  source   an upstream data root, a directory of wal-*.log files, or one such file\n"
    "  log      the write-ahead log of a space: the space's folder, or dual/log in it\n"
    "  store    the rows of a space: the space's folder, or dual in it\n\n"
    "Example:\n  engram inspect source /var/lib/engram --jsonl\n"
    "  engram inspect log ./engram-data/default\n"
    "  engram inspect store ./engram-data/default --jsonl\n";

enum class Format { kText, kLines, kObject };

struct Request {
  std::string what;
  std::string path;
  Format format = Format::kText;
  bool help = false;
};

Result<Request> ParseArguments(const std::vector<std::string>& words) {
  const std::string usage = "engram inspect source|log|store DIR_OR_FILE [--jsonl]";
  Request request;
  std::vector<std::string> plain;
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h") {
      request.help = true;
    } else if (word == "--jsonl") {
      request.format = Format::kLines;
    } else if (word == "--json") {
      if (request.format != Format::kLines) request.format = Format::kObject;
    } else if (word.starts_with("--") && word.size() > 2) {
      return Status::InvalidArgument("unknown flag " + word, usage);
    } else if (word != "--") {
      plain.push_back(word);
    }
  }
  if (request.help) return request;
  if (plain.size() != 2) return Status::InvalidArgument("expected what and where", usage);
  request.what = plain[0];
  request.path = plain[1];
  if (request.what != "source" && request.what != "log" && request.what != "store") {
    return Status::InvalidArgument("cannot inspect a \"" + request.what + "\"", usage);
  }
  return request;
}

// Collects lines and writes them in large pieces.
class Writer {
 public:
  Writer(Console& console, Format format) : console_(console), format_(format) {
    if (format_ == Format::kObject) text_ = "{\"found\":[";
  }
  Status Add(const std::string& json, const std::string& line) {
    if (format_ == Format::kObject) {
      text_ += (count_++ == 0 ? "" : ",") + json;
    } else {
      text_ += (format_ == Format::kLines ? json : line) + "\n";
    }
    return text_.size() < (256u << 10) ? Status::Ok() : Flush();
  }
  Status Flush() {
    Status written = console_.Write(text_);
    text_.clear();
    return written;
  }
  int Finish(const Status& status) {
    if (format_ == Format::kObject) {
      text_ += status.ok() ? "],\"ok\":true}\n" : "],\"ok\":false,\"error\":";
      if (!status.ok()) AppendError(status);
    }
    Status written = Flush();
    if (!written.ok()) return console_.Fail(written);
    if (!status.ok()) return format_ == Format::kObject ? kExitFailed : console_.Fail(status);
    return kExitDone;
  }

 private:
  void AppendError(const Status& status) {
    ObjectText error(&text_);
    error.String("code", StatusCodeName(status.code()));
    error.String("message", status.message());
    error.String("hint", HintOf(status));
    error.Close();
    text_ += "}\n";
  }

  Console& console_;
  const Format format_;
  std::string text_;
  uint64_t count_ = 0;
};

int Run(const std::vector<std::string>& words) {
  bool json = false;
  for (const std::string& word : words) json = json || word == "--json" || word == "--jsonl";
  Console console({.json = json});
  Result<Request> request = ParseArguments(words);
  if (!request.ok()) return console.FailUsage(request.status());
  if (request->help) {
    IgnoreError(console.Write(kHelp), "help to a closed output");
    return kExitDone;
  }
  FileSystem& fs = FileSystem::Posix();
  Writer writer(console, request->format);
  const InspectSink sink = {
      [&](const std::string& object, const std::string& line) { return writer.Add(object, line); }};
  if (request->what == "source") return writer.Finish(InspectSourceAt(fs, request->path, sink));
  if (request->what == "log") return writer.Finish(InspectLogAt(fs, request->path, sink));
  return writer.Finish(InspectStoreAt(fs, request->path, sink));
}

}  // namespace
}  // namespace engram::cli

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  return engram::cli::Run(std::vector<std::string>(argv + 1, argv + argc));
}
