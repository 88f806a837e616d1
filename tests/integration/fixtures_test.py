#!/usr/bin/env python3
"""Every directory that a real upstream server wrote comes out exactly: all fields, all bits, all
ids, all damage. What is expected is derived here from the fixtures' manifests, by the merge rules
of the design, and shares nothing with the product."""
import hashlib
import json
import shutil
import struct
import subprocess
import unittest

from harness import BINARIES, FIXTURES, ROOT, StoreTest, engram, tree_hash

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


def space_of(path):
    parts = path.split("/")
    return "default" if len(parts) < 3 else parts[0]


def provenance(record):
    source = record.get("provenance")
    if source is None:
        return None
    return {"model_name": source["name"], "model_version": source["version"],
            "dimension": source["dimension"], "language": source["language"],
            "created_at_s": source["created_at_s"], "quality_score": source["quality"],
            "metadata": source["metadata"]}


def decay_function(record):
    source = record.get("decay_function")
    if source is None:
        return None
    (kind, value), = source.items()
    if kind == "exponential":
        return {kind: {"tau_hours": value}}
    if kind == "power_law":
        return {kind: {"beta": value}}
    if kind == "two_component":
        return {kind: {"consolidation_threshold": value}}
    return {kind: value if isinstance(value, dict) else
            dict(zip(("short_term_tau", "long_term_beta", "transition_point"), value))}


def empty():
    return {"content": None, "when": None, "where": None, "who": None,
            "embedding_provenance": None, "decay_function": None, "last_recall": None,
            "recall_count": None, "last_access": None, "access_count": None, "created_at": None,
            "metadata": {}, "vividness": None, "reliability": None}


def apply(state, record):
    """The state of one id after one more record of the log."""
    if record["type"] == 3:
        return None
    new = dict(state) if state else empty()
    new["layout"] = record["layout"]
    new["embedding_sha256"] = record["embedding_sha256"]
    new["decay_rate"] = record["decay_rate_bits"]
    new["encoding"] = record["confidence_bits"][0]
    new["embedding_provenance"] = provenance(record)
    if record["type"] == 1:
        new["vividness"], new["reliability"] = record["confidence_bits"][1:]
        new["activation"] = record["confidence_bits"][0]
        new["content"] = record["what"]
        for key in ("when", "where", "who", "last_recall", "recall_count", "metadata"):
            new[key] = record[key]
        new["decay_function"] = decay_function(record)
    else:
        for key in ("content", "last_access", "access_count", "created_at"):
            new[key] = record[key]
        if record["activation_bits"] != "00000000" or not state:
            new["activation"] = record["activation_bits"]
    return new


def expected(manifest):
    """space -> id -> fields, and the damage of every file, from a manifest."""
    spaces, damage = {}, []
    for file in manifest["files"]:
        memories = spaces.setdefault(space_of(file["path"]), {})
        for record in file["records"]:
            if "damage" in record:
                damage.append((file["path"], record["offset"], record["end"] - record["offset"],
                               record["damage"]))
                continue
            name = record.get("id", record.get("delete"))
            if record["type"] > 3 or name is None:
                continue
            state = apply(memories.get(name), record)
            if state is None:
                memories.pop(name, None)
            else:
                memories[name] = state
    return spaces, damage


def bits(value):
    return struct.unpack(">f", bytes.fromhex(value))[0]


def tier(activation):
    value = bits(activation)
    if value >= bits("3f333333"):
        return "hot"
    return "warm" if value >= bits("3e99999a") else "cold"


def flatten(memory):
    """A line of `memory list` in the shape of `empty()`."""
    flat = {key: memory[key] for key in
            ("content", "when", "where", "who", "embedding_provenance", "activation", "decay_rate",
             "decay_function", "last_recall", "recall_count", "last_access", "access_count",
             "created_at", "metadata", "layout", "embedding_sha256")}
    flat.update({key: memory["confidence"][key] for key in ("encoding", "vividness", "reliability")})
    return flat


class FixturesTest(StoreTest):
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

    def check_space(self, report, space, memories):
        listed = {m["id"]: m for m in self.memories(space)}
        self.assertEqual(sorted(listed), sorted(memories))
        self.assertEqual([m for m in listed], sorted(memories, key=lambda i: i.encode()))
        for name, fields in memories.items():
            memory = listed[name]
            self.assertEqual(flatten(memory), fields, f"{space}: {name!r}")
            raw = b"".join(bytes.fromhex(x)[::-1] for x in memory["embedding"])
            self.assertEqual(hashlib.sha256(raw).hexdigest(), fields["embedding_sha256"])
            self.assertEqual(memory["tier"], tier(fields["activation"]))
            self.assertEqual(memory["format"], "dual")
            self.assertEqual(memory["node"]["type"], "episode")
        self.check_counts(report, memories)
        digest = report["digest"]
        self.assertEqual(digest["source"], digest["before"])
        self.assertEqual(digest["before"], digest["after"])
        self.assertEqual(self.stats(space)["digest"], digest["after"])

    def check_counts(self, report, memories):
        source = report["source"]
        self.assertEqual(report["found"], len(memories))
        self.assertEqual(report["converted"], len(memories))
        self.assertEqual(report["remaining_old"], 0)
        self.assertEqual(source["episodes"] + source["memories"],
                         report["found"] + source["versions_superseded"] + source["duplicates"])

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

    def test_generator_is_byte_exact(self):
        """Re-encoding is compared record by record in tests/compat; here: the generator's own
        directories come out as its manifest says."""
        out = self.folder / "generated"
        manifest = self.folder / "manifest.json"
        done = subprocess.run([str(BINARIES / "upstream_log_gen"), "--out", str(out), "--records",
                               "400", "--seed", "7", "--spaces", "2", "--versions", "20",
                               "--deletes", "10", "--layouts", "E0,E1,E2,E3,M", "--damage", "all",
                               "--manifest", str(manifest)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = self.run_json("migrate-dual", "--source", out)
        want, _ = expected(json.loads(manifest.read_text()))
        for space in report["spaces"]:
            self.check_space(space, space["space"], want[space["space"]])


def add_source_tests():
    for fixture, folder, manifest in SOURCES:
        def test(self, f=fixture, d=folder, m=manifest):
            self.check(f, d, m)
        name = f"test_{fixture}_{folder}_comes_out_exactly".replace("-", "_")
        setattr(FixturesTest, name, test)


add_source_tests()

if __name__ == "__main__":
    unittest.main()
