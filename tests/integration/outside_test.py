#!/usr/bin/env python3
"""What somebody finds who tries the commands on damaged, lost and unusual directories."""
import json
import shutil
import struct
import unittest

from harness import FIXTURES, StoreTest, engram, tree_hash

VECTOR = ["3f000000"] * 768
PLAIN = FIXTURES / "plain" / "data"


def line(identity, **keys):
    return json.dumps({"id": identity, "embedding": VECTOR, **keys}) + "\n"


class OutsideTest(StoreTest):
    def fails(self, *arguments, code=1, **options):
        """The error of a command that must fail, with everything an error has."""
        result = engram(*arguments, "--json", "--data-root", self.root, **options)
        self.assertEqual(result.code, code, result)
        report = result.json
        self.assertIs(report["ok"], False, result)
        for key in ("code", "message", "hint"):
            self.assertTrue(report["error"][key], result)
        return report

    def flip(self, path, offset):
        data = bytearray(path.read_bytes())
        data[offset] ^= 4
        path.write_bytes(data)

    def tables(self):
        return self.root / "default" / "dual" / "store.1" / "data.mdb"

    def test_a_lost_STORE_file_is_no_reason_to_begin_a_new_store(self):
        self.run_ok("migrate-dual", "--source", PLAIN)
        dual = self.root / "default" / "dual"
        saved = (dual / "STORE").read_bytes()
        (dual / "STORE").unlink()
        before = [e for e in tree_hash(dual) if "lock" not in e[0].lower()]
        put = line("new")
        for command in (["memory", "put", "--jsonl", "-"], ["migrate-dual"], ["memory", "list"],
                        ["migrate-dual", "--source", PLAIN], ["space", "list"],
                        ["space", "mode", "dual"], ["compact"]):
            error = self.fails(*command, stdin=put if "put" in command else None)["error"]
            self.assertEqual(error["code"], "CORRUPTION", command)
            self.assertIn("STORE is missing", error["message"])
        after = [e for e in tree_hash(dual) if "lock" not in e[0].lower()]
        self.assertEqual(after, before)
        (dual / "STORE").write_bytes(saved)
        self.assertEqual(self.stats()["count"], 54)

    def test_a_lost_generation_is_corruption_for_readers_too(self):
        self.run_ok("migrate-dual", "--source", PLAIN)
        shutil.rmtree(self.tables().parent)
        for command in (["memory", "list"], ["verify"], ["migrate-dual"]):
            error = self.fails(*command)["error"]
            self.assertEqual(error["code"], "CORRUPTION", command)
            self.assertIn("data.mdb", error["message"])

    def test_a_damaged_record_leaves_the_others_readable(self):
        self.run_ok("migrate-dual", "--source", PLAIN)
        memories = self.memories()
        raw = b"".join(struct.pack("<I", int(x, 16)) for x in memories[20]["embedding"])
        self.flip(self.tables(), self.tables().read_bytes().index(raw) + 100)
        listing = engram("memory", "list", "--jsonl", "--view", "dual", "--exact", "--embeddings",
                         "--data-root", self.root)
        self.assertEqual(listing.code, 1)
        self.assertEqual([json.loads(x) for x in listing.out.splitlines()],
                         memories[:20] + memories[21:])
        self.assertIn("data.mdb", listing.err)
        report = self.fails("memory", "list", "--embeddings")
        self.assertEqual(report["count"], 53)
        self.assertIn("data.mdb", self.fails("memory", "get", memories[20]["id"], "--embeddings")
                      ["error"]["message"])
        self.assertEqual(self.run_json("memory", "get", memories[21]["id"])["id"],
                         memories[21]["id"])
        report = self.fails("verify")
        self.assertIn("data.mdb", report["corrupt"][0])
        self.assertIn("data.mdb", report["error"]["message"])
        self.assertIn("data.mdb", self.fails("migrate-dual")["error"]["message"])
        self.assertIn("data.mdb", self.fails("compact")["error"]["message"])

    def test_one_broken_space_fails_the_whole_and_stops_no_other(self):
        self.run_ok("migrate-dual", "--source", FIXTURES / "spaces" / "data")
        self.flip(self.root / "a_b" / "dual" / "STORE", 20)
        for command in (["migrate-dual", "--all-spaces"], ["verify", "--all-spaces"], ["space", "list"],
                        ["migrate-dual", "status"], ["compact", "--all-spaces"],
                        ["migrate-dual", "can-rollback", "--all-spaces"]):
            report = self.fails(*command)
            self.assertIn("a_b", report["error"]["message"])
            self.assertIn("STORE", report["error"]["message"])
            bad = [s["space"] for s in report["spaces"] if not s["ok"]]
            self.assertEqual(bad, ["a_b"], command)
            self.assertEqual(len(report["spaces"]), 7)

    def test_every_no_says_why(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=line("a"))
        self.run_ok("compact", "--finalize")
        self.assertIn("finalized", self.fails("migrate-dual", "can-rollback")["error"]["message"])

    def test_wrong_usage_names_the_wrong_word(self):
        for words, named in ((["remember"], '"remember" is not a command'),
                             (["memory", "find"], '"find" is not a command'),
                             (["--space", "abc", "forget"], '"forget" is not a command'),
                             (["memory", "list", "--limit", "-1"], "a whole number, found -1"),
                             (["migrate-dual", "--batch-size", "0"], "above 0, found 0"),
                             (["migrate-dual", "--rate-limit", "x"], "a whole number, found x"),
                             (["space"], "none given")):
            error = self.fails(*words, code=2)["error"]
            self.assertIn(named, error["message"])

    def test_reads_change_nothing_but_the_lock_file_of_the_tables(self):
        self.run_ok("migrate-dual", "--source", PLAIN)

        def tree():
            return [e for e in tree_hash(self.root) if not e[0].endswith("lock.mdb")]

        before = tree()
        for command in (["migrate-dual", "--dry-run"], ["verify"], ["memory", "list"],
                        ["migrate-dual", "--dry-run", "--source", FIXTURES / "spaces" / "data"],
                        ["migrate-dual", "estimate"], ["migrate-dual", "status"],
                        ["migrate-dual", "can-rollback"], ["space", "list"], ["space", "mode"]):
            self.run_json(*command)
            self.assertEqual(tree(), before, command)


if __name__ == "__main__":
    unittest.main()
