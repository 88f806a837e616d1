#!/usr/bin/env python3
"""Jobs that must not go on: each refusal says what is wrong and what to do, exits 1, and leaves
store and source as they are, byte for byte."""
import hashlib
import os
import shutil
import signal
import subprocess
import time
import unittest

import harness
from harness import FIXTURES, engram, tree_hash


class BadInputTest(harness.StoreTest):
    def stored(self, root=None):
        """Every file of a data root but the lock files, which say who looked."""
        return [e for e in tree_hash(root or self.root) if "lock" not in e[0].lower()]

    def refused(self, *arguments, code, say, hint):
        before = self.stored()
        plain = engram(*arguments, "--data-root", self.root)
        self.assertEqual((plain.code, plain.out), (1, ""), plain)
        errors = [x for x in plain.err.splitlines() if x.startswith("engram: ")]
        self.assertEqual(len(errors), 1, plain)
        error = engram(*arguments, "--data-root", self.root, "--json")
        self.assertEqual(error.code, 1, error)
        error = error.json["error"]
        self.assertEqual(error["code"], code, error)
        self.assertIn(say, error["message"])
        self.assertIn(hint, error["hint"])
        self.assertEqual(self.stored(), before)


class CheckpointTest(BadInputTest):
    """A migration is interrupted; what its checkpoint belongs to is taken away or changed."""

    def setUp(self):
        super().setUp()
        self.source = self.folder / "source"
        made = harness.tool("upstream_log_gen", "--out", self.source, "--records", 3000,
                            "--seed", 7)
        self.assertEqual(made.code, 0, made)
        self.interrupted(self.root)
        self.resume = ["migrate-dual", "--source", self.source, "--resume"]
        self.checkpoint = self.root / "default" / "dual" / "migration" / "checkpoint.bin"

    def interrupted(self, root):
        process = subprocess.Popen(
            [harness.BINARIES / "engram", "migrate-dual", "--source", self.source, "--data-root",
             root, "--checkpoint-interval=200", "--batch-size=100", "--rate-limit=1000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for text in process.stderr:
            if "ingest:" in text:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(60), 1)

    def goes_on(self):
        report = self.run_json(*self.resume)
        self.assertTrue(report["resumed"])
        digest = report["spaces"][0]["digest"]
        self.assertEqual(digest["source"], digest["after"])

    def test_the_status_names_the_source_whose_ingest_did_not_end(self):
        status = self.run_json("migrate-dual", "status")["spaces"][0]
        self.assertEqual(status["unfinished_sources"], [str(self.source.resolve())])
        told = harness.engram("migrate-dual", "status", "--data-root", self.root)
        self.assertIn(str(self.source), told.err)
        self.goes_on()
        status = self.run_json("migrate-dual", "status")["spaces"][0]
        self.assertEqual(status["unfinished_sources"], [])

    def test_resuming_again_and_again_with_a_rate_limit_comes_to_the_end(self):
        nodes = []
        for _ in range(20):
            process = subprocess.Popen(
                [harness.BINARIES / "engram", *self.resume, "--data-root", self.root, "--quiet",
                 "--rate-limit=1500", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(0.7)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            if process.returncode == 0:
                break
            status = self.run_json("migrate-dual", "status")["spaces"][0]
            nodes.append(status["checkpoint"]["nodes"])
        self.assertEqual(process.returncode, 0, nodes)
        self.assertEqual(nodes[:2], sorted(nodes[:2]))  # later ones are of the conversion
        self.assertTrue(self.run_json("verify", "--source", self.source)["ok"])

    def test_a_status_does_not_show_the_checkpoint_of_another_store(self):
        other = self.folder / "other"
        self.interrupted(other)
        shutil.copy(other / "default" / "dual" / "migration" / "checkpoint.bin", self.checkpoint)
        status = self.run_json("migrate-dual", "status")["spaces"][0]
        self.assertIn("another store", status["checkpoint"]["error"])

    def log(self):
        return next(self.source.glob("default/wal/*.log"))

    def test_a_rewritten_source_is_refused_and_one_that_grew_is_not(self):
        original = self.log().read_bytes()
        before = tree_hash(self.source)
        for name, changed in (("a byte", original[:80] + b"\x55" + original[81:]),
                              ("cut", original[:-1000])):
            with self.subTest(name):
                self.log().write_bytes(changed)
                for command in (self.resume, self.resume[:-1], [*self.resume, "--dry-run"]):
                    self.refused(*command, code="FAILED_PRECONDITION", say=self.log().name,
                                 hint="under another path, without --resume")
        self.log().unlink()
        (self.log_folder() / "wal-00000000000000aa.log").write_bytes(original[:5000])
        self.refused(*self.resume, code="FAILED_PRECONDITION", say="is gone",
                     hint="without --resume")
        shutil.rmtree(self.source)
        self.source.mkdir()
        self.log_folder().mkdir(parents=True)
        for name, _ in before:
            if name.endswith(".log"):
                (self.source / name).write_bytes(original)
        self.assertEqual([e for e in tree_hash(self.source) if e[1] != "dir"],
                         [e for e in before if e[1] != "dir"])
        (self.log_folder() / "wal-ffffffffffffff00.log").write_bytes(original[:400])
        self.goes_on()

    def test_a_source_whose_log_was_moved_to_an_archive_is_gone_on_with(self):
        archive = self.log_folder() / ".archive-1"
        archive.mkdir()
        self.log().rename(archive / "wal-0000000000000007.log")
        self.goes_on()

    def test_a_rewritten_source_under_another_path_is_a_source_of_its_own(self):
        self.goes_on()
        original = self.log().read_bytes()
        self.log().write_bytes(original[:80] + b"\x55" + original[81:])
        self.refused(*self.resume[:-1], code="FAILED_PRECONDITION", say="rewritten", hint="copy")
        copy = self.folder / "copy"
        shutil.copytree(self.source, copy)
        report = self.run_json("migrate-dual", "--source", copy)["spaces"][0]
        self.assertEqual(len(report["source"]["damaged"]), 1)
        self.assertEqual(report["digest"]["source"], report["digest"]["after"])

    def log_folder(self):
        return self.source / "default" / "wal"

    def test_a_checkpoint_of_another_store_is_refused(self):
        other = self.folder / "other"
        self.interrupted(other)
        own = self.checkpoint.read_bytes()
        shutil.copy(other / "default" / "dual" / "migration" / "checkpoint.bin", self.checkpoint)
        self.refused(*self.resume, code="FAILED_PRECONDITION", say="another store", hint="--resume")
        self.checkpoint.write_bytes(own)
        self.goes_on()

    def test_a_damaged_or_newer_checkpoint_is_refused(self):
        own = self.checkpoint.read_bytes()
        for at in (0, 13, 40, len(own) - 1):
            self.checkpoint.write_bytes(own[:at] + bytes([own[at] ^ 1]) + own[at + 1:])
            self.refused(*self.resume, code="CORRUPTION", say="checkpoint.bin", hint="--resume")
        self.checkpoint.write_bytes(own[:50])
        self.refused(*self.resume, code="CORRUPTION", say="checkpoint.bin", hint="--resume")
        newer = own[:8] + bytes([9]) + own[9:-32]
        self.checkpoint.write_bytes(newer + hashlib.sha256(newer).digest())
        self.refused(*self.resume, code="UNSUPPORTED", say="version 9", hint="version")
        self.checkpoint.write_bytes(own)
        self.goes_on()

    def test_another_source_than_the_interrupted_one_is_refused(self):
        self.refused("migrate-dual", "--source", FIXTURES / "plain" / "data", "--resume",
                     code="FAILED_PRECONDITION", say="is gone", hint="without --resume")
        for more in ([], ["--dry-run"]):
            self.refused("migrate-dual", "--resume", *more, code="FAILED_PRECONDITION",
                         say=str(self.source), hint="--source")
        self.goes_on()


class StoreFilesTest(BadInputTest):
    def setUp(self):
        super().setUp()
        self.run_ok("migrate-dual", "--source", FIXTURES / "plain" / "data")
        self.dual = self.root / "default" / "dual"

    def test_a_corrupt_segment_is_refused_by_every_command_and_stays(self):
        vector = '["3f000000"' + ',"3f000000"' * 767 + "]"
        lines = "".join(f'{{"id":"m-{i}","content":"number {i}","embedding":{vector}}}\n'
                        for i in range(6))
        for line in lines.splitlines():
            self.run_ok("memory", "put", "--jsonl", "-", stdin=line + "\n")
        segment = next(x for x in sorted((self.dual / "log").glob("*.seg"))
                       if b"number 3" in x.read_bytes())
        data = segment.read_bytes()
        at = data.index(b"number 3")
        segment.write_bytes(data[:at] + b"N" + data[at + 1:])
        for command in (["memory", "list"], ["memory", "get", "m-1"], ["memory", "delete", "m-1"],
                        ["verify"], ["compact"], ["migrate-dual"], ["migrate-dual", "rollback"],
                        ["migrate-dual", "--source", FIXTURES / "plain" / "data"],
                        ["space", "stats"], ["space", "mode", "legacy"]):
            self.refused(*command, code="CORRUPTION", say=segment.name,
                         hint="`engram space salvage --dry-run`")

    def test_a_data_file_that_was_cut_is_refused_by_every_command(self):
        self.run_ok("migrate-dual", "--source", FIXTURES / "plain" / "data")
        data, = self.dual.glob("store.*/data.mdb")
        os.truncate(data, data.stat().st_size - 65536)
        for command in (["memory", "list"], ["memory", "get", "m-1"], ["memory", "delete", "m-1"],
                        ["verify"], ["compact"], ["migrate-dual"], ["migrate-dual", "rollback"],
                        ["migrate-dual", "--source", FIXTURES / "plain" / "data"],
                        ["space", "stats"], ["space", "salvage", "--dry-run"]):
            self.refused(*command, code="CORRUPTION", say="data.mdb is cut off", hint="backup")

    def test_a_store_of_a_newer_version_is_refused_by_every_command(self):
        store = self.dual / "STORE"
        data = bytearray(store.read_bytes())
        data[8] += 1  # docs/format/store.md: the version
        store.write_bytes(data)
        for command in (["memory", "list"], ["memory", "delete", "x"], ["verify"], ["compact"],
                        ["migrate-dual"], ["migrate-dual", "rollback"], ["space", "stats"],
                        ["migrate-dual", "--source", FIXTURES / "plain" / "data"]):
            self.refused(*command, code="UNSUPPORTED", say="STORE", hint="version")

    def test_a_file_where_a_folder_should_be_and_the_other_way_round(self):
        for name in ("STORE", "log", "store.1"):
            path = self.dual / name
            aside = self.folder / "aside"
            path.rename(aside)
            if aside.is_dir():
                path.write_text("x")
            else:
                path.mkdir()
            for command in (["memory", "list"], ["verify"], ["migrate-dual"]):
                before = self.stored()
                result = engram(*command, "--json", "--data-root", self.root)
                self.assertEqual(result.code, 1, f"{name}: {result}")
                self.assertTrue(result.json["error"]["hint"])
                self.assertIn(name, result.json["error"]["message"])
                self.assertEqual(self.stored(), before, name)
            path.rmdir() if path.is_dir() else path.unlink()
            aside.rename(path)
        self.assertEqual(self.stats()["count"], 54)


class SmallDeviceTest(BadInputTest):
    """A real device that is too small, whatever its size."""

    def test_a_migration_that_does_not_fit_says_needs_and_has(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to mount")
        source = self.folder / "source"
        made = harness.tool("upstream_log_gen", "--out", source, "--records", 3000, "--seed", 7)
        self.assertEqual(made.code, 0, made)
        before = tree_hash(source)
        for size_kib in (64, 1024, 4200, 6000, 8300, 9000, 9500, 10500, 12000, 16000):
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs",
                                      self.root], capture_output=True)
            if mounted.returncode != 0:
                self.skipTest("may not mount")
            try:
                result = engram("migrate-dual", "--source", source, "--json", "--data-root",
                                self.root / "d")
                self.assertEqual(result.code, 1, f"{size_kib} KiB: {result}")
                error = result.json["error"]
                self.assertEqual(error["code"], "FULL", f"{size_kib} KiB: {error}")
                self.assertRegex(error["message"], "needs .*has ", f"{size_kib} KiB")
                self.assertIn(str(self.root), error["message"])
                self.assertEqual(list(self.root.iterdir()), [], f"{size_kib} KiB")
            finally:
                subprocess.run(["umount", self.root], check=True)
        self.assertEqual(tree_hash(source), before)


if __name__ == "__main__":
    unittest.main()
