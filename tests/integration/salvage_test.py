#!/usr/bin/env python3
"""A corrupt log: the refusal names the command, the command lists what is lost and loses no more."""
import json
import pathlib
import re
import shutil
import subprocess
import unittest

import harness

VECTOR = ["3f000000"] * 768


def line(identity, content="x", vector=VECTOR):
    return json.dumps({"id": identity, "embedding": vector, "content": content}) + "\n"


class SalvageTest(harness.StoreTest):
    def dual(self, *names):
        return self.root.joinpath("default", "dual", *names)

    def put(self, *lines):
        return [json.loads(x)["lsn"] for x in
                self.run_ok("memory", "put", "--jsonl", "-", stdin="".join(lines)).out.splitlines()]

    def damage(self, *texts):
        """Flips a bit in the log record that holds each text; where, and the segment."""
        segment = next(self.dual("log").glob("*.seg"))
        data = bytearray(segment.read_bytes())
        places = [data.index(text) for text in texts]
        for place in places:
            data[place] ^= 1
        segment.write_bytes(data)
        return segment, places

    def test_a_damaged_log_is_refused_and_the_hint_is_the_command_that_lists_the_loss(self):
        lsns = {f"m-{i}": self.put(line(f"m-{i}", f"number {i}"))[0] for i in range(8)}
        segment, places = self.damage(b"number 5")
        refused = harness.engram("memory", "list", "--json", "--data-root", self.root)
        self.assertEqual(refused.code, 1)
        error = refused.json["error"]
        self.assertEqual(error["code"], "CORRUPTION")
        self.assertIn(segment.name, error["message"])
        command = re.search(r"`engram ([^`]*)`", error["hint"]).group(1)
        self.assertEqual(command, "space salvage --dry-run")
        before = harness.tree_hash(self.dual("log"))
        shown = self.run_json(*command.split())
        self.assertTrue(shown["needed"] and shown["dry_run"])
        self.assertEqual(len(shown["lost"]), 1)
        stretch = shown["lost"][0]
        self.assertEqual(pathlib.Path(stretch["file"]).name, segment.name)
        self.assertEqual((stretch["first_lsn"], stretch["last_lsn"]), (lsns["m-5"], lsns["m-5"]))
        self.assertLess(stretch["offset"], places[0])
        self.assertGreater(stretch["offset"] + stretch["length"], places[0])
        asked = harness.engram("space", "salvage", "--json", "--data-root", self.root)
        self.assertEqual(asked.code, 1)
        self.assertIn("--yes", asked.json["error"]["hint"])
        self.assertEqual(asked.json["lost"], shown["lost"])
        self.assertEqual(harness.tree_hash(self.dual("log")), before, "looking changes nothing")
        # The tables have what the log lost.
        damaged = segment.read_bytes()
        done = self.run_json("space", "salvage", "--yes")
        self.assertEqual((done["lost"], done["lost_writes"]), (shown["lost"], 0))
        self.assertEqual((len(self.memories()), done["intact"]), (8, 8))
        kept = pathlib.Path(done["kept_aside"])
        self.assertEqual((kept / segment.name).read_bytes(), damaged)
        self.assertEqual(json.loads((kept / "report.json").read_text())["lost"], shown["lost"])
        self.put(line("m-5", "written again"))
        self.assertFalse(self.run_json("space", "salvage", "--dry-run")["needed"])

    def test_a_salvage_killed_at_any_time_is_done_by_the_next_one(self):
        tables = self.dual("store.1", "data.mdb")
        self.put(line("base"))
        saved = tables.read_bytes()
        self.put(*(line(f"m-{i:03}", f"number {i:03}") for i in range(200)))
        self.put(line("last"))
        tables.write_bytes(saved)
        self.damage(b"number 100")
        damaged = self.folder / "damaged"
        shutil.copytree(self.root, damaged)
        self.run_json("space", "salvage", "--yes")
        expected = self.memories()
        self.assertLess(len(expected), 202)
        unfinished = 0
        for step in range(12):
            shutil.rmtree(self.root)
            shutil.copytree(damaged, self.root)
            process = subprocess.Popen([str(harness.BINARIES / "engram"), "space", "salvage", "--yes",
                                        "--json", "--data-root", str(self.root)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=0.004 * (step + 1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                unfinished += 1
            self.run_json("space", "salvage", "--yes")
            self.assertEqual(self.memories(), expected, f"killed in step {step}")
            self.assertTrue(self.run_json("verify")["ok"])
        self.assertGreater(unfinished, 0)

    def test_writes_that_only_the_log_had_are_lost_alone(self):
        self.put(line("base", "base"), line("mix", "mix one"), line("twice", "twice one"))
        tables = next(self.dual().glob("store.*")) / "data.mdb"
        saved = tables.read_bytes()
        self.put(line("gone", "only here"))
        other = ["3f400000"] * 768
        self.put(line("mix", "mix two", other))
        self.put(line("mix", "mix three", other))
        self.run_ok("memory", "delete", "twice")
        deleted = self.stats()["lsn"]
        self.put(line("twice", "twice two"))
        self.put(line("last", "last"))
        # The tables as they were: everything since stands in the log alone.
        tables.write_bytes(saved)
        inspected = [json.loads(x) for x in harness.engram(
            "inspect", "log", self.dual().parent, "--jsonl").out.splitlines()]
        segment, _ = self.damage(b"only here", b"mix two")
        place = next(x["offset"] for x in inspected if x["lsn"] == deleted and x["type"] == 1)
        data = bytearray(segment.read_bytes())
        data[place + 20] ^= 1
        segment.write_bytes(data)
        shown = self.run_json("space", "salvage", "--dry-run")
        self.assertEqual(shown["lost_writes"], 3, shown)
        self.assertIn((deleted, deleted),
                      [(x["first_lsn"], x["last_lsn"]) for x in shown["lost"]])
        done = self.run_json("space", "salvage", "--yes")
        self.assertEqual([m["id"] for m in done["mixed"]], ["mix"])
        self.assertEqual([m["id"] for m in done["quarantined"]], ["twice"], "the deleted one")
        self.assertTrue(done["verification"]["ok"])
        found = {m["id"]: m for m in self.memories()}
        self.assertEqual(set(found), {"base", "mix", "twice", "last"})
        self.assertEqual(found["mix"]["content"], "mix three")
        self.assertEqual(found["mix"]["embedding"], VECTOR, "the one that is left")
        self.assertEqual(found["twice"]["content"], "twice two")
        self.assertTrue(self.run_json("verify")["ok"])
        self.put(line("gone", "again"))
        self.assertEqual(self.stats()["count"], 5)

    def test_a_source_comes_in_over_a_record_without_a_readable_head_after_salvage(self):
        source = harness.FIXTURES / "plain" / "data"
        self.run_ok("migrate-dual", "--source", source)
        before = self.memories()
        tables = self.dual("store.1", "data.mdb")
        data = tables.read_bytes()
        digest = bytes.fromhex(before[20]["digest"])
        self.assertGreaterEqual(data.count(digest), 2, "in the old head and in the dual one")
        tables.write_bytes(data.replace(digest, bytes([digest[0] ^ 1]) + digest[1:]))
        refused = harness.engram("migrate-dual", "--source", source, "--json", "--data-root",
                                 self.root)
        self.assertEqual(refused.code, 1, refused)
        error = refused.json["error"]
        self.assertEqual(error["code"], "CORRUPTION", refused)
        self.assertIn("data.mdb, table heads, key", error["message"])
        self.assertIn("`engram space salvage --yes`", error["hint"])
        done = self.run_json("space", "salvage", "--yes")
        self.assertEqual([m["id"] for m in done["quarantined"]], [before[20]["id"]])
        self.run_ok("migrate-dual", "--source", source)
        self.assertTrue(self.run_json("verify", "--source", source)["ok"])

        def content(memories):
            return [{k: m[k] for k in m if k != "lsn"} for m in memories]

        self.assertEqual(content(self.memories()), content(before))

    def test_an_intact_space_needs_nothing(self):
        self.run_ok("memory", "put", "--jsonl", "-", stdin=line("a") + line("b"))
        for flag in ([], ["--dry-run"], ["--yes"]):
            report = self.run_json("space", "salvage", *flag)
            self.assertFalse(report["needed"])
            self.assertEqual(report["intact"], 2)
        self.assertFalse((self.root / "default" / "dual" / "snapshots").exists())

    def test_help_teaches_and_a_missing_space_is_refused(self):
        self.assertIn("engram space salvage --dry-run",
                      harness.engram("space", "salvage", "--help").out)
        missing = harness.engram("space", "salvage", "--yes", "--json", "--space", "nowhere",
                                 "--data-root", self.root)
        self.assertEqual(missing.code, 1)
        self.assertEqual(missing.json["error"]["code"], "NOT_FOUND")


if __name__ == "__main__":
    unittest.main()
