#include "cli/console.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/json_text.h"

namespace engram::cli {
namespace {

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Status::FromErrno(errno, "write to the output");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return Status::Ok();
}

}  // namespace

Status Console::Write(std::string_view bytes) { return WriteAll(STDOUT_FILENO, bytes); }

void Console::Print(std::string_view line) {
  const int fd = isatty(STDOUT_FILENO) != 0 ? STDOUT_FILENO : STDERR_FILENO;
  IgnoreError(WriteAll(fd, std::string(line) + "\n"), "nobody reads it any more");
}

void Console::Say(std::string_view line) {
  if (!options_.json && !options_.quiet) Print(line);
}

void Console::Answer(std::string_view line) {
  if (!options_.json) Print(line);
}

int Console::Fail(const Status& error, std::string_view extra) {
  ReportError(error, extra);
  return kExitFailed;
}

int Console::FailUsage(const Status& error) {
  ReportError(error, "");
  return kExitUsage;
}

void Console::ReportError(const Status& error, std::string_view extra) {
  if (error.os_errno() == EPIPE) return;  // the reader left: it does not want to hear of it
  const auto tell = [&error] {
    IgnoreError(WriteAll(STDERR_FILENO,
                         "engram: " + error.message() + "\n        hint: " + HintOf(error) + "\n"),
                "stderr is the last resort");
  };
  if (!options_.json) return tell();
  std::string text;
  ObjectText object(&text);
  object.Bool("ok", false);
  ObjectText inner(object.Key("error"));
  inner.String("code", StatusCodeName(error.code()));
  inner.String("message", error.message());
  inner.String("hint", HintOf(error));
  inner.Close();
  if (!extra.empty()) text.append(",").append(extra.substr(0, extra.size() - 1));
  object.Close();
  if (!Write(text + "\n").ok()) tell();  // stdout takes nothing
}

std::string HintOf(const Status& error) {
  if (!error.hint().empty()) return error.hint();
  switch (error.code()) {
    case StatusCode::kNotFound:
      return "check the name, --space and --data-root; `engram space list` shows what is there";
    case StatusCode::kInvalidArgument:
      return "see --help of the command";
    case StatusCode::kFull:
      return "free space on the device, then run the command again";
    case StatusCode::kBusy:
      return "wait for the other process to end, or stop it";
    case StatusCode::kCorruption:
      return "nothing was changed; restore the named file from a copy";
    case StatusCode::kIo:
      return "check the device, the owner and the mode of the named file";
    case StatusCode::kUnsupported:
      return "use a version of engram that knows it";
    case StatusCode::kFatal:
      return "run the command again: the store recovers when it is opened";
    case StatusCode::kFailedPrecondition:
      return "`engram migrate-dual status` shows the state of the space";
    case StatusCode::kCancelled:
      return "run the command again to go on";
    case StatusCode::kOk:
      break;
  }
  return "see --help of the command";
}

std::string WithThousands(uint64_t value) {
  std::string text = std::to_string(value);
  for (size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string Printable(std::string_view text, size_t size_max) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (out.size() >= size_max && (byte & 0xC0) != 0x80) return out + "...";
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    out += escaped;
  }
  return out;
}

}  // namespace engram::cli
