#!/usr/bin/env python3
"""The independent recomputation of digests agrees with the engine's golden encodings."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "recompute_digest.py")
GOLDEN = os.path.join(ROOT, "tests", "format", "golden")

spec = importlib.util.spec_from_file_location("recompute_digest", SCRIPT)
recompute_digest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recompute_digest)

EMPTY_SUM = "e5a00aa9991ac8a5ee3109844d84a55583bd20572ad3ffcd42792f3c36b183ad"
CONCEPT = {"type": "concept", "coherence": "3f000000", "instance_count": 12,
           "formation_time": "2025-11-21T18:57:13.500Z", "uuid": "ignored", "bindings": 3}
EPISODE = {"type": "episode", "strength": "3f000000", "consolidation_score": "3e800000"}
UNSET = {"type": "episode", "strength": None, "consolidation_score": None}


def golden_embedding():
    values = ["%08x" % (0x3F000000 + i * 0x10001) for i in range(768)]
    values[1] = "ff800001"
    return values


def golden_record(node):
    """The listing of GoldenMemory() in tests/testing/record_generator.cc, written by hand."""
    return {
        "id": "m1", "content": "hi", "when": "2025-11-21T18:57:13.123456789Z", "where": "Lab",
        "who": ["Al", "Bo"], "embedding": golden_embedding(),
        "embedding_provenance": {
            "model_name": "m", "model_version": "1", "dimension": 768, "language": "en",
            "created_at_s": 1763751433, "quality_score": "3f400000", "metadata": {"b": "2", "a": "1"}},
        "activation": "3f451eb8",
        "confidence": {"encoding": "3f666666", "vividness": "7f800001", "reliability": "80000000"},
        "decay_rate": "3d4ccccd",
        "decay_function": {"hybrid": {"short_term_tau": "3f4ccccd", "long_term_beta": "3e800000",
                                      "transition_point": 86400}},
        "last_recall": "2016-12-31T23:59:60.500Z", "recall_count": 7,
        "last_access": "1969-12-31T23:59:59.999999999Z", "access_count": 0x0102030405060708,
        "created_at": "+10000-01-01T00:00:00.000120Z",
        "metadata": {"k": "new", "\u6771": "v"}, "layout": "E3", "lsn": 9, "tier": "hot",
        "node": node, "format": "old"}


def bare_record():
    return {
        "id": "", "content": None, "when": None, "where": None, "who": None,
        "embedding": ["00000000"] * 768, "embedding_provenance": None, "activation": "7fc12345",
        "confidence": {"encoding": "3f000000", "vividness": None, "reliability": None},
        "decay_rate": "00000000", "decay_function": None, "last_recall": None, "recall_count": None,
        "last_access": None, "access_count": None, "created_at": None, "metadata": {},
        "layout": None, "node": UNSET}


def golden(name):
    with open(os.path.join(GOLDEN, name), "rb") as file:
        return file.read()


def run(arguments, stdin):
    done = subprocess.run([sys.executable, SCRIPT, *arguments], input=stdin, text=True,
                          stdout=subprocess.PIPE, check=False)
    return done.returncode, json.loads(done.stdout)


def listing(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


class CanonicalEncoding(unittest.TestCase):
    def test_agrees_with_the_engines_golden_bytes(self):
        canonical = recompute_digest.canonical
        self.assertEqual(canonical(golden_record(EPISODE)), golden("canonical-episode.bin"))
        self.assertEqual(canonical(golden_record(CONCEPT)), golden("canonical-concept.bin"))
        self.assertEqual(canonical(bare_record()), golden("canonical-bare.bin"))

    def test_reads_neither_digest_nor_embedding_hash(self):
        record = golden_record(EPISODE)
        record.update(digest="0" * 64, embedding_sha256="0" * 64)
        self.assertEqual(recompute_digest.canonical(record), golden("canonical-episode.bin"))


class Digests(unittest.TestCase):
    def test_empty_listing(self):
        code, result = run([], "")
        self.assertEqual((code, result["count"], result["digest"]), (0, 0, EMPTY_SUM))

    def test_tiers_and_space(self):
        code, result = run([], listing(golden_record(EPISODE), bare_record()))
        self.assertEqual(code, 0)
        self.assertEqual({tier: value["count"] for tier, value in result["tiers"].items()},
                         {"hot": 1, "warm": 0, "cold": 1})
        self.assertEqual(result["tiers"]["warm"]["digest"], EMPTY_SUM)
        self.assertEqual(run([], listing(bare_record(), golden_record(EPISODE)))[1], result)

    def test_lane_sums_of_many(self):
        fast = recompute_digest.LaneSum()
        lanes = [0] * 1024
        for i in range(40):
            digest = hashlib.sha256(b"%d" % (i % 7)).digest()
            fast.add(digest)
            one = recompute_digest.LaneSum()
            one.add(digest)
            packed = (one.even | one.odd << 16).to_bytes(2048, "little")
            for lane in range(1024):
                lanes[lane] += int.from_bytes(packed[2 * lane:2 * lane + 2], "little")
        plain = b"".join((lane & 0xFFFF).to_bytes(2, "little") for lane in lanes)
        self.assertEqual(fast.publish(), hashlib.sha256(plain).hexdigest())

    def test_known_lane_sums(self):  # the values of lthash_test.cc
        total = recompute_digest.LaneSum()
        for text in (b"b", b"a", b"b"):
            total.add(hashlib.sha256(text).digest())
        self.assertEqual(total.publish(),
                         "3b8c70add7569971494dd09fc95f3b04334d923198f81ac588e1dca6b1046c6a")

    def test_thresholds(self):
        for bits, tier in (("3f333333", "hot"), ("3f333332", "warm"), ("3e99999a", "warm"),
                           ("3e999999", "cold"), ("7fc00000", "cold"), ("7f800000", "hot")):
            self.assertEqual(recompute_digest.tier_of(bits), tier, bits)


class Comparing(unittest.TestCase):
    def compare(self, change):
        lines = listing(golden_record(EPISODE))
        published = run([], lines)[1]
        published["space"] = "default"
        change(published)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"ok": True, "spaces": [{"space": "other"}, published]}, file)
            file.flush()
            return run(["--compare", file.name], lines)

    def test_equal(self):
        self.assertEqual(self.compare(lambda published: None)[0], 0)

    def test_each_published_value_is_compared(self):
        for change in (lambda p: p.update(digest=EMPTY_SUM), lambda p: p.update(count=2),
                       lambda p: p["tiers"]["hot"].update(digest=EMPTY_SUM),
                       lambda p: p["tiers"]["cold"].update(count=1),
                       lambda p: p.pop("tiers"), lambda p: p.update(space="elsewhere")):
            code, result = self.compare(change)
            self.assertEqual((code, result["ok"]), (1, False))

    def test_listings_without_exact_or_embeddings_are_refused(self):
        for change in ({"activation": 0.5}, {"embedding": None}, {"embedding": ["00000000"]}, {"node": None}):
            code, result = run([], listing({**golden_record(EPISODE), **change}))
            self.assertEqual(code, 1)
            self.assertIn("line 1", result["error"])


if __name__ == "__main__":
    unittest.main()
