#include "cli/report_output.h"

namespace engram::cli {
namespace {

std::string FirstFinding(const Report& verification) {
  for (const char* list : {"corrupt", "missing", "orphans"}) {
    const auto found = verification.find(list);
    if (found == verification.end() || !found->is_array() || found->empty()) continue;
    const Report& first = found->front();
    return std::string(list) + ": " + (first.is_string() ? first.get<std::string>() : Dump(first));
  }
  const auto mismatched = verification.find("mismatched");
  if (mismatched == verification.end() || mismatched->empty()) return "see the report";
  return "mismatched: " + Dump(mismatched->front());
}

// Why one space's report says no.
Report Reason(const Report& report) {
  if (const auto error = report.find("error"); error != report.end()) return *error;
  if (const auto reason = report.find("reason"); reason != report.end() && reason->is_string()) {
    return {{"code", StatusCodeName(StatusCode::kFailedPrecondition)},
            {"message", *reason},
            {"hint", HintOf(Status::FailedPrecondition(""))}};
  }
  const auto inner = report.find("verification");
  const Report& verification = inner != report.end() ? *inner : report;
  return {
      {"code", "MISMATCH"},
      {"message", "verification found differences, the first is " + FirstFinding(verification)},
      {"hint",
       "engram verify --full --json lists all of them; restore the named records from a backup, "
       "ingest their source into a new space, or see what `engram space salvage --dry-run` would "
       "keep"}};
}

// What is not ok says why in `error`, as every other failure does.
void Explain(Report* report) {
  if (IsTrue(*report, "ok") || report->contains("error")) return;
  const auto spaces = report->find("spaces");
  if (spaces == report->end()) {
    (*report)["error"] = Reason(*report);
    return;
  }
  Report first;
  for (Report& space : *spaces) {
    if (IsTrue(space, "ok")) continue;
    Explain(&space);
    if (!first.is_null()) continue;
    first = space["error"];
    first["message"] = "space " + space.value("space", "") + ": " + first.value("message", "");
  }
  // Behind the loop: a new key moves the values of the others.
  if (!first.is_null()) (*report)["error"] = std::move(first);
}

}  // namespace

Result<Report> ParseReport(const std::string& json) {
  Report report = Report::parse(json, nullptr, /*allow_exceptions=*/false);
  if (report.is_object()) return report;
  return Status::Fatal("the storage engine delivered a report that is not a JSON object",
                       "install the engine and the program of the same release");
}

bool IsTrue(const Report& report, const char* key) {
  const auto found = report.find(key);
  return found == report.end() || *found != Report(false);
}

std::string Dump(const Report& report) {
  // Ids are valid UTF-8; a file name in a damage list need not be.
  return report.dump(-1, ' ', false, Report::error_handler_t::replace);
}

Report ErrorObject(const Status& error) {
  return {{"code", StatusCodeName(error.code())},
          {"message", error.message()},
          {"hint", HintOf(error)}};
}

int PrintReport(Console& console, Report report, ReportToText to_text) {
  const bool ok = IsTrue(report, "ok");
  Explain(&report);
  if (console.json()) {
    Status written = console.Write(Dump(report) + "\n");
    if (!written.ok()) return console.Fail(written);
  } else {
    console.Answer(to_text(report));
  }
  return ok ? kExitDone : kExitFailed;
}

}  // namespace engram::cli
