#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <functional>

#include "cli/job_commands.h"
#include "cli/memory_commands.h"
#include "cli/migration_commands.h"
#include "cli/server_grammar.h"

namespace engram::cli {
namespace {

constexpr char kCommonFlags[] =
    "\nFlags of every command: --data-root, --space, --json, --quiet, --log-level, --log-io, "
    "--plugin "
    "(engram --help).";

// All values that the parser fills.
struct Flags {
  GlobalFlags global;
  MemoryReadFlags read;
  MemoryWriteFlags write;
  std::string id;
  MigrateFlags migrate;
  std::optional<uint64_t> throttle_rate;
  VerifyFlags verify;
  bool finalize = false;
  SalvageFlags salvage;
  RollbackFlags rollback;
  std::optional<std::string> mode;
  std::string inspect_what;
  std::string inspect_path;
  ServerGrammarFlags server;
};

using Command = std::function<int(Session&)>;

// No argument of a process can hold NUL, so one in front marks a word that CLI11 must take as it
// is.
constexpr char kMark = '\0';
std::string WithoutMark(std::string word) {
  if (word.starts_with(kMark)) word.erase(0, 1);
  return word;
}

// A whole number of at least `min`; CLI11's own ranges print the largest double.
CLI::Validator Whole(uint64_t min) {
  const std::string expected = min == 0 ? "a whole number" : "a whole number above 0";
  return CLI::Validator(
      [min, expected](std::string& text) -> std::string {
        uint64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc() && end == text.data() + text.size();
        return whole && value >= min ? "" : "expected " + expected + ", found " + text;
      },
      min == 0 ? "NUMBER" : "NUMBER>0");
}

class Grammar {
 public:
  Grammar() : app_("Engram's dual-memory storage engine.", "engram") {
    app_.set_version_flag("--version", "engram " ENGRAM_VERSION);
    app_.fallthrough();
    app_.require_subcommand(1);
    app_.footer(
        "Example:\n  engram migrate-dual --source /var/lib/engram --data-root ./engram-data\n"
        "  engram verify --source /var/lib/engram\n  engram memory list --jsonl | head\n\n"
        "Exit codes: 0 done and true; 1 failed, refused, or found a mismatch; 2 wrong usage.");
    AddGlobalFlags();
    AddMemory();
    AddMigrate();
    AddVerify(app_.add_subcommand("verify", "Recompute every digest and compare"), "engram verify");
    AddCompact();
    AddSpace();
    AddInspect();
    const GrammarHooks hooks = {
        [this](CLI::App* command, Command run) { Runs(command, std::move(run)); },
        [this](CLI::App* command, const std::string& text) { Example(command, text); }};
    AddServerCommands(app_, hooks, &flags_.server);
  }

  // Throws what CLI11 throws.
  void Parse(std::vector<std::string> arguments) {
    CheckValuesFollow(arguments);
    std::reverse(arguments.begin(), arguments.end());
    app_.parse(std::move(arguments));
    if (flags_.global.all_spaces &&
        (app_.got_subcommand("memory") || app_.got_subcommand("inspect"))) {
      throw CLI::ValidationError("--all-spaces",
                                 "this command works on one space: name it with --space");
    }
  }
  int Exit(const CLI::ParseError& error) { return app_.exit(error); }
  const Flags& flags() const { return flags_; }
  // What was chosen; set by a successful Parse().
  const Command& command() const { return command_; }

 private:
  void Example(CLI::App* command, const std::string& example) {
    command->footer("Example:\n  " + example + kCommonFlags);
  }
  void Runs(CLI::App* command, Command run) {
    command->callback([this, run = std::move(run)] {
      if (!command_) command_ = run;
    });
  }

  // CLI11 takes whatever follows an option as its value, the next option if the value was
  // forgotten.
  void CheckValuesFollow(const std::vector<std::string>& arguments) const {
    for (size_t i = 0; i + 1 < arguments.size(); ++i) {
      const std::string& name = arguments[i];
      const std::string next = arguments[i + 1].substr(0, arguments[i + 1].find('='));
      if (!name.starts_with("--") || !next.starts_with("--")) continue;
      const auto options = OptionsOf(app_, name);
      const bool takes_value =
          !options.empty() && std::all_of(options.begin(), options.end(), [](const auto* option) {
            return option->get_items_expected_min() > 0;
          });
      if (!takes_value || OptionsOf(app_, next).empty()) continue;
      throw CLI::ArgumentMismatch(name + " needs a value before " + next + " (" + next +
                                      " as the value itself is given as " + name + "=" + next + ")",
                                  CLI::ExitCodes::ArgumentMismatch);
    }
  }
  // Of every command.
  static std::vector<const CLI::Option*> OptionsOf(const CLI::App& app, const std::string& name) {
    std::vector<const CLI::Option*> options;
    if (const CLI::Option* own = app.get_option_no_throw(name)) options.push_back(own);
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      const auto more = OptionsOf(*command, name);
      options.insert(options.end(), more.begin(), more.end());
    }
    return options;
  }

  void AddGlobalFlags() {
    GlobalFlags& g = flags_.global;
    app_.add_option("--data-root", g.data_root,
                    "Folder of the spaces (else ENGRAM_DATA_DIR, else ./engram-data)");
    app_.add_option("--space", g.space, "Space to work on (default \"default\")");
    app_.add_flag("--all-spaces", g.all_spaces, "Every space below the data root");
    app_.add_flag("--json", g.json, "One JSON object on stdout, also on failure");
    app_.add_flag("--quiet", g.quiet, "No progress and no closing lines");
    app_.add_option("--log-level", g.log_level, "debug, info, warn, error or off (default warn)");
    app_.add_option("--log-io", g.log_io,
                    "I/O of the log: auto, uring or pwrite (default auto, which is pwrite)");
    app_.add_option("--plugin", g.plugin,
                    "Storage engine library (else ENGRAM_STORAGE_PLUGIN, else the installed one)");
  }

  void AddReadFlags(CLI::App* command) {
    command->add_option("--view", flags_.read.view, "memory or dual (default memory)")
        ->check(CLI::IsMember({"memory", "dual"}));
    command->add_flag("--exact", flags_.read.exact, "Floats as the 8 hex digits of their bits");
    command->add_flag("--embeddings", flags_.read.embeddings, "Also print the 768 floats");
    command->add_flag("--jsonl", flags_.read.jsonl, "One JSON object a line");
  }

  void AddMemory() {
    CLI::App* memory = app_.add_subcommand("memory", "Read and write memories");
    memory->require_subcommand(1);
    Example(memory, "engram memory list --jsonl");

    CLI::App* list = memory->add_subcommand("list", "All memories, sorted by the bytes of the id");
    AddReadFlags(list);
    list->add_option("--after", flags_.read.after, "Start behind this id");
    list->add_option("--limit", flags_.read.limit, "At most this many")->check(Whole(0));
    Example(list, "engram memory list --jsonl --view dual --exact --embeddings > all.jsonl");
    Runs(list, [this](Session& s) {
      if (flags_.read.after) flags_.read.after = WithoutMark(*flags_.read.after);
      return MemoryList(s, flags_.read);
    });

    CLI::App* get = memory->add_subcommand("get", "One memory; exit code 1 if there is none");
    get->add_option("id", flags_.id, "Its id (after -- if it starts with a hyphen)")->required();
    AddReadFlags(get);
    Example(get, "engram memory get mem_1eaf9207 --json");
    Runs(get, [this](Session& s) { return MemoryGet(s, WithoutMark(flags_.id), flags_.read); });

    CLI::App* put = memory->add_subcommand(
        "put", "Store each line, replacing the whole memory; prints {\"id\",\"lsn\"} when durable");
    put->add_option("--jsonl", flags_.write.jsonl, "File of JSON lines, or - for stdin")
        ->required();
    Example(put,
            "engram memory put --jsonl memories.jsonl\n"
            "  engram memory list --jsonl --exact --embeddings | engram memory put "
            "--space copy --jsonl -");
    Runs(put, [this](Session& s) { return MemoryPut(s, flags_.write); });

    CLI::App* remove = memory->add_subcommand("delete", "Delete memories by id");
    remove->add_option("id", flags_.write.ids, "Ids (after -- if one starts with a hyphen)");
    remove->add_option("--jsonl", flags_.write.jsonl, "File of {\"id\"} lines, or - for stdin");
    Example(remove, "engram memory delete mem_1eaf9207 mem_9579a7d2");
    Runs(remove, [this](Session& s) {
      for (std::string& id : flags_.write.ids) id = WithoutMark(std::move(id));
      return MemoryDelete(s, flags_.write);
    });
  }

  void AddMigrate() {
    CLI::App* migrate = app_.add_subcommand(
        "migrate-dual", "Bring memories in, convert them to dual nodes, prove nothing was lost");
    migrate->require_subcommand(0, 1);
    AddMigrateFlags(migrate);
    Example(migrate,
            "engram migrate-dual --source /var/lib/engram --data-root ./engram-data\n"
            "  engram migrate-dual --source /var/lib/engram --dry-run --json\n"
            "  engram migrate-dual --space production --resume");
    CLI::App* verify = migrate->add_subcommand("verify", "The same as `engram verify`");
    AddVerify(verify, "engram migrate-dual verify");
    AddMigrateJob(migrate, "status", "Mode, phase and counts of the spaces", MigrationStatus);
    AddRollback(migrate);
    AddMigrateJob(migrate, "can-rollback", "Whether a rollback is possible; 1 if not",
                  MigrateCanRollback);
    CLI::App* estimate = migrate->add_subcommand("estimate", "Predict bytes and seconds (dry run)");
    AddMigrateFlags(estimate);
    Example(estimate, "engram migrate-dual estimate --source /var/lib/engram --json");
    Runs(estimate, [this](Session& s) {
      MigrateFlags dry = flags_.migrate;
      dry.dry_run = true;
      return MigrateDual(s, dry);
    });
    AddMigrateJob(migrate, "pause", "Halt the running server's migrator", MigrationPause);
    AddMigrateJob(migrate, "resume", "Let the running server's migrator go on", MigrationResume);
    CLI::App* throttle =
        migrate->add_subcommand("throttle", "Change the running server's rate limit");
    throttle->add_option("--rate-limit", flags_.throttle_rate, "Nodes a second, 0: none")
        ->check(Whole(0));
    Example(throttle, "engram migrate-dual throttle --rate-limit 5000");
    Runs(throttle, [this](Session& s) { return MigrationThrottle(s, flags_.throttle_rate); });
    Runs(migrate, [this](Session& s) {
      return flags_.migrate.mode == "online" ? MigrateOnline(s, flags_.migrate)
                                             : MigrateDual(s, flags_.migrate);
    });
  }

  void AddRollback(CLI::App* migrate) {
    CLI::App* rollback =
        migrate->add_subcommand("rollback", "Serve memories from the old records again");
    RollbackFlags& r = flags_.rollback;
    rollback
        ->add_option("--to", r.to,
                     "format (default): at once, every write is kept; state: the snapshot that "
                     "--snapshot took, later writes are given up")
        ->check(CLI::IsMember({"format", "state"}));
    rollback->add_flag("--dry-run", r.dry_run, "Whether it is possible and what it gives up");
    rollback->add_flag("--yes", r.yes, "With --to state: do it; without it the list is shown");
    Example(rollback,
            "engram migrate-dual rollback --space production\n"
            "  engram migrate-dual rollback --to state --dry-run --json\n"
            "  engram migrate-dual rollback --to state --yes");
    Runs(rollback, [this](Session& s) { return MigrateRollback(s, flags_.rollback); });
  }

  void AddMigrateFlags(CLI::App* command) {
    MigrateFlags& m = flags_.migrate;
    command->add_option("--source", m.source,
                        "Upstream data root or folder of wal-*.log files; without it the old "
                        "records of the space itself are converted (of every space of the data "
                        "root with --all-spaces)");
    command
        ->add_option("--mode", m.mode,
                     "offline (default), or online: the running server does it, with the batch "
                     "size, memory budget and rate limit that it has unless they are given here")
        ->check(CLI::IsMember({"offline", "online"}));
    command->add_flag("--dry-run", m.dry_run, "Predict, create and change nothing");
    command->add_flag("--resume", m.resume, "Continue from the checkpoint");
    command->add_flag("--snapshot", m.snapshot,
                      "Keep a copy of the space as it is now, for rollback --to state");
    command->add_option("--batch-size", m.batch_size, "Nodes per unit of work (default 1000)")
        ->check(Whole(1));
    command
        ->add_option("--checkpoint-interval", m.checkpoint_interval,
                     "Nodes between checkpoints (default 10000)")
        ->check(Whole(1));
    command
        ->add_option("--memory-budget-mb", m.memory_budget_mb,
                     "Memory for work in flight (default 512)")
        ->check(Whole(1));
    command->add_option("--rate-limit", m.rate_limit, "Nodes a second, 0: none (default)")
        ->check(Whole(0));
    command
        ->add_option("--parallel-workers", m.parallel_workers,
                     "Worker threads (default half the cores)")
        ->check(Whole(1));
    command->add_flag("--no-history-scan", m.no_history_scan,
                      "Convert only what is written while it runs");
  }

  void AddMigrateJob(CLI::App* migrate, const std::string& name, const std::string& text,
                     int (*run)(Session&)) {
    CLI::App* command = migrate->add_subcommand(name, text);
    Example(command, "engram migrate-dual " + name + " --space production --json");
    Runs(command, run);
  }

  void AddVerify(CLI::App* verify, const std::string& name) {
    verify->add_option("--source", flags_.verify.source,
                       "Also compare with the records of this upstream directory");
    CLI::Option* sample =
        verify
            ->add_option("--sample", flags_.verify.sample, "Check this many records (default all)")
            ->check(Whole(1));
    verify
        ->add_flag("--full", flags_.verify.full,
                   "Also layouts, map order, re-encoding and cross tables")
        ->excludes(sample);
    Example(verify,
            name +
                " --source /var/lib/engram --full --json\n\n"
                "Beside a running server the server verifies: it shows no progress, and takes no "
                "--source; for\nthese stop it first.");
    Runs(verify, [this](Session& s) {
      VerifyFlags chosen = flags_.verify;
      if (!chosen.source) chosen.source = flags_.migrate.source;
      return Verify(s, chosen);
    });
  }

  void AddCompact() {
    CLI::App* compact = app_.add_subcommand("compact", "Rewrite the store without its waste");
    compact->add_flag("--finalize", flags_.finalize,
                      "Convert and verify what is old, then drop all old records: no way back");
    Example(compact, "engram compact --space production --finalize");
    Runs(compact, [this](Session& s) { return Compact(s, flags_.finalize); });
  }

  void AddSpace() {
    CLI::App* space = app_.add_subcommand("space", "Modes and statistics of spaces");
    space->require_subcommand(1);
    Example(space, "engram space list --json");
    CLI::App* mode = space->add_subcommand("mode", "Print or set the mode of a space, offline");
    mode->add_option("mode", flags_.mode, "legacy or dual; creates the space if it is new")
        ->check(CLI::IsMember({"legacy", "dual"}));
    Example(mode, "engram space mode dual --space production");
    Runs(mode, [this](Session& s) { return SpaceMode(s, flags_.mode); });
    AddSalvage(space);
    CLI::App* list = space->add_subcommand("list", "Statistics of every space");
    Example(list, "engram space list --json");
    Runs(list, SpaceList);
    CLI::App* stats = space->add_subcommand("stats", "Statistics of one space");
    Example(stats, "engram space stats --space production --json");
    Runs(stats, SpaceStats);
  }

  void AddSalvage(CLI::App* space) {
    CLI::App* salvage = space->add_subcommand(
        "salvage", "Go on with a damaged space: keep what is intact, list and set aside the rest");
    salvage->add_flag("--dry-run", flags_.salvage.dry_run, "List what is lost, change nothing");
    salvage->add_flag("--yes", flags_.salvage.yes, "Do it; without it the list is shown, exit 1");
    Example(
        salvage,
        "engram space salvage --dry-run --json\n  engram space salvage --space production --yes");
    Runs(salvage, [this](Session& s) { return SpaceSalvage(s, flags_.salvage); });
  }

  void AddInspect() {
    CLI::App* inspect = app_.add_subcommand(
        "inspect", "What is physically in a source, a log or a store; changes nothing");
    inspect->add_option("what", flags_.inspect_what, "source, log or store")
        ->required()
        ->check(CLI::IsMember({"source", "log", "store"}));
    inspect->add_option("path", flags_.inspect_path, "Directory or file")->required();
    inspect->add_flag("--jsonl", flags_.read.jsonl, "One JSON object a line");
    Example(inspect,
            "engram inspect source /var/lib/engram/default --jsonl\n"
            "  engram inspect log ./engram-data/default\n"
            "  engram inspect store ./engram-data/default");
    Runs(inspect, [this](Session& s) {
      return Inspect(s, {.what = flags_.inspect_what,
                         .path = WithoutMark(flags_.inspect_path),
                         .jsonl = flags_.read.jsonl});
    });
  }

  CLI::App app_;
  Flags flags_;
  Command command_;
};

// The words as CLI11 understands them the way they are meant: "--after=" is an empty value, what
// stands behind "--" is no flag, and "[a,b]" is one id, not a list.
std::vector<std::string> Prepared(const std::vector<std::string>& words) {
  std::vector<std::string> arguments;
  bool flags = true;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (flags && word == "--") {
      flags = false;
    } else if (flags && word.starts_with("--") && word.find('=') == word.size() - 1) {
      arguments.push_back(word.substr(0, word.size() - 1));
      arguments.emplace_back();
    } else {
      const bool as_it_is = !flags || (word.starts_with('[') && word.ends_with(']'));
      arguments.push_back(as_it_is ? kMark + word : word);
    }
  }
  return arguments;
}

// What may stand before the word that is not a command.
constexpr std::string_view kGroups[] = {"memory", "space", "config", "validate"};
constexpr std::string_view kSwitches[] = {"--json",  "--quiet", "--all-spaces",
                                          "--force", "--watch", "--insecure"};

// --json is known before the rest of the line makes sense.
bool WantsJson(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "--") return false;
    if (word == "--json" || word == "--json=true") return true;
  }
  return false;
}

// CLI11 names the missing subcommand only; the reader wants to know which word was not one.
std::string UnknownCommand(const std::vector<std::string>& words) {
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i].starts_with('-')) continue;
    if (std::find(std::begin(kGroups), std::end(kGroups), words[i]) != std::end(kGroups)) continue;
    const bool value =
        i > 1 && words[i - 1].starts_with("--") && words[i - 1].find('=') == std::string::npos &&
        std::find(std::begin(kSwitches), std::end(kSwitches), words[i - 1]) == std::end(kSwitches);
    if (!value) return words[i];
  }
  return "";
}

int UsageError(const std::vector<std::string>& words, const CLI::ParseError& error) {
  Console console({.json = WantsJson(words)});
  std::string message = error.what();
  if (const std::string word = UnknownCommand(words);
      message == "A subcommand is required" && !word.empty()) {
    message = "\"" + word + "\" is not a command";
  }
  std::replace(message.begin(), message.end(), '\n', ' ');
  if (message.ends_with(": ")) message += "more words behind -- than the command takes";
  // CLI11 says "A subcommand is required" of a misspelt one too.
  if (error.get_name() == "RequiredError" && message.find("subcommand") != std::string::npos) {
    message = "no such command, or none given:";
    for (const std::string& word : words) message += " " + word;
  }
  return console.FailUsage(
      Status::InvalidArgument(message, "see `engram --help`, or --help behind a command"));
}

}  // namespace

int RunCommandLine(const std::vector<std::string>& words) {
  Grammar grammar;
  try {
    grammar.Parse(Prepared(words));
  } catch (const CLI::ParseError& error) {
    // --help and --version are "errors" of CLI11 with exit code 0.
    if (error.get_exit_code() == 0) return grammar.Exit(error);
    return UsageError(words, error);
  }
  const GlobalFlags& global = grammar.flags().global;
  Console console({.json = global.json, .quiet = global.quiet});
  auto session = Session::Make(global, console, words);
  if (!session.ok()) return console.FailUsage(session.status());
  return grammar.command()(**session);
}

}  // namespace engram::cli
