#!/usr/bin/env python3
"""A device that is full: puts are refused, reads and deletes go on, also in a fresh process."""
import json
import resource
import subprocess
import unittest

import harness

VECTOR = ["3f000000"] * 768


def line(identity):
    return json.dumps({"id": identity, "embedding": VECTOR, "content": identity}) + "\n"


class FullDeviceTest(harness.StoreTest):
    def limited(self, file_size_max, *arguments, stdin=None):
        """`engram` whose files may not grow beyond a size: what a full device looks like to it."""
        process = subprocess.run(
            [str(harness.BINARIES / "engram"), *map(str, arguments), "--data-root", self.root],
            input=stdin, capture_output=True, text=True, timeout=300,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                  (file_size_max, file_size_max)))
        return harness.Result(process)

    def filled_store(self):
        """A store whose tables have no room: its acknowledged ids, and the size of its tables."""
        self.run_ok("memory", "put", "--jsonl", "-",
                    stdin="".join(line(f"old-{i:04}") for i in range(1500)))
        tables = next(self.root.glob("default/dual/store.*/data.mdb")).stat().st_size
        puts = self.limited(tables, "memory", "put", "--jsonl", "-",
                            stdin="".join(line(f"new-{i:04}") for i in range(6000)))
        acknowledged = [json.loads(x)["id"] for x in puts.out.splitlines()]
        self.assertLess(0, len(acknowledged))
        return acknowledged, tables

    def test_deletes_go_on_in_fresh_processes(self):
        acknowledged, tables = self.filled_store()
        gone = acknowledged[:3] + [f"old-{i:04}" for i in range(5)]
        for identity in gone:
            deleted = self.limited(tables, "memory", "delete", identity)
            self.assertEqual(deleted.code, 0, deleted)
            self.assertEqual(json.loads(deleted.out)["id"], identity)
            self.assertEqual(harness.engram("memory", "get", identity, "--data-root",
                                            self.root).code, 1)
        self.assertEqual(self.run_json("memory", "get", acknowledged[3])["id"], acknowledged[3])
        # There is room again: nothing acknowledged is lost, and writes go on.
        self.run_ok("memory", "put", "--jsonl", "-", stdin=line("later"))
        self.assertEqual(self.stats()["count"], 1500 + len(acknowledged) - len(gone) + 1)
        self.assertTrue(self.run_json("verify")["ok"])

    def test_a_migration_that_finds_the_device_full_says_what_it_needs_and_resumes(self):
        source = self.folder / "source"
        made = harness.tool("upstream_log_gen", "--out", source, "--records", 3000, "--seed", 5)
        self.assertEqual(made.code, 0, made)
        whole = self.folder / "whole"
        expected = harness.engram("migrate-dual", "--source", source, "--data-root", whole,
                                  "--json").json["spaces"][0]["digest"]["after"]
        full = self.limited(8 << 20, "migrate-dual", "--source", source, "--json",
                            "--checkpoint-interval", "500", "--batch-size", "100")
        self.assertEqual(full.code, 1, full)
        error = full.json["error"]
        self.assertEqual(error["code"], "FULL")
        self.assertRegex(error["message"], r"needs about [1-9][0-9]* bytes, .*/dual has [0-9]+")
        self.assertIn("resume with: ", error["hint"])
        command = error["hint"].split("resume with: ")[1]
        self.assertTrue(command.endswith(" --resume"), command)
        resumed = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        report = json.loads(resumed.stdout)["spaces"][0]
        self.assertEqual(report["digest"]["after"], expected)


if __name__ == "__main__":
    unittest.main()
