#!/usr/bin/env python3
"""The rules of every command: help, exit codes, one JSON object, bad input refused with what to do."""
import json
import os
import shutil
import subprocess
import unittest

import harness

COMMANDS = [
    ["memory", "list"], ["memory", "get"], ["memory", "put"], ["memory", "delete"],
    ["migrate-dual"], ["migrate-dual", "verify"], ["migrate-dual", "status"],
    ["migrate-dual", "rollback"], ["migrate-dual", "can-rollback"], ["migrate-dual", "estimate"],
    ["migrate-dual", "pause"], ["migrate-dual", "resume"], ["migrate-dual", "throttle"],
    ["verify"], ["compact"], ["space", "mode"], ["space", "list"], ["space", "stats"], ["inspect"],
    ["start"], ["stop"], ["status"], ["config", "get"], ["config", "set"], ["config", "list"],
    ["config", "path"], ["validate", "config"],
]
LINE = json.dumps({"id": "a", "embedding": [0.5] * 768}) + "\n"
ABI = harness.BINARIES.parent / "tests" / "abi"


class UsageTest(harness.StoreTest):
    def refused(self, *arguments, code=1, stdin=None, env=None, say=""):
        """The command fails with `code`, in text and as one JSON object with a hint."""
        plain = harness.engram(*arguments, stdin=stdin, env=env)
        self.assertEqual(plain.code, code, f"{arguments}: {plain}")
        self.assertEqual(plain.out, "")
        self.assertIn("hint: ", plain.err)
        before, _, behind = list(map(str, arguments)), None, None
        at = before.index("--") if "--" in before else len(before)
        result = harness.engram(*before[:at], "--json", *before[at:], stdin=stdin, env=env)
        self.assertEqual(result.code, code, f"{arguments}: {result}")
        error = result.json
        self.assertIs(error["ok"], False)
        for key in ("code", "message", "hint"):
            self.assertTrue(error["error"][key], f"{arguments}: empty {key}")
        self.assertIn(say, error["error"]["message"])
        return error["error"]

    def test_help_of_every_command_teaches_with_an_example(self):
        for command in COMMANDS:
            result = harness.engram(*command, "--help")
            self.assertEqual(result.code, 0)
            self.assertIn("Example:\n  engram " + " ".join(command), result.out, command)
        self.assertIn("Exit codes", harness.engram("--help").out)
        self.assertRegex(harness.engram("--version").out, r"^engram \d+\.\d+\.\d+\n$")

    def test_wrong_usage_is_exit_2(self):
        root = ["--data-root", self.root]
        for arguments in ([], ["memory"], ["nonsense"], ["memory", "lis"], ["memory", "get"],
                          ["memory", "put"], ["memory", "delete"],
                          ["memory", "delete", "a", "--jsonl", "-"],
                          ["memory", "list", "--view", "both"], ["memory", "list", "--limit", "x"],
                          ["memory", "list", "--limit", "-1"], ["memory", "list", "--nonsense"],
                          ["space", "mode", "shadow"], ["migrate-dual", "--mode", "sideways"],
                          ["migrate-dual", "--batch-size", "0"],
                          ["migrate-dual", "--parallel-workers", "-3"],
                          ["verify", "--sample", "0"], ["verify", "--sample", "5", "--full"],
                          ["inspect", "everything", "/"],
                          ["space", "list", "--log-level", "loud"],
                          ["space", "list", "--log-io", "carrier-pigeon"],
                          ["verify", "--space", "abc", "--all-spaces"],
                          ["memory", "list", "--space", "a", "--space", "b"],
                          ["config"], ["config", "get"], ["config", "set", "server.http_port"],
                          ["config", "gte", "x"], ["validate"], ["validate", "config"],
                          ["migrate-dual", "throttle", "--rate-limit", "fast"],
                          ["migrate-dual", "--mode", "online", "--dry-run"],
                          ["migrate-dual", "--source", "--all-spaces"],
                          ["migrate-dual", "--source", "--dry-run", "--quiet"],
                          ["memory", "list", "--after", "--limit=3"],
                          ["memory", "list", "--all-spaces"],
                          ["inspect", "store", "/", "--all-spaces"],
                          ["migrate-dual", "throttle"],
                          ["migrate-dual", "--mode", "online", "--source", "/"]):
            self.refused(*arguments, *(root if arguments else []), code=2)

    def test_a_space_id_that_upstream_would_refuse_is_refused_with_its_rule(self):
        for space, why in [("", "empty"), ("ab", "2 bytes"), ("x" * 65, "65 bytes"),
                           ("Upper", "outside"), ("a/../b", "outside"), ("caf\u00e9", "outside")]:
            error = self.refused("memory", "list", f"--space={space}", "--data-root", self.root,
                                 code=2, say=why)
            self.assertIn("3 to 64", error["hint"])
        self.assertEqual(list(self.root.iterdir()), [])

    def test_a_space_of_hyphens_works_both_ways(self):
        for flag in (["--space=---"], ["--space", "---"], ["--space", "  ---\t"]):
            self.run_ok("memory", "put", "--jsonl", "-", *flag, stdin=LINE)
            self.assertEqual(len(self.memories("---")), 1)
        self.assertTrue((self.root / "---" / "dual").is_dir())

    def test_flags_may_stand_anywhere(self):
        self.run_ok("memory", "put", "--jsonl=-", stdin=LINE)
        for arguments in (["--data-root", self.root, "--json", "memory", "get", "a"],
                          ["memory", "--data-root", self.root, "get", "--json", "a"],
                          ["memory", "get", "a", "--json=true", f"--data-root={self.root}"]):
            result = harness.engram(*arguments)
            self.assertEqual(result.code, 0, result)
            self.assertEqual(result.json["id"], "a")

    def test_the_data_root_comes_from_the_flag_then_the_environment_then_the_folder(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=LINE)
        found = harness.engram("memory", "get", "a", env={"ENGRAM_DATA_DIR": str(self.root)})
        self.assertEqual(found.code, 0, found)
        found = harness.engram("memory", "get", "a", "--data-root", self.root,
                               env={"ENGRAM_DATA_DIR": "/nowhere"})
        self.assertEqual(found.code, 0, found)
        (self.folder / "engram-data").symlink_to(self.root)
        done = subprocess.run([harness.BINARIES / "engram", "memory", "get", "a"],
                              cwd=self.folder, capture_output=True)
        self.assertEqual(done.returncode, 0)

    def test_an_answer_that_cannot_be_written_is_said_on_stderr(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=LINE)
        for arguments in (["space", "list"], ["verify"], ["memory", "get", "a"],
                          ["migrate-dual", "status"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([harness.BINARIES / "engram", *arguments, "--json",
                                       "--data-root", self.root], stdout=full,
                                      stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn("engram: ", done.stderr)

    def test_what_is_not_there_is_said_so_and_nothing_is_created(self):
        for arguments in (["memory", "list"], ["memory", "get", "a"], ["memory", "delete", "a"],
                          ["verify"], ["compact"], ["space", "mode"], ["space", "stats"],
                          ["migrate-dual"], ["migrate-dual", "rollback"],
                          ["migrate-dual", "can-rollback"], ["migrate-dual", "status",
                                                             "--space=abc"]):
            error = self.refused(*arguments, "--data-root", self.root)
            self.assertIn(error["code"], ("NOT_FOUND", "FAILED_PRECONDITION"), arguments)
        self.assertEqual(list(self.root.iterdir()), [])

    def test_a_data_root_that_is_a_file_is_refused(self):
        file = self.folder / "file"
        file.write_text("x")
        self.refused("memory", "list", "--data-root", file, say=str(file))
        self.refused("space", "list", "--data-root", file, say=str(file))
        self.refused("memory", "put", "--jsonl", "-", "--data-root", file, stdin=LINE)

    def test_bad_sources_are_refused_and_stay_as_they_are(self):
        file = self.folder / "file"
        file.write_text("x")
        empty = self.folder / "empty"
        empty.mkdir()
        for source in (file, empty, self.folder / "nowhere"):
            self.refused("migrate-dual", "--source", source, "--data-root", self.root,
                         say=str(source))
        self.assertEqual(list(self.root.iterdir()), [])
        self.assertEqual(file.read_text(), "x")

    def test_a_store_of_a_newer_version_is_refused_untouched(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=LINE)
        store = self.root / "default" / "dual" / "STORE"
        original = store.read_bytes()
        store.write_bytes(original[:4] + bytes([0xEE]) + original[5:])
        before = harness.tree_hash(self.root)
        self.refused("memory", "put", "--jsonl", "-", "--data-root", self.root, stdin=LINE)
        error = self.refused("space", "stats", "--data-root", self.root)
        self.assertIn(error["code"], ("UNSUPPORTED", "CORRUPTION"))
        self.assertIn("STORE", error["message"])
        self.assertEqual([e for e in harness.tree_hash(self.root) if "lock" not in e[0].lower()],
                         [e for e in before if "lock" not in e[0].lower()])

    def test_wrong_plugins_are_refused_each_with_its_reason(self):
        not_elf = self.folder / "engine.so"
        not_elf.write_text("x")
        cases = [(self.folder / "none.so", "none.so"), (not_elf, "cannot be loaded as a library"),
                 (ABI / "libnot_an_engine.so", "does not export engram_storage_engine_v1"),
                 (ABI / "libbad_major.so", "major version 2"),
                 (ABI / "libbad_short_table.so", "offers a table of"),
                 (ABI / "libbad_empty_slot.so", "leaves the slot scan empty"),
                 (ABI / "libbad_refuses.so", "not on this machine")]
        for path, reason in cases:
            if path.parent == ABI and not path.exists():
                self.skipTest("the engines of tests/abi are not built")
            self.refused("memory", "list", "--plugin", path, say=reason)
            self.refused("memory", "list", env={"ENGRAM_STORAGE_PLUGIN": str(path)}, say=reason)

    def test_another_engine_takes_the_place_of_the_installed_one(self):
        null = ABI / "libnull_engine.so"
        if not null.exists():
            self.skipTest("the engines of tests/abi are not built")
        result = harness.engram("memory", "put", "--jsonl", "-", "--plugin", null, stdin=LINE)
        self.assertEqual(result.code, 0, result)
        self.refused("space", "list", "--plugin", null, say="has no jobs")

    def test_no_permission_is_said_so(self):
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            self.skipTest("needs root, to become someone else")
        self.run_ok("memory", "put", "--jsonl", "-", stdin=LINE)
        self.folder.chmod(0o755)
        before = harness.tree_hash(self.root)
        for arguments in (["memory", "list"], ["memory", "put", "--jsonl", "-"],
                          ["memory", "put", "--jsonl", "-", "--space=new"], ["verify"]):
            result = harness.as_nobody([*arguments, "--json", "--data-root", self.root], input=LINE)
            if "error while loading shared libraries" in result.err or result.code == 127:
                self.skipTest("the build folder is not readable for others")
            self.assertEqual(result.code, 1, f"{arguments}: {result}")
            self.assertIn("ermission denied", result.json["error"]["message"])
            self.assertTrue(result.json["error"]["hint"])
        self.assertEqual(harness.tree_hash(self.root), before)

    def test_a_second_process_on_the_space_is_refused_and_the_first_goes_on(self):
        writer = subprocess.Popen(
            [harness.BINARIES / "engram", "memory", "put", "--jsonl", "-", "--quiet",
             "--data-root", self.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            writer.stdin.write(LINE)
            writer.stdin.flush()
            writer.stdout.readline()
            for arguments in (["memory", "list"], ["memory", "get", "a"], ["memory", "delete", "a"],
                              ["verify"], ["compact"], ["space", "mode", "dual"],
                              ["space", "stats"], ["migrate-dual", "rollback"], ["migrate-dual"]):
                error = self.refused(*arguments, "--data-root", self.root)
                self.assertEqual(error["code"], "BUSY", arguments)
            self.run_ok("memory", "put", "--jsonl", "-", "--space=other", stdin=LINE)
            listed = harness.engram("space", "list", "--json", "--data-root", self.root)
            self.assertEqual(listed.code, 1)
            self.assertEqual([s["ok"] for s in listed.json["spaces"]], [False, True])
        finally:
            writer.stdin.close()
            self.assertEqual(writer.wait(30), 0)
            writer.stdout.close()

    def test_readers_share_a_space(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=LINE * 1)
        many = [subprocess.Popen([harness.BINARIES / "engram", "memory", "list", "--jsonl",
                                  "--data-root", self.root], stdout=subprocess.DEVNULL)
                for _ in range(4)]
        self.assertEqual([p.wait(60) for p in many], [0] * 4)

    def test_commands_for_the_server_say_that_they_need_it(self):
        for command in (["pause"], ["resume"], ["throttle", "--rate-limit", "5"]):
            error = self.refused("migrate-dual", *command, say="needs the running server")
            self.assertEqual(error["code"], "FAILED_PRECONDITION")
        self.refused("migrate-dual", "--mode", "online", say="needs the running server")

    def test_the_command_line_reaches_the_store_through_the_plugin_alone(self):
        libraries = subprocess.run(["ldd", harness.BINARIES / "engram"], check=True,
                                   capture_output=True, text=True).stdout
        for library in ("lmdb", "uring", "engram_dual"):
            self.assertNotIn(library, libraries)

    def test_quiet_says_nothing_and_errors_are_still_said(self):
        result = self.run_ok("memory", "put", "--jsonl", "-", "--quiet", stdin=LINE)
        self.assertEqual(result.err, "")
        result = harness.engram("memory", "get", "b", "--quiet", "--data-root", self.root)
        self.assertIn("hint:", result.err)


class InspectTest(harness.StoreTest):
    def test_a_source_is_shown_record_by_record_and_stays_as_it_is(self):
        source = harness.FIXTURES / "damaged" / "data" / "flip-payload"
        before = harness.tree_hash(source)
        result = harness.engram("inspect", "source", source, "--jsonl")
        self.assertEqual(result.code, 0, result)
        found = [json.loads(text) for text in result.out.splitlines()]
        self.assertEqual({f["kind"] for f in found}, {"record", "damage"})
        self.assertEqual([f["damage"] for f in found if f["kind"] == "damage"],
                         ["payload-checksum"])
        self.assertEqual(harness.tree_hash(source), before)

    def test_log_and_store_show_what_was_written(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=LINE)
        space = self.root / "default"
        log = harness.engram("inspect", "log", space, "--jsonl")
        self.assertEqual(log.code, 0, log)
        self.assertIn(1, [json.loads(text)["lsn"] for text in log.out.splitlines()])
        store = harness.engram("inspect", "store", space, "--json")
        self.assertEqual(store.code, 0, store)
        records = [f for f in store.json["found"] if f["kind"] == "record"]
        self.assertEqual([(r["id"], r["format"]) for r in records], [("a", "old")])

    def test_what_is_not_there_is_refused(self):
        for what in ("source", "log", "store"):
            result = harness.engram("inspect", what, self.folder / "nowhere", "--json")
            self.assertEqual(result.code, 1, result)
            self.assertTrue(result.json["error"]["hint"])
            result = harness.engram("inspect", what, self.root)
            self.assertEqual(result.code, 1, result)
            self.assertIn("hint:", result.err)


if __name__ == "__main__":
    unittest.main()
