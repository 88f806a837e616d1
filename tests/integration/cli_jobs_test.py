#!/usr/bin/env python3
"""migrate-dual, verify, rollback, compact and space: exit codes, the shapes of their JSON, the text
for people, and what an interruption says."""
import json
import re
import shutil
import signal
import subprocess
import unittest

import harness

SOURCE = harness.FIXTURES / "plain" / "data"
DAMAGED = harness.FIXTURES / "damaged" / "data" / "flip-payload"
HEX = set("0123456789abcdef")
LINE = json.dumps({"id": "a", "embedding": [0.5] * 768}) + "\n"


class JobsTest(harness.StoreTest):
    def migrate(self, *arguments, source=SOURCE):
        return self.run_json("migrate-dual", "--source", source, *arguments)

    def assert_digest(self, text):
        self.assertEqual(len(text), 64)
        self.assertLessEqual(set(text), HEX)

    def test_the_report_of_a_migration_has_the_keys_of_the_contract(self):
        report = self.migrate()
        self.assertEqual((report["ok"], report["command"], report["dry_run"], report["resumed"]),
                         (True, "migrate-dual", False, False))
        space = report["spaces"][0]
        for key in ("space", "source", "found", "converted", "already_dual", "deleted",
                    "remaining_old", "digest", "bytes_predicted", "bytes_written",
                    "seconds_predicted", "seconds", "nodes_per_second",
                    "resident_anon_peak_bytes", "checkpoint"):
            self.assertIn(key, space)
        source = space["source"]
        for key in ("files", "bytes", "records", "episodes", "memories", "deletes", "other_types",
                    "versions_superseded", "duplicates", "damaged", "quarantined"):
            self.assertIn(key, source)
        self.assertEqual(source["episodes"] + source["memories"],
                         space["found"] + source["versions_superseded"] + source["duplicates"])
        digest = space["digest"]
        for key in ("source", "before", "after"):
            self.assert_digest(digest[key])
        self.assertEqual(digest["source"], digest["after"])
        self.assertEqual(set(digest["tiers"]), {"hot", "warm", "cold"})
        self.assertEqual(sum(t["count"] for t in digest["tiers"].values()), space["found"])
        for key in ("path", "position", "nodes"):
            self.assertIn(key, space["checkpoint"])

    def test_a_source_with_damage_is_done_and_lists_it(self):
        report = self.migrate(source=DAMAGED)
        damage = report["spaces"][0]["source"]["damaged"]
        self.assertEqual([d["kind"] for d in damage], ["payload-checksum"])
        self.assertEqual(set(damage[0]), {"file", "offset", "length", "kind"})

    def test_a_dry_run_and_an_estimate_predict_and_create_nothing(self):
        for arguments in (["migrate-dual", "--dry-run"], ["migrate-dual", "estimate"]):
            report = self.run_json(*arguments, "--source", SOURCE)
            self.assertTrue(report["dry_run"])
            self.assertGreater(report["spaces"][0]["bytes_predicted"], 0)
            self.assertEqual(list(self.root.iterdir()), [])

    def test_a_dry_run_predicts_the_digests_and_tiers_of_the_run(self):
        for root in (self.folder / "first", self.root):  # without a store, then with one
            if root == self.root:
                self.migrate(source=harness.FIXTURES / "damaged" / "data" / "flip-payload")
            predicted = harness.engram("migrate-dual", "--source", SOURCE, "--dry-run", "--json",
                                       "--data-root", root).json["spaces"][0]["digest"]
            done = harness.engram("migrate-dual", "--source", SOURCE, "--json", "--data-root",
                                  root).json["spaces"][0]["digest"]
            for key in ("source", "before", "after", "tiers"):
                self.assertEqual(predicted[key], done[key], key)

    def test_a_read_only_source_is_enough_and_stays_as_it_is(self):
        source = self.folder / "source"
        shutil.copytree(SOURCE, source)
        subprocess.run(["chmod", "-R", "a-w", source], check=True)
        before = harness.tree_hash(source)
        self.migrate(source=source)
        self.assertEqual(harness.tree_hash(source), before)
        subprocess.run(["chmod", "-R", "u+w", source], check=True)

    def test_the_way_there_and_back_and_to_the_end(self):
        first = self.migrate()["spaces"][0]["digest"]["after"]
        self.assertEqual(self.run_json("space", "mode")["mode"], "dual")
        verify = self.run_json("verify", "--source", SOURCE, "--full")
        for key in ("ok", "space", "checked", "matched", "missing", "orphans", "mismatched",
                    "corrupt", "max_l2", "success_rate", "digest"):
            self.assertIn(key, verify)
        self.assertEqual((verify["checked"], verify["success_rate"]), (verify["matched"], 1.0))
        self.assertTrue(self.run_json("migrate-dual", "can-rollback")["ok"])
        back = self.run_json("migrate-dual", "rollback")
        self.assertEqual((back["mode"], back["digest"], back["lossy"]), ("legacy", first, []))
        self.assertEqual(self.run_json("space", "mode", "dual")["mode"], "dual")
        compact = self.run_json("compact")
        self.assertEqual((compact["digest_before"], compact["digest_after"]), (first, first))
        self.assertFalse(compact["finalized"])
        final = self.run_json("compact", "--finalize")
        self.assertTrue(final["finalized"])
        self.assertEqual(self.run_json("space", "mode")["mode"], "finalized")
        stats = self.stats()
        self.assertEqual((stats["old"], stats["dual"], stats["digest"]),
                         (0, stats["count"], first))
        for command in (["migrate-dual", "rollback"], ["migrate-dual", "can-rollback"]):
            refused = harness.engram(*command, "--json", "--data-root", self.root)
            self.assertEqual(refused.code, 1, refused)
            self.assertIs(refused.json["ok"], False)
        self.assertEqual(self.run_json("migrate-dual", "verify")["ok"], True)

    def test_without_the_history_scan_the_phase_says_what_is_in_force(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=LINE)
        report = self.run_json("migrate-dual", "--no-history-scan")["spaces"][0]
        self.assertEqual((report["converted"], report["remaining_old"]), (0, 1))
        status = self.run_json("migrate-dual", "status")["spaces"][0]
        self.assertEqual((status["mode"], status["phase"]), ("dual", "write_new"))
        self.migrate()
        for more in ([], ["--no-history-scan"]):  # nothing is left that a scan would find
            self.run_ok("migrate-dual", *more)
            status = self.run_json("migrate-dual", "status")["spaces"][0]
            self.assertEqual(status["phase"], "rollback_window")

    def test_a_small_rate_limit_is_kept_from_line_to_line(self):
        out = harness.engram("migrate-dual", "--source", SOURCE, "--rate-limit", 20, "--data-root",
                             self.root, "--no-history-scan").err
        rates = [int(rate) for rate in re.findall(r"ingest: .*Rate: (\d+) nodes/sec", out)]
        # The first line comes after a tenth of a second, in which a burst may be.
        self.assertGreater(len(rates), 2, out)
        self.assertLessEqual(max(rates[1:]), 26, out)

    def test_all_spaces_and_the_list_of_them(self):
        self.run_ok("migrate-dual", "--source", harness.FIXTURES / "spaces" / "data")
        listed = self.run_json("space", "list")["spaces"]
        names = [s["space"] for s in listed]
        self.assertEqual(names, sorted(names))
        self.assertIn("---", names)
        for key in ("space", "mode", "count", "old", "dual", "episodes", "concepts", "edges",
                    "bindings", "bytes", "digest", "lsn", "tiers"):
            self.assertIn(key, listed[0])
        verified = self.run_json("verify", "--all-spaces")
        self.assertEqual([s["space"] for s in verified["spaces"]], names)
        status = self.run_json("migrate-dual", "status")
        self.assertEqual([s["space"] for s in status["spaces"]], names)
        self.assertEqual({s["remaining_old"] for s in status["spaces"]}, {0})
        one = self.run_json("migrate-dual", "status", "--space=---")
        self.assertEqual([s["space"] for s in one["spaces"]], ["---"])

    def test_without_a_source_only_the_named_space_is_migrated(self):
        for space in ("default", "other", "third"):
            self.run_ok("space", "mode", "legacy", f"--space={space}")
        self.assertEqual([s["space"] for s in self.run_json("migrate-dual")["spaces"]], ["default"])
        modes = self.run_json("space", "list")["spaces"]
        self.assertEqual([m["mode"] for m in modes], ["dual", "legacy", "legacy"])
        self.run_json("migrate-dual", "--space", "third")
        self.assertEqual(len(self.run_json("migrate-dual", "--all-spaces")["spaces"]), 3)

    def test_the_mode_of_all_spaces_is_shown_and_set(self):
        self.run_ok("migrate-dual", "--source", harness.FIXTURES / "spaces" / "data")
        names = [s["space"] for s in self.run_json("space", "list")["spaces"]]
        self.assertGreater(len(names), 1)
        for mode in ([], ["legacy"], []):
            shown = self.run_json("space", "mode", *mode, "--all-spaces")["spaces"]
            self.assertEqual([s["space"] for s in shown], names)
        self.assertEqual({s["mode"] for s in shown}, {"legacy"})
        self.assertFalse((self.root / "default").exists() and "default" not in names)

    def test_a_sample_has_the_digests_as_stored(self):
        self.migrate()
        sampled = self.run_json("verify", "--sample", "5")["digest"]
        full = self.run_json("verify")["digest"]
        self.assertEqual((sampled.pop("recomputed"), full.pop("recomputed")), (False, True))
        self.assertEqual(sampled, full)

    def test_inspecting_what_is_no_store_says_what_a_store_is(self):
        for path, said in (("/nonexist", "does not exist"), (self.folder, "holds no store"),
                           (__file__, "is a file")):
            refused = harness.engram("inspect", "store", path, "--json")
            self.assertEqual(refused.code, 1)
            error = refused.json["error"]
            self.assertIn(said, error["message"])
            self.assertIn("folder of a space", error["hint"])

    def test_people_read_counts_digests_and_the_salvage_list(self):
        result = self.run_ok("migrate-dual", "--source", DAMAGED)
        for text in ("found 53", "converted 53", "digest source", "nothing lost",
                     "payload-checksum", "[migration] convert: 100.0%"):
            self.assertIn(text, result.err)
        self.assertIn("verified", self.run_ok("verify").err)
        self.assertIn("mode dual", self.run_ok("space", "list").err)
        self.assertIn("compacted", self.run_ok("compact").err)
        self.assertIn("mode legacy", self.run_ok("migrate-dual", "rollback").err)
        self.assertNotIn("\x1b", result.err)

    def test_an_interrupted_migration_names_the_command_that_goes_on(self):
        generator = harness.BINARIES / "upstream_log_gen"
        if not generator.exists():
            self.skipTest("upstream_log_gen is not built")
        source = self.folder / "source"
        subprocess.run([generator, "--out", source, "--records", "6000", "--seed", "7"],
                       check=True, capture_output=True)
        arguments = ["migrate-dual", "--source", source, "--data-root", self.root,
                     "--checkpoint-interval=500", "--batch-size=100"]
        whole = self.folder / "whole"
        expected = harness.engram("migrate-dual", "--source", source, "--data-root", whole, "--json")
        self.assertEqual(expected.code, 0, expected)
        process = subprocess.Popen(
            [str(harness.BINARIES / "engram"), *map(str, arguments), "--rate-limit=1000"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for text in process.stderr:
            if "ingest:" in text:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (1, ""), err)
        self.assertIn("resume with: ", err)
        command = err.split("resume with: ")[1].splitlines()[0]
        self.assertTrue(command.endswith(" --resume"), command)
        resumed = subprocess.run(["sh", "-c", command.replace("--rate-limit=1000", "") + " --json"],
                                 capture_output=True, text=True)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        report = json.loads(resumed.stdout)
        self.assertEqual([s["digest"]["after"] for s in report["spaces"]],
                         [s["digest"]["after"] for s in expected.json["spaces"]])


if __name__ == "__main__":
    unittest.main()
