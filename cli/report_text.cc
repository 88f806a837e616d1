#include "cli/report_text.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <vector>

#include "cli/console.h"
#include "cli/progress_view.h"

namespace engram::cli {
namespace {

constexpr size_t kListedMax = 20;
constexpr size_t kSpacesInFullMax = 20;

const Report& At(const Report& report, std::string_view key) {
  static const Report kNull;
  if (!report.is_object()) return kNull;
  const auto found = report.find(key);
  return found == report.end() ? kNull : *found;
}

std::string Value(const Report& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return Printable(value.get_ref<const std::string&>(), 400);
  if (value.is_number_unsigned()) return WithThousands(value.get<uint64_t>());
  if (value.is_number_float()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value.get<double>());
    return text;
  }
  return Printable(value.dump(), 400);
}

std::string Number(const Report& report, std::string_view key) { return Value(At(report, key)); }

// "label a 1 | b 2" of the keys that are there.
std::string Counters(const std::string& label, const Report& report,
                     const std::vector<std::pair<const char*, const char*>>& keys) {
  std::string line;
  for (const auto& [key, name] : keys) {
    if (At(report, key).is_null()) continue;
    line += (line.empty() ? "" : " | ") + std::string(name) + " " + Number(report, key);
  }
  return line.empty() ? "" : "  " + label + line + "\n";
}

std::string MebibytesText(const Report& value) {
  if (!value.is_number()) return "-";
  char text[48];
  std::snprintf(text, sizeof text, "%.1f MB", value.get<double>() / (1u << 20));
  return text;
}

// The first entries of a list of objects or texts, each on its own line.
std::string Listed(const std::string& title, const Report& list,
                   const std::vector<const char*>& keys) {
  if (!list.is_array() || list.empty()) return "";
  std::string text = "  " + title + ": " + WithThousands(list.size()) + "\n";
  for (size_t i = 0; i < std::min(list.size(), kListedMax); ++i) {
    text += "    ";
    if (!list[i].is_object()) text += Value(list[i]);
    for (const char* key : keys) {
      if (list[i].is_object()) text += std::string(key) + " " + Number(list[i], key) + "  ";
    }
    text += "\n";
  }
  if (list.size() > kListedMax) {
    text += "    ... " + WithThousands(list.size() - kListedMax) + " more, see --json\n";
  }
  return text;
}

std::string DigestText(const Report& digest) {
  if (!digest.is_object()) return "";
  std::string text;
  for (const char* key : {"source", "before", "after"}) {
    if (At(digest, key).is_string()) {
      text += "  digest " + std::string(key) + std::string(8 - std::string(key).size(), ' ') +
              Value(At(digest, key)) + "\n";
    }
  }
  const Report& after = At(digest, "after");
  const Report& source =
      At(digest, "source").is_string() ? At(digest, "source") : At(digest, "before");
  if (after.is_string() && source.is_string()) {
    text += after == source ? "  nothing lost: the digests are equal" : "  THE DIGESTS DIFFER";
    if (!At(digest, "lsn").is_null()) text += " (at lsn " + Number(digest, "lsn") + ")";
    text += "\n";
  }
  return text;
}

std::string SourceText(const Report& source) {
  if (!source.is_object()) return "";
  std::string text = Counters("source    ", source,
                              {{"files", "files"},
                               {"records", "records"},
                               {"episodes", "episodes"},
                               {"memories", "memories"},
                               {"deletes", "deletes"},
                               {"other_types", "other types"},
                               {"versions_superseded", "superseded"},
                               {"duplicates", "duplicates"}});
  text += "  source    " + MebibytesText(At(source, "bytes")) + "\n";
  text +=
      Listed("salvaged around damage", At(source, "damaged"), {"file", "offset", "length", "kind"});
  text += Listed("quarantined", At(source, "quarantined"), {"file", "offset", "reason"});
  return text;
}

std::string MigratedSpaceText(const Report& space, bool dry_run) {
  std::string text = "space " + Number(space, "space") + (dry_run ? ": dry run" : "") + "\n";
  text += SourceText(At(space, "source"));
  text += Counters("records   ", space,
                   {{"found", "found"},
                    {"converted", "converted"},
                    {"already_dual", "already dual"},
                    {"deleted", "deleted"},
                    {"remaining_old", "still old"}});
  text += DigestText(At(space, "digest"));
  if (dry_run) {
    text += "  predicted " + MebibytesText(At(space, "bytes_predicted")) + ", " +
            Number(space, "seconds_predicted") + " s\n";
    return text;
  }
  if (!space.contains("bytes_written")) return text;  // refused before anything was written
  text += "  wrote     " + MebibytesText(At(space, "bytes_written")) + " in " +
          Number(space, "seconds") + " s, " + Number(space, "nodes_per_second") +
          " nodes/sec, memory peak " + MebibytesText(At(space, "resident_anon_peak_bytes")) + "\n";
  return text;
}

std::string WithoutLineEnd(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool IsOk(const Report& report) {
  const Report& ok = At(report, "ok");
  return !ok.is_boolean() || ok.get<bool>();
}

std::string ErrorText(const Report& report) {
  const Report& error = At(report, "error");
  if (!error.is_object()) return "";
  return "  " + Number(error, "code") + ": " + Number(error, "message") +
         "\n  hint: " + Number(error, "hint") + "\n";
}

// Applies `one` to the report, or to each element of its "spaces".
template <typename One>
std::string PerSpace(const Report& report, One&& one) {
  const Report& spaces = At(report, "spaces");
  if (!spaces.is_array()) return WithoutLineEnd(one(report) + ErrorText(report));
  std::string text;
  for (const Report& space : spaces) text += one(space) + ErrorText(space);
  return WithoutLineEnd(text.empty() ? "no spaces" : text);
}

bool IsNumberBelow(const Report& value, double limit) {
  return value.is_number() && value.get<double>() < limit;
}

// The migrator's settings; "" if they are not there.
std::string KnobsText(const Report& knobs) {
  if (!At(knobs, "paused").is_boolean()) return "";
  std::string text = At(knobs, "paused") == Report(true) ? "paused" : "not paused";
  text += IsNumberBelow(At(knobs, "rate_limit"), 1)
              ? " | no rate limit"
              : " | rate limit " + Number(knobs, "rate_limit") + " nodes/s";
  return text + (At(knobs, "history_scan") == Report(false) ? " | no history scan" : "");
}

// How fast it goes and what holds it back; "" of a space at rest.
std::string PaceText(const Report& space) {
  std::string text;
  const std::string phase = Number(space, "phase");
  const Report& rate = At(space, "rate");
  const bool rests = (phase == "off" || phase == "complete") && IsNumberBelow(rate, 1);
  if (rate.is_number() && !rests) {
    const Report& eta = At(space, "eta_seconds");
    text = "rate " + WithThousands(static_cast<uint64_t>(std::max(0.0, rate.get<double>()))) +
           " nodes/s | ETA " + (eta.is_number() ? DurationText(eta.get<double>()) : "unknown");
  }
  const Report& throttle = At(space, "throttle");
  if (!At(throttle, "reason").is_string()) return text;
  text += (text.empty() ? "" : " | ") + std::string("held back: ") + Number(throttle, "reason");
  return text + (At(throttle, "since").is_string() ? " since " + Number(throttle, "since") : "");
}

std::string MigrationText(const Report& space, bool with_knobs) {
  std::string text = "space " + Number(space, "space") + "\n";
  text += Counters("", space,
                   {{"mode", "mode"},
                    {"phase", "phase"},
                    {"converted", "converted"},
                    {"remaining_old", "still old"},
                    {"quarantined", "quarantined"}});
  const std::string knobs = with_knobs ? KnobsText(space) : "";
  for (const std::string& line : {PaceText(space), knobs}) {
    if (!line.empty()) text += "  " + line + "\n";
  }
  text += Listed("ingest not ended, go on with migrate-dual --source",
                 At(space, "unfinished_sources"), {});
  const Report& error = At(space, "error");
  return text + (error.is_string() ? "  error: " + Value(error) + "\n" : "");
}

// Whether there is more to say than what it has in common with others.
bool IsUnderWay(const Report& space) {
  const std::string phase = Number(space, "phase");
  const Report& reason = At(At(space, "throttle"), "reason");
  return (phase != "off" && phase != "complete" && phase != "tail") || !IsOk(space) ||
         !At(space, "error").is_null() || !At(space, "unfinished_sources").empty() ||
         (reason.is_string() && reason != Report("paused")) ||
         !IsNumberBelow(At(space, "quarantined"), 1);
}

uint64_t Whole(const Report& value) {
  return value.is_number_unsigned() ? value.get<uint64_t>() : 0;
}

// One line for all spaces that are in the same state.
std::string TogetherText(const std::vector<const Report*>& spaces) {
  struct Sums {
    uint64_t spaces = 0, converted = 0, old = 0;
  };
  std::map<std::string, Sums> states;
  for (const Report* space : spaces) {
    Sums& sums = states["mode " + Number(*space, "mode") + " | phase " + Number(*space, "phase")];
    ++sums.spaces;
    sums.converted += Whole(At(*space, "converted"));
    sums.old += Whole(At(*space, "remaining_old"));
  }
  std::string text;
  for (const auto& [state, sums] : states) {
    text += WithThousands(sums.spaces) + " more spaces: " + state + " | converted " +
            WithThousands(sums.converted) + " | still old " + WithThousands(sums.old) + "\n";
  }
  return text.empty() ? text : text + "(--space shows one, --json all)\n";
}

}  // namespace

std::string MigrateText(const Report& report) {
  const Report& dry_run = At(report, "dry_run");
  const bool dry = dry_run.is_boolean() && dry_run.get<bool>();
  const std::string skipped = Listed("in the source and not read", At(report, "skipped"), {});
  return skipped +
         PerSpace(report, [&](const Report& space) { return MigratedSpaceText(space, dry); });
}

std::string VerifyText(const Report& report) {
  return PerSpace(report, [](const Report& space) {
    std::string text = "space " + Number(space, "space") + ": " +
                       (IsOk(space) ? "verified" : "DOES NOT VERIFY") + "\n";
    text += Counters("records   ", space,
                     {{"checked", "checked"},
                      {"matched", "matched"},
                      {"success_rate", "success rate"},
                      {"max_l2", "max L2"}});
    text += Listed("missing", At(space, "missing"), {"id"});
    text += Listed("orphans", At(space, "orphans"), {"id"});
    text += Listed("mismatched", At(space, "mismatched"), {"id", "field", "expected", "actual"});
    text += Listed("corrupt", At(space, "corrupt"), {"id", "file", "offset", "detail"});
    return text + DigestText(At(space, "digest"));
  });
}

std::string RollbackText(const Report& report) {
  return PerSpace(report, [](const Report& space) {
    std::string text = "mode " + Number(space, "mode") + " after " + Number(space, "seconds") +
                       " s\n  digest " + Number(space, "digest") + "\n";
    return text + Listed("concepts that the old form cannot hold in full", At(space, "lossy"), {});
  });
}

std::string SalvageText(const Report& report) {
  return PerSpace(report, [](const Report& space) {
    const bool dry = At(space, "dry_run") == Report(true);
    std::string text = "space " + Number(space, "space") + ": ";
    if (At(space, "needed") != Report(true)) return text + "nothing to salvage\n";
    text += dry ? "what salvage would do\n" : "salvaged\n";
    text += Counters("records   ", space,
                     {{"intact", "intact"},
                      {"lost_writes", "writes lost"},
                      {"rows_set_aside", "rows set aside"}});
    text += Listed("lost from the log", At(space, "lost"),
                   {"file", "offset", "length", "first_lsn", "last_lsn", "lost_writes"});
    text += Listed("no longer served, kept in quarantine", At(space, "quarantined"),
                   {"id", "node_key", "reason"});
    text += Listed("kept, but of several writes", At(space, "mixed"), {"id", "node_key", "reason"});
    text += Listed("made whole", At(space, "repaired"), {"id", "node_key", "reason"});
    if (At(space, "kept_aside").is_string()) {
      text += "  the damaged log is kept in " + Number(space, "kept_aside") + "\n";
    }
    const Report& digest = At(space, "digest");
    return text + "  digest    " + (digest.is_object() ? Number(digest, "after") : "") + "\n";
  });
}

std::string StateRollbackText(const Report& report) {
  return PerSpace(report, [](const Report& space) {
    const bool dry = At(space, "dry_run") == Report(true);
    std::string text = "space " + Number(space, "space") +
                       (dry ? ": what going back would give up\n" : ": back at the snapshot\n");
    const Report& snapshot = At(space, "snapshot");
    if (snapshot.is_object()) {
      text += "  snapshot  " + Number(snapshot, "name") + " of " + Number(snapshot, "taken_at") +
              ", lsn " + Number(snapshot, "lsn") + "\n";
    }
    text += Counters("records   ", space,
                     {{"count", "in the snapshot"},
                      {"later_write_count", "written here since"},
                      {"ingested_given_up", "ingested since"}});
    text += Listed("written since", At(space, "later_writes"), {"id", "change"});
    return text + "  mode " + Number(space, "mode") + "\n  digest " + Number(space, "digest") +
           "\n";
  });
}

std::string ModesText(const Report& report) {
  return PerSpace(report, [](const Report& space) {
    return Number(space, "space") + ": " + Number(space, "mode") + "\n";
  });
}

std::string CompactText(const Report& report) {
  return PerSpace(report, [](const Report& space) {
    std::string text = "compacted " + MebibytesText(At(space, "bytes_before")) + " to " +
                       MebibytesText(At(space, "bytes_after")) + " in " + Number(space, "seconds") +
                       " s\n";
    text += "  digest before " + Number(space, "digest_before") + "\n  digest after  " +
            Number(space, "digest_after") + "\n";
    return text +
           (At(space, "finalized") == Report(true) ? "  finalized: no old records are kept\n" : "");
  });
}

std::string StatusText(const Report& report) {
  const std::string knobs = KnobsText(At(report, "knobs"));
  std::string head = knobs.empty() ? "" : "migrator: " + knobs + "\n";
  if (At(report, "source") == Report("control block")) {
    head = "no server answers (" + Number(report, "reason") + "); the last numbers it left:\n";
  }
  const auto one = [&](const Report& space) { return MigrationText(space, knobs.empty()); };
  const Report& spaces = At(report, "spaces");
  if (!spaces.is_array() || spaces.size() <= kSpacesInFullMax) return head + PerSpace(report, one);
  std::string in_full;
  size_t in_full_count = 0;
  std::vector<const Report*> others;
  for (const Report& space : spaces) {
    if (in_full_count < kSpacesInFullMax && IsUnderWay(space)) {
      ++in_full_count;
      in_full += one(space) + ErrorText(space);
    } else {
      others.push_back(&space);
    }
  }
  return WithoutLineEnd(head + in_full + TogetherText(others));
}

std::string SpaceProgressText(const Report& space) {
  std::string line = Number(space, "space") + ": " + Number(space, "mode") + ", " +
                     Number(space, "phase") + ", " + Number(space, "remaining_old") +
                     " still old, " + Number(space, "converted") + " converted";
  const std::string pace = PaceText(space);
  return pace.empty() ? line : line + " | " + pace;
}

std::string SpacesText(const Report& report) {
  return PerSpace(report, [](const Report& space) {
    std::string text = Number(space, "space") + "\n";
    text += Counters("", space,
                     {{"mode", "mode"},
                      {"count", "memories"},
                      {"old", "old"},
                      {"dual", "dual"},
                      {"episodes", "episodes"},
                      {"concepts", "concepts"},
                      {"edges", "edges"},
                      {"bindings", "bindings"},
                      {"lsn", "lsn"}});
    if (At(space, "digest").is_string()) text += "  digest " + Number(space, "digest") + "\n";
    return text;
  });
}

std::string PlainText(const Report& report) {
  std::string text;
  for (const auto& [key, value] : report.items()) {
    if (key != "ok" && key != "error") text += key + ": " + Value(value) + "\n";
  }
  return WithoutLineEnd(text + ErrorText(report));
}

}  // namespace engram::cli
