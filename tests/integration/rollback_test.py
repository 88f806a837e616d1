#!/usr/bin/env python3
"""The two ways back: to the old format at once, and to the snapshot after the user's word."""
import json
import unittest

import harness

VECTOR = ["3f000000"] * 768
SOURCE = harness.FIXTURES / "plain" / "data"


def line(identity, content="x"):
    return json.dumps({"id": identity, "embedding": VECTOR, "content": content}) + "\n"


class RollbackTest(harness.StoreTest):
    def rollback(self, *arguments):
        return harness.engram("migrate-dual", "rollback", *arguments, "--json", "--data-root",
                              self.root)

    def test_state_needs_the_users_word_and_gives_the_space_as_it_was(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=line("mine", "one"))
        before = self.memories()
        report = self.run_json("migrate-dual", "--source", SOURCE, "--snapshot")
        snapshot = report["spaces"][0]["snapshot"]
        self.assertTrue((self.root / "default/dual/snapshots" / snapshot["name"]).is_dir())
        self.run_ok("memory", "put", "--jsonl", "-", stdin=line("mine", "two") + line("more"))
        asked = self.rollback("--to", "state")
        self.assertEqual(asked.code, 1)
        self.assertIn("--yes", asked.json["error"]["hint"])
        self.assertEqual(asked.json["later_writes"], [{"id": "mine", "change": "changed"},
                                                      {"id": "more", "change": "added"}])
        self.assertEqual(asked.json["ingested_given_up"], 54)
        self.assertEqual(self.stats()["count"], 56)
        looked = self.rollback("--to", "state", "--dry-run")
        self.assertEqual(looked.code, 0)
        self.assertEqual(looked.json["later_writes"], asked.json["later_writes"])
        done = self.rollback("--to", "state", "--yes")
        self.assertEqual(done.code, 0, done)
        self.assertEqual((done.json["mode"], done.json["digest"]), ("legacy", snapshot["digest"]))
        self.assertEqual(self.memories(), before)
        self.assertTrue(self.run_json("verify")["ok"])
        # The source can be brought in once more.
        again = self.run_json("migrate-dual", "--source", SOURCE)["spaces"][0]
        self.assertEqual(again["source"]["written"], 54)

    def test_format_needs_no_word_and_no_time(self):
        self.run_json("migrate-dual", "--source", SOURCE)
        digest = self.stats()["digest"]
        self.run_ok("memory", "put", "--jsonl", "-", stdin=line("more"))
        looked = self.rollback("--dry-run")
        self.assertEqual((looked.code, looked.json["can_rollback"]), (0, True))
        self.assertEqual(self.stats()["mode"], "dual")
        done = self.rollback()
        self.assertEqual(done.code, 0, done)
        self.assertEqual((done.json["mode"], done.json["lossy"]), ("legacy", []))
        self.assertEqual(self.stats()["count"], 55)
        self.assertNotEqual(self.stats()["digest"], digest, "the write since is kept")
        self.assertTrue(self.run_json("verify")["ok"])

    def test_state_without_a_snapshot_is_refused_and_says_what_else_there_is(self):
        self.run_json("migrate-dual", "--source", SOURCE)
        for flag in ("--yes", "--dry-run"):
            refused = self.rollback("--to", "state", flag)
            self.assertEqual(refused.code, 1)
            self.assertIn("--snapshot", refused.json["error"]["hint"])

    def test_help_shows_both(self):
        text = harness.engram("migrate-dual", "rollback", "--help").out
        self.assertIn("rollback --to state --dry-run", text)


if __name__ == "__main__":
    unittest.main()
