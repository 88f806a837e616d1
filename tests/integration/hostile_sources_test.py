#!/usr/bin/env python3
"""Directories that no server wrote: fixtures cut, flipped, mixed and buried in rubbish. Whatever
happened around it, every intact record comes in, everything else is listed to the byte, and the
source stays as it is. What is expected follows from the manifests and from what was done here."""
import json
import os
import random
import socket
import struct
import subprocess
import unittest

import harness
from harness import FIXTURES, tree_hash
from upstream_records import RecordsTest, fold

HEADER_BYTES = 64
PROTECTED_BYTES = 56  # of the header; no checksum covers the rest
MAGIC = bytes.fromhex("efbeadde")
LOG = "wal-000000006b01378f.log"


class Piece:
    """A stretch of a log: an intact record as the manifest describes it, or damage (no record)."""

    def __init__(self, data, record=None):
        self.data = data
        self.record = record


def load(fixture):
    """The one log of a fixture, record by record."""
    file = json.loads((FIXTURES / fixture / "manifest.json").read_text())["files"][0]
    data = (FIXTURES / fixture / "data" / file["path"]).read_bytes()
    return [Piece(data[r["offset"]:r["end"]], r) for r in file["records"]]


LOGS = {name: load(name) for name in ("plain", "all-types", "duplicates", "grpc", "legacy-e0",
                                      "legacy-e2", "older-e2", "made-e1")}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def header(kind, size, payload_crc=0):
    """A header with a right checksum that claims `size` bytes of payload."""
    front = MAGIC + struct.pack("<QQIII", 7, 1_700_000_000_000_000_000, kind, size, payload_crc)
    return front + struct.pack("<I", crc32c(front + bytes(20))) + bytes(28)


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def cut(pieces, size):
    """The first `size` bytes."""
    kept = []
    for piece in pieces:
        if size <= 0:
            break
        whole = len(piece.data) <= size
        kept.append(piece if whole else Piece(piece.data[:size]))
        size -= len(piece.data)
    return kept


class Damager:
    """One random thing that happens to a log."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def damaged(self, pieces):
        deed = self.random.choice([
            self.truncate, self.flip, self.flip, self.zero_block, self.insert, self.insert_header,
            self.cut_record, self.drop, self.repeat, self.zero_tail, self.append_other])
        return deed(list(pieces)), deed.__name__

    def at(self, pieces):
        return self.random.randrange(len(pieces))

    def truncate(self, pieces):
        at = self.at(pieces)
        border = sum(len(p.data) for p in pieces[:at])
        by = self.random.choice([-70, -64, -63, -1, 0, 1, 4, 55, 63, 64, 65, 700])
        return cut(pieces, max(1, border + by)) or pieces

    def flip(self, pieces):
        at = self.at(pieces)
        piece = pieces[at]
        if piece.record is None:
            return pieces
        where = self.random.choice([HEADER_BYTES, len(piece.data)])
        bit = self.random.randrange(where * 8)
        unprotected = PROTECTED_BYTES <= bit // 8 < HEADER_BYTES
        pieces[at] = Piece(flipped(piece.data, bit), piece.record if unprotected else None)
        return pieces

    def zero_block(self, pieces):
        """A page of the file is zeros."""
        size = sum(len(p.data) for p in pieces)
        page = self.random.randrange(size // 4096 + 1) * 4096
        out, offset = [], 0
        for piece in pieces:
            first, last = max(page, offset), min(page + 4096, offset + len(piece.data))
            if first < last:
                data = bytearray(piece.data)
                data[first - offset:last - offset] = bytes(last - first)
                piece = piece if bytes(data) == piece.data else Piece(bytes(data))
            out.append(piece)
            offset += len(piece.data)
        return out

    def insert(self, pieces):
        count = self.random.choice([1, 63, 64, 511, 4096, 70000])
        rubbish = self.random.choice([bytes(count), self.random.randbytes(count),
                                      (MAGIC * count)[:count]])
        at = self.at(pieces)
        return pieces[:at] + [Piece(rubbish)] + pieces[at:]

    def insert_header(self, pieces):
        """What a failed write leaves, or a header that claims more than there is."""
        at = self.at(pieces)
        head = self.random.choice([
            pieces[at].data[:HEADER_BYTES] if pieces[at].record else header(1, 5000),
            header(1, 0xFFFFFFFF), header(2, 1 << 20), header(99, 3000), header(3, 1)])
        return pieces[:at] + [Piece(head)] + pieces[at:]

    def cut_record(self, pieces):
        at = self.at(pieces)
        data = pieces[at].data
        keep = self.random.randrange(1, len(data)) if len(data) > 1 else 1
        part = self.random.choice([data[:keep], data[keep:]]) or data
        pieces[at] = pieces[at] if part == data else Piece(part)
        return pieces

    def drop(self, pieces):
        del pieces[self.at(pieces)]
        return pieces

    def repeat(self, pieces):
        piece = pieces[self.at(pieces)]
        at = self.at(pieces)
        return pieces[:at] + [piece] + pieces[at:]

    def zero_tail(self, pieces):
        return pieces + [Piece(bytes(self.random.choice([1, 64, 4096, 100_000])))]

    def append_other(self, pieces):
        return pieces + LOGS[self.random.choice(sorted(LOGS))]


def joined(stretches):
    """Sorted (offset, end) with those that touch made one."""
    out = []
    for first, last in sorted(stretches):
        if out and out[-1][1] == first:
            out[-1] = (out[-1][0], last)
        elif first < last:
            out.append((first, last))
    return out


class HostileTest(RecordsTest):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "source"
        self.source.mkdir()
        self.logs = []  # (path, pieces), the oldest first

    def lay(self, path, pieces):
        """Writes a log; call it in the order in which logs are read."""
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(p.data for p in pieces))
        self.logs.append((path, pieces))

    def comes_out(self, space="default"):
        """Ingest, conversion and verification give exactly what the logs of one space amount to."""
        before = tree_hash(self.source)
        report = self.run_json("migrate-dual", "--source", self.source)
        self.assertTrue(self.run_json("verify", f"--space={space}", "--source", self.source)["ok"])
        self.assertEqual(tree_hash(self.source), before, "the source was changed")
        memories, lost = {}, {}
        for path, pieces in self.logs:
            offset = 0
            for piece in pieces:
                end = offset + len(piece.data)
                if piece.record is None:
                    lost.setdefault(path, []).append((offset, end))
                else:
                    fold(memories, piece.record)
                offset = end
        found = {}
        (one,) = [s for s in report["spaces"] if s["space"] == space]
        for damage in one["source"]["damaged"]:
            found.setdefault(damage["file"], []).append(
                (damage["offset"], damage["offset"] + damage["length"]))
        self.assertEqual({path: joined(found[path]) for path in found},
                         {path: joined(lost[path]) for path in lost if joined(lost[path])})
        self.assertEqual(one["source"]["bytes"],
                         sum(len(piece.data) for _, pieces in self.logs for piece in pieces))
        self.check_space(one, space, memories)
        return report

    def test_any_damage_to_any_log(self):
        """ENGRAM_SOURCE_SEEDS: how many seeds, ENGRAM_SOURCE_FIRST_SEED: from which one on."""
        first = int(os.environ.get("ENGRAM_SOURCE_FIRST_SEED", 1))
        count = int(os.environ.get("ENGRAM_SOURCE_SEEDS", harness.scaled(60, 1000)))
        for seed in range(first, first + count):
            damager = Damager(seed)
            name = damager.random.choice(sorted(LOGS))
            pieces, deeds = LOGS[name], []
            for _ in range(damager.random.randint(1, 5)):
                if pieces:
                    pieces, deed = damager.damaged(pieces)
                    deeds.append(deed)
            with self.subTest(seed=seed, fixture=name, deeds=deeds):
                self.cleared()
                self.lay(f"default/wal/{LOG}", pieces)
                self.comes_out()

    def cleared(self):
        for folder in (self.root, self.source):
            subprocess.run(["rm", "-rf", folder], check=True)
            folder.mkdir()
        self.logs = []

    def test_a_log_cut_around_every_kind_of_border(self):
        pieces = LOGS["all-types"]
        border = sum(len(p.data) for p in pieces[:5])
        for by in (-65, -64, -1, 0, 1, 3, 4, 35, 36, 56, 63, 64, 65, 200):
            with self.subTest(by=by):
                self.cleared()
                self.lay(f"default/wal/{LOG}", cut(pieces, border + by))
                self.comes_out()

    def test_legacy_archives_and_live_logs_in_their_order(self):
        plain = LOGS["plain"]
        self.lay("wal/wal-00000000000000ff.log", LOGS["legacy-e0"] + [Piece(bytes(100))])
        self.lay("default/wal/.archive-1/wal-0000000000000009.log", plain)
        self.lay("default/wal/.archive-2/wal-0000000000000009.log", plain[:30])
        self.lay("default/wal/wal-1.log", LOGS["duplicates"])
        self.lay("default/wal/wal-0000000000000002.log", plain[20:40] + [Piece(b"torn")])
        self.lay("default/wal/wal-000000000000000A.log", LOGS["all-types"])
        report = self.comes_out()
        self.assertGreaterEqual(report["spaces"][0]["source"]["duplicates"], 50)

    def test_legacy_logs_beside_several_spaces_are_of_one_of_them(self):
        self.lay(f"wal/{LOG}", LOGS["legacy-e2"])
        self.lay(f"default/wal/{LOG}", LOGS["plain"])
        self.comes_out()
        other = self.source / "team" / "wal" / LOG
        other.parent.mkdir(parents=True)
        other.write_bytes(b"".join(p.data for p in LOGS["duplicates"]))
        self.run_json("migrate-dual", "--source", self.source)
        for arguments in (["--all-spaces"], ["--space", "team"], ["--space", "default"]):
            with self.subTest(arguments=arguments):
                checked = self.run_json("verify", *arguments, "--source", self.source)
                self.assertTrue(checked["ok"], checked)
        # Named, the other space takes the legacy logs in, and is held against them.
        self.run_json("migrate-dual", "--source", self.source, "--space", "team")
        of_team = self.run_json("verify", "--space", "team", "--source", self.source)
        self.assertTrue(of_team["ok"], of_team)

    def test_the_same_log_under_a_new_name_in_another_directory_adds_nothing(self):
        self.lay(f"default/wal/{LOG}", LOGS["plain"])
        self.comes_out()
        before = self.memories()
        archive = self.source / "default" / "wal" / ".archive-7"
        archive.mkdir()
        (self.source / "default" / "wal" / LOG).rename(archive / "wal-00000000000000aa.log")
        report = self.run_json("migrate-dual", "--source", self.source)["spaces"][0]
        self.assertEqual((report["converted"], report["already_dual"]), (0, len(before)))
        self.assertEqual(self.memories(), before)

    def test_nothing_but_rubbish_is_listed_and_no_error(self):
        for rubbish in (b"", b"\0", bytes(10_000), b"x" * 100, MAGIC, header(1, 0xFFFFFFFF),
                        header(1, 0)[:40], MAGIC * 1000):
            with self.subTest(rubbish=rubbish[:8], size=len(rubbish)):
                self.cleared()
                self.lay(f"default/wal/{LOG}", [Piece(rubbish)])
                self.comes_out()

    def test_an_intact_record_that_means_nothing_is_quarantined_and_hides_none(self):
        empty = header(1, 0)
        text = b"not a memory"
        strange = header(1, len(text), crc32c(text)) + text
        pieces = LOGS["plain"]
        file = self.source / "default" / "wal" / LOG
        file.parent.mkdir(parents=True)
        file.write_bytes(empty + strange + b"".join(p.data for p in pieces))
        report = self.run_json("migrate-dual", "--source", self.source)["spaces"][0]
        self.assertEqual([q["offset"] for q in report["source"]["quarantined"]], [0, 64])
        self.assertTrue(all(q["reason"] for q in report["source"]["quarantined"]))
        self.assertEqual(report["found"], len(pieces))
        self.assertTrue(self.run_json("verify", "--source", self.source)["ok"])

    def test_what_has_the_name_of_a_log_and_is_none_is_said_and_not_read(self):
        self.lay(f"default/wal/{LOG}", LOGS["plain"])
        wal = self.source / "default" / "wal"
        (wal / "wal-0000000000000001.log").mkdir()
        (wal / "wal-0000000000000002.log").symlink_to("nowhere")
        (wal / "wal-0000000000000003.log").symlink_to("wal-0000000000000003.log")
        os.mkfifo(wal / "wal-0000000000000004.log")
        for name in ("wal-0000000000000005.log.tmp", ".wal-6.log.swp", "notes.txt"):
            (wal / name).write_text("left over")
        (wal / "wal-0000000000000003.log").unlink()
        report = self.run_json("migrate-dual", "--source", self.source)
        self.assertEqual(len(report["skipped"]), 3, report["skipped"])
        for skipped, number in zip(report["skipped"], (1, 2, 4)):
            self.assertIn(f"default/wal/wal-000000000000000{number}.log: ", skipped)
        self.assertEqual(report["spaces"][0]["found"], len(LOGS["plain"]))
        text = self.run_ok("migrate-dual", "--source", self.source)
        self.assertIn("in the source and not read: 3", text.err)

    def test_odd_neighbours_of_a_space_do_no_harm(self):
        self.lay(f"default/wal/{LOG}", LOGS["plain"])
        for name in ("no-wal", "empty-wal/wal", "empty-log/wal", "Upper/wal", "ab/wal"):
            (self.source / name).mkdir(parents=True)
        (self.source / "empty-log" / "wal" / LOG).write_bytes(b"")
        (self.source / "Upper" / "wal" / LOG).write_bytes(LOGS["plain"][0].data)
        (self.source / LOG).write_bytes(LOGS["plain"][0].data)
        (self.source / "wal-is-a-file").write_text("x")
        os.mkdir(os.fsencode(self.source) + b"/not-\xff-utf8")
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(self.source / "default" / "wal" / "socket"))
        report = self.run_json("migrate-dual", "--source", self.source)
        self.assertEqual([s["space"] for s in report["spaces"]], ["default", "empty-log"])
        self.assertEqual([s["found"] for s in report["spaces"]], [len(LOGS["plain"]), 0])
        self.assertEqual(len(report["skipped"]), 2, report["skipped"])
        self.assertIn("Upper: ", report["skipped"][0])
        self.assertIn(f"{LOG}: lies beside the spaces", report["skipped"][1])

    def test_a_space_behind_a_link_to_nowhere_is_told(self):
        self.lay(f"default/wal/{LOG}", LOGS["plain"])
        (self.source / "on-a-disk").mkdir()
        (self.source / "on-a-disk" / "wal").symlink_to("/mnt/that-is-not-mounted")
        (self.source / "whole-space").symlink_to("/mnt/that-is-not-mounted-either")
        report = self.run_json("migrate-dual", "--source", self.source)
        self.assertEqual([s["space"] for s in report["spaces"]], ["default"])
        self.assertEqual([text.split(":")[0] for text in report["skipped"]],
                         ["on-a-disk/wal", "whole-space"])

    def test_names_that_are_no_text(self):
        raw = os.fsencode(self.source) + b"/\xfe\xff"
        os.mkdir(raw)
        name = b"wal-\xff\xfe.log"
        damaged = b"".join(p.data for p in LOGS["plain"]) + b"torn"
        with open(raw + b"/" + name, "wb") as file:
            file.write(damaged)
        for command in (["migrate-dual", "--dry-run"], ["migrate-dual"], ["verify"]):
            done = subprocess.run([harness.BINARIES / "engram", *command, "--source", raw, "--json",
                                   "--data-root", self.root], capture_output=True)
            self.assertEqual(done.returncode, 0, (done.stdout[-800:], done.stderr[-800:]))
            self.assertTrue(json.loads(done.stdout.decode("utf-8"))["ok"])
        done = subprocess.run([harness.BINARIES / "engram", "inspect", "source", raw, "--jsonl"],
                              capture_output=True)
        lines = [json.loads(x) for x in done.stdout.decode("utf-8").splitlines()]
        self.assertEqual([x["kind"] for x in lines], ["record"] * 54 + ["damage"])

    def test_a_log_or_space_that_may_not_be_read_is_an_error_and_nothing_comes_in(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become someone else")
        self.lay(f"default/wal/{LOG}", LOGS["plain"])
        self.lay(f"other/wal/{LOG}", LOGS["plain"])
        self.folder.chmod(0o755)
        self.root.chmod(0o777)
        (self.source / "lost+found").mkdir(mode=0o700)
        log = self.source / "other" / "wal" / LOG
        for closed, open_mode in ((log, 0o644), (log.parent, 0o755), (log.parent.parent, 0o755),
                                  (self.source, 0o755)):
            closed.chmod(0)
            before = None
            for command in (["migrate-dual", "--dry-run"], ["migrate-dual", "--space=other"]):
                result = harness.as_nobody([*command, "--source", self.source, "--json",
                                            "--data-root", self.root])
                self.assertEqual(result.code, 1, f"{closed}: {result}")
                self.assertIn("ermission denied", result.out, closed)
                before = before or sorted(self.root.rglob("*"))
            self.assertFalse((self.root / "other" / "dual" / "STORE").exists() and
                             self.count("other") > 0)
            closed.chmod(open_mode)

    def count(self, space):
        return self.stats(space)["count"]


if __name__ == "__main__":
    unittest.main()
