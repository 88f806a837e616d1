#!/usr/bin/env python3
"""Every directory that a real upstream server wrote comes out exactly: all fields, all bits, all
ids, all damage. What is expected is derived here from the fixtures' manifests, by the merge rules
of the design, and shares nothing with the product."""
import json
import shutil
import subprocess
import unittest

from harness import BINARIES, FIXTURES, ROOT, engram, tree_hash
from upstream_records import RecordsTest, expected

# fixture, folder below it, manifest file
SOURCES = [
    ("plain", "data", "manifest.json"),
    ("spaces", "data", "manifest.json"),
    ("restart", "data", "manifest.json"),
    ("restart", "live", "live.manifest.json"),
    ("restart", "unlinked", "unlinked.manifest.json"),
    ("killed", "data", "manifest.json"),
    ("duplicates", "data", "manifest.json"),
    ("grpc", "data", "manifest.json"),
    ("legacy-e0", "data", "manifest.json"),
    ("legacy-e2", "data", "manifest.json"),
    ("older-e2", "data", "manifest.json"),
    ("made-e1", "data", "manifest.json"),
    ("all-types", "data", "manifest.json"),
    ("damaged", "data", "manifest.json"),
]


class FixturesTest(RecordsTest):
    def check(self, fixture, folder, manifest_name):
        source = FIXTURES / fixture / folder
        manifest = json.loads((FIXTURES / fixture / manifest_name).read_text())
        before = tree_hash(source)
        report = self.run_json("migrate-dual", "--source", source)
        self.assertEqual(tree_hash(source), before, "the source was changed")
        want, damage = expected(manifest)

        found_damage = []
        reports = {r["space"]: r for r in report["spaces"]}
        for space, memories in want.items():
            self.check_space(reports[space], space, memories)
            prefix = reports[space]["source"]["damaged"]
            found_damage += [(d["file"], d["offset"], d["length"], d["kind"]) for d in prefix]
        self.assertEqual(self.relative(source, found_damage), sorted(damage))
        return reports

    def relative(self, source, damage):
        marker = str(source) + "/"
        return sorted((f[len(marker):] if f.startswith(marker) else f, o, n, k)
                      for f, o, n, k in damage)

    def test_digest_is_recomputed_by_another_language(self):
        self.run_ok("migrate-dual", "--source", FIXTURES / "all-types" / "data")
        listing = self.folder / "list.jsonl"
        listing.write_text(self.run_ok("memory", "list", "--jsonl", "--exact", "--embeddings",
                                       "--view", "dual").out)
        stats = self.folder / "stats.json"
        stats.write_text(self.run_ok("space", "stats", "--json").out)
        script = ["/usr/bin/python3", str(ROOT / "scripts" / "recompute_digest.py")]
        done = subprocess.run([*script, str(listing), "--compare", str(stats)], capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        changed = listing.read_text().replace('"3f000000"', '"3f000001"', 1)
        self.assertNotEqual(changed, listing.read_text())
        listing.write_text(changed)
        done = subprocess.run([*script, str(listing), "--compare", str(stats)], capture_output=True)
        self.assertEqual(done.returncode, 1)

    def test_every_step_keeps_the_digest(self):
        source = FIXTURES / "plain" / "data"
        digest = self.run_json("migrate-dual", "--source", source)["spaces"][0]["digest"]["after"]
        self.assertEqual(self.run_json("verify", "--source", source)["mismatched"], [])
        self.assertEqual(self.run_json("migrate-dual", "rollback")["digest"], digest)
        self.assertEqual(self.run_json("space", "mode")["mode"], "legacy")
        self.assertEqual(self.run_json("migrate-dual")["spaces"][0]["digest"]["after"], digest)
        compacted = self.run_json("compact")
        self.assertEqual((compacted["digest_before"], compacted["digest_after"]), (digest, digest))
        self.assertEqual(self.run_json("compact", "--finalize")["finalized"], True)
        self.assertEqual(self.stats()["digest"], digest)
        self.assertEqual(self.stats()["mode"], "finalized")
        refused = engram("migrate-dual", "rollback", "--data-root", self.root, "--json")
        self.assertEqual(refused.code, 1)
        self.assertEqual(self.run_json("verify", "--source", source)["ok"], True)

    def test_the_same_source_again_adds_nothing(self):
        source = FIXTURES / "all-types" / "data"
        self.run_ok("migrate-dual", "--source", source)
        before = self.memories()
        self.run_ok("memory", "delete", before[0]["id"])
        changed = dict(before[1], content="changed here")
        self.run_ok("memory", "put", "--jsonl", "-", stdin=json.dumps(changed) + "\n")
        report = self.run_json("migrate-dual", "--source", source)["spaces"][0]
        self.assertEqual(report["digest"]["source"], report["digest"]["after"])
        after = {m["id"]: m for m in self.memories()}
        self.assertNotIn(before[0]["id"], after)
        self.assertEqual(after[before[1]["id"]]["content"], "changed here")
        self.assertEqual(len(after), len(before) - 1)

    def test_upstream_directory_as_data_root_gains_only_dual(self):
        shutil.copytree(FIXTURES / "plain" / "data", self.root, dirs_exist_ok=True)
        default = self.root / "default"
        for name in ("hot", "warm", "cold"):
            (default / name).mkdir()
        with open(default / "warm_tier.dat", "wb") as sparse:
            sparse.truncate(3136000096)
        names = sorted(p.name for p in default.iterdir())
        log = tree_hash(default / "wal")
        self.run_ok("migrate-dual", "--source", self.root)
        self.assertEqual(sorted(p.name for p in default.iterdir()), sorted(names + ["dual"]))
        self.assertEqual(tree_hash(default / "wal"), log)
        self.assertEqual(self.stats()["count"], 54)

    def test_what_the_generator_writes_comes_out_as_its_manifest_says(self):
        """That its encoder writes upstream's bytes is shown record by record in tests/compat."""
        out = self.folder / "generated"
        manifest = self.folder / "manifest.json"
        done = subprocess.run([str(BINARIES / "upstream_log_gen"), "--out", str(out), "--records",
                               "400", "--seed", "7", "--spaces", "2", "--versions", "20",
                               "--deletes", "10", "--layouts", "E0,E1,E2,E3,M", "--damage", "all",
                               "--manifest", str(manifest)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = self.run_json("migrate-dual", "--source", out)
        want, damage = expected(json.loads(manifest.read_text()))
        self.assertEqual({space["space"] for space in report["spaces"]}, set(want))
        found = []
        for space in report["spaces"]:
            self.check_space(space, space["space"], want[space["space"]])
            found += [(d["file"], d["offset"], d["length"], d["kind"])
                      for d in space["source"]["damaged"]]
        self.assertGreater(len(damage), 3)
        self.assertEqual(sorted(found), sorted(damage))


def add_source_tests():
    for fixture, folder, manifest in SOURCES:
        def test(self, f=fixture, d=folder, m=manifest):
            self.check(f, d, m)
        name = f"test_{fixture}_{folder}_comes_out_exactly".replace("-", "_")
        setattr(FixturesTest, name, test)


add_source_tests()

if __name__ == "__main__":
    unittest.main()
