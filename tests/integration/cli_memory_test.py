#!/usr/bin/env python3
"""`engram memory` on a real store: what is put is listed, bit by bit, in order, and acknowledged."""
import json
import signal
import subprocess
import unittest

import harness

VECTOR = ["3f000000"] * 768


def line(identity, **keys):
    return json.dumps({"id": identity, "embedding": VECTOR, **keys}) + "\n"


# Every optional part, non-finite floats, odd texts.
FULL = {
    "content": "caf\u00e9\u0000 \U0001f600 \"quoted\"\n", "when": "2016-12-31T23:59:60.500Z",
    "where": "", "who": ["a", ""], "activation": "7fc00001",
    "confidence": {"encoding": "80000000", "vividness": "7f800000", "reliability": None},
    "decay_rate": "ff800000",
    "decay_function": {"hybrid": {"short_term_tau": "3dcccccd", "long_term_beta": "00000001",
                                  "transition_point": 2**64 - 1}},
    "last_recall": "-0001-01-01T00:00:00Z", "recall_count": 2**32 - 1,
    "last_access": None, "access_count": 2**64 - 1, "created_at": "+10000-01-01T00:00:00Z",
    "metadata": {"z": "1", "a": ""},
    "embedding_provenance": {"model_name": "m", "model_version": "", "dimension": 768,
                             "language": None, "created_at_s": 2**64 - 1,
                             "quality_score": "7fc00000", "metadata": {"k": "v"}},
}
ODD_IDS = ["", "a", "a\u0000b", "[x,y]", "-dash", "--json", "\u00e9", "\U0001f600", "mem_1", "Z" * 600]


class MemoryTest(harness.StoreTest):
    def put(self, text, *arguments):
        return self.run_ok("memory", "put", "--jsonl", "-", *arguments, stdin=text)

    def test_every_field_survives_bit_by_bit(self):
        self.put(line("full", **FULL))
        found = self.memories()[0]
        for key, value in FULL.items():
            self.assertEqual(found[key], value, key)
        self.assertEqual(found["embedding"], VECTOR)
        self.assertEqual(found["tier"], "cold")  # NaN is cold

    def test_a_list_put_into_another_space_gives_the_same_list(self):
        self.put("".join(line(i, **FULL) for i in ODD_IDS) + line("plain"))
        for mode in ("legacy", "dual"):
            listing = self.run_ok("memory", "list", "--jsonl", "--exact", "--embeddings").out
            self.run_ok("space", "mode", mode, "--space", "copy-" + mode)
            self.put(listing, "--space", "copy-" + mode)
            copies = self.memories(f"copy-{mode}", "memory")
            for original, copy in zip(map(json.loads, listing.splitlines()), copies, strict=True):
                del original["lsn"], copy["lsn"]
                self.assertEqual(original, copy)

    def test_lists_are_sorted_by_the_bytes_of_the_id_and_can_be_paged(self):
        self.put("".join(map(line, reversed(ODD_IDS))))
        expected = sorted(ODD_IDS, key=lambda i: i.encode())
        self.assertEqual([m["id"] for m in self.memories()], expected)
        pages, after = [], None
        while True:
            extra = [] if after is None else [f"--after={after}"]
            if after is not None and "\0" in after:  # no argument of a process can hold NUL
                extra = ["--after=" + after.split("\0")[0] + "\u0001"]
            out = self.run_ok("memory", "list", "--jsonl", "--limit", 1, *extra).out
            if not out:
                break
            after = json.loads(out)["id"]
            pages.append(after)
        self.assertEqual(pages, expected)

    def test_acknowledgements_are_in_order_with_rising_lsns(self):
        out = self.put("".join(line(f"m{i}") for i in range(3000))).out
        acks = [json.loads(text) for text in out.splitlines()]
        self.assertEqual([a["id"] for a in acks], [f"m{i}" for i in range(3000)])
        lsns = [a["lsn"] for a in acks]
        self.assertEqual(lsns, sorted(set(lsns)))
        self.assertEqual(self.stats()["count"], 3000)

    def test_an_acknowledgement_does_not_wait_for_the_end_of_input(self):
        process = subprocess.Popen(
            [harness.BINARIES / "engram", "memory", "put", "--jsonl", "-", "--quiet",
             "--data-root", self.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        try:
            for i in range(3):
                process.stdin.write(line(f"m{i}"))
                process.stdin.flush()
                self.assertEqual(json.loads(process.stdout.readline())["id"], f"m{i}")
            refused = harness.engram("memory", "list", "--json", "--data-root", self.root)
            self.assertEqual(refused.code, 1, "the lease is held until the end of input")
            self.assertEqual(refused.json["error"]["code"], "BUSY")
        finally:
            process.stdin.close()
            self.assertEqual(process.wait(30), 0)
        self.assertEqual(len(self.memories()), 3)

    def test_everything_before_a_bad_line_is_stored_and_acknowledged(self):
        text = line("a") + "\n" + line("b") + '{"id": "c"}\n' + line("d")
        result = harness.engram("memory", "put", "--jsonl", "-", "--data-root", self.root,
                                stdin=text)
        self.assertEqual(result.code, 1)
        self.assertEqual([json.loads(x)["id"] for x in result.out.splitlines()], ["a", "b"])
        self.assertIn("line 4", result.err)
        self.assertIn("embedding", result.err)
        self.assertEqual([m["id"] for m in self.memories()], ["a", "b"])

    def test_a_time_outside_the_grammar_names_its_line_too(self):
        text = line("a") + line("b", when="yesterday")
        result = harness.engram("memory", "put", "--jsonl", "-", "--json", "--data-root",
                                self.root, stdin=text)
        self.assertEqual(result.code, 1)
        self.assertEqual(result.json["stored"], 1)
        self.assertIn("line 2", result.json["error"]["message"])

    def test_json_gives_one_object_for_put_delete_list_and_get(self):
        put = self.put(line("a") + line("b"), "--json").json
        self.assertTrue(put["ok"])
        self.assertEqual([a["id"] for a in put["acknowledged"]], ["a", "b"])
        listed = self.run_json("memory", "list")
        self.assertEqual([m["id"] for m in listed["memories"]], ["a", "b"])
        self.assertEqual(self.run_json("memory", "get", "a")["id"], "a")
        deleted = self.run_json("memory", "delete", "a")
        self.assertEqual(deleted["deleted"], 1)

    def test_get_of_an_unknown_id_is_exit_1(self):
        self.put(line("a"))
        for flags in ([], ["--json"]):
            result = harness.engram("memory", "get", "nix", "--data-root", self.root, *flags)
            self.assertEqual(result.code, 1)
        self.assertEqual(result.json["error"]["code"], "NOT_FOUND")
        self.assertIn("nix", result.json["error"]["message"])

    def test_deletes_by_argument_and_by_line(self):
        self.put("".join(map(line, ODD_IDS)) + line("kept"))
        by_argument = [i for i in ODD_IDS if "\0" not in i]
        result = harness.engram("memory", "delete", "--data-root", self.root, "--", *by_argument)
        self.assertEqual(result.code, 0, result)
        self.assertEqual([json.loads(x)["id"] for x in result.out.splitlines()], by_argument)
        self.run_ok("memory", "delete", "--jsonl", "-", stdin=json.dumps({"id": "a\0b"}))
        self.assertEqual([m["id"] for m in self.memories()], ["kept"])
        again = harness.engram("memory", "delete", "a", "kept", "--data-root", self.root)
        self.assertEqual(again.code, 1)
        acks = [json.loads(x) for x in again.out.splitlines()]
        self.assertIsNone(acks[0]["lsn"])
        self.assertGreater(acks[1]["lsn"], 0)

    def test_missing_keys_take_defaults_and_null_is_absent(self):
        self.put(line("default") + line("null", created_at=None, last_access=None,
                                        access_count=None, confidence={"encoding": 0.25}))
        default, null = self.memories()
        self.assertEqual(default["activation"], default["confidence"]["encoding"])
        self.assertEqual(default["access_count"], 0)
        self.assertEqual(default["decay_rate"], "3dcccccd")
        self.assertIsNotNone(default["created_at"])
        self.assertIsNone(default["content"])
        self.assertIsNone(null["created_at"])
        self.assertIsNone(null["access_count"])
        self.assertEqual(null["activation"], "3e800000")

    def test_decimals_without_exact_are_the_shortest_that_round_trip(self):
        self.put(line("a", activation=0.9, decay_rate="NaN",
                      confidence={"encoding": 1, "vividness": "-Infinity"}))
        result = self.run_ok("memory", "get", "a", "--json", "--embeddings")
        found = result.json
        self.assertEqual(found["activation"], 0.9)
        self.assertEqual(found["decay_rate"], "NaN")
        self.assertEqual(found["confidence"]["vividness"], "-Infinity")
        self.assertEqual(found["embedding"], [0.5] * 768)
        self.assertIn('"activation":0.9,', result.out)

    def test_the_dual_view_adds_node_and_format(self):
        self.put(line("a"))
        self.assertNotIn("node", self.memories(view="memory")[0])
        found = self.memories()[0]
        self.assertEqual(found["format"], "old")
        self.assertEqual(found["node"]["type"], "episode")
        self.assertIsNone(found["node"]["strength"])
        self.assertEqual(found["node"]["uuid"][14], "8")

    def test_a_closed_output_ends_quietly(self):
        self.put("".join(line(f"m{i}") for i in range(500)))
        command = (f"{harness.BINARIES}/engram memory list --jsonl --exact --embeddings "
                   f"--data-root {self.root} | head -1")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        self.assertEqual(json.loads(done.stdout)["id"], "m0")

    def test_sigterm_on_a_put_keeps_what_is_acknowledged(self):
        process = subprocess.Popen(
            [harness.BINARIES / "engram", "memory", "put", "--jsonl", "-", "--data-root",
             self.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        process.stdin.write(line("a"))
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertIn("interrupted", err)
        self.assertEqual([m["id"] for m in self.memories()], ["a"])

    def test_kill_9_keeps_what_is_acknowledged(self):
        for _ in range(harness.scaled(5, 50, 2)):
            process = subprocess.Popen(
                [harness.BINARIES / "engram", "memory", "put", "--jsonl", "-", "--data-root",
                 self.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            process.stdin.write("".join(line(f"k{i}") for i in range(40)).encode())
            process.stdin.flush()
            acks = [json.loads(process.stdout.readline())["id"] for _ in range(20)]
            process.kill()
            process.stdin.close()
            acks += [json.loads(x)["id"] for x in process.stdout.read().splitlines()
                     if x.endswith(b"}")]
            process.stdout.close()
            process.wait()
            self.assertLessEqual(set(acks), {m["id"] for m in self.memories()})

    def test_both_ways_of_log_io_give_the_same(self):
        for io in ("uring", "pwrite"):
            result = harness.engram("memory", "put", "--jsonl", "-", "--log-io", io, "--log-level",
                                    "info", "--data-root", self.root, "--space", "io-" + io,
                                    stdin=line("a"))
            if io == "uring" and result.code != 0:
                self.assertIn("uring", result.err)  # a kernel that refuses it says so
                continue
            self.assertEqual(result.code, 0, result)
            self.assertEqual(len(self.memories("io-" + io)), 1)


if __name__ == "__main__":
    unittest.main()
