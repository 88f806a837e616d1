#!/usr/bin/env python3
"""The golden rows are what docs/format/store.md says, read here from the document's offsets alone."""

import hashlib
import os
import struct
import unittest

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
KEY = (42).to_bytes(8, "big")
DIGEST = bytes(0xD0 + i for i in range(32))
EMBEDDING = b"".join(struct.pack("<I", 0xFF800001 if i == 1 else 0x3F000000 + i * 0x10001) for i in range(768))
EMBEDDING_HASH = hashlib.sha256(EMBEDDING).digest()
ACTIVATION, ENCODING, VIVIDNESS, RELIABILITY, DECAY_RATE = 0x3F451EB8, 0x3F666666, 0x7F800001, 0x80000000, 0x3D4CCCCD
WHEN, LAST_RECALL = (1763751433, 123456789), (1483228799, 1500000000)
LAST_ACCESS, CREATED_AT = (-1, 999999999), (253402300800, 120000)
DECAY_A, DECAY_B, DECAY_N = 0x3F4CCCCD, 0x3E800000, 86400
ACCESS_COUNT, RECALL_COUNT = 0x0102030405060708, 7


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def string(text):
    data = text.encode("utf-8")
    return struct.pack("<I", len(data)) + data


def mapping(*pairs):
    return struct.pack("<I", len(pairs)) + b"".join(string(k) + string(v) for k, v in pairs)


class GoldenRows(unittest.TestCase):
    def body(self, name, size=None):
        with open(os.path.join(GOLDEN, name), "rb") as file:
            row = file.read()
        if size is not None:
            self.assertEqual(len(row), size)
        self.assertEqual(struct.unpack("<I", row[-4:])[0], crc32c(KEY + row[:-4]))
        return row[:-4]

    def at(self, row, offset, layout, *expected):
        self.assertEqual(struct.unpack_from("<" + layout, row, offset), expected, f"offset {offset}")

    def test_checksum_function(self):
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)

    def test_old_head(self):
        row = self.body("row-old-head.bin", 200)
        self.at(row, 0, "BBBBI", 1, 1, 1, 4, 511)
        self.at(row, 8, "QQ32sI", 0x0102030405060708, 0x1112131415161718, DIGEST, 3)
        self.at(row, 60, "IIIII", ACTIVATION, ENCODING, VIVIDNESS, RELIABILITY, DECAY_RATE)
        self.at(row, 80, "qqqq", WHEN[0], LAST_RECALL[0], LAST_ACCESS[0], CREATED_AT[0])
        self.at(row, 112, "IIII", WHEN[1], LAST_RECALL[1], LAST_ACCESS[1], CREATED_AT[1])
        self.at(row, 128, "QII", ACCESS_COUNT, RECALL_COUNT, 3)
        self.at(row, 144, "IIQ", DECAY_A, DECAY_B, DECAY_N)
        self.at(row, 160, "32sI", EMBEDDING_HASH, 0)

    def test_dual_head(self):
        row = self.body("row-dual-head.bin", 208)
        self.at(row, 0, "BBBBI", 1, 2, 1, 3, 3)
        self.at(row, 8, "QQ32s", 0x0102030405060708, 0x1112131415161718, DIGEST)
        self.at(row, 56, "16s32s", bytes(0xE0 + i for i in range(16)), EMBEDDING_HASH)
        self.at(row, 104, "II", ACTIVATION, ENCODING)
        self.at(row, 112, "qqII", LAST_ACCESS[0], CREATED_AT[0], LAST_ACCESS[1], CREATED_AT[1])
        self.at(row, 136, "BBBBI", 127, 4, 3, 0, DECAY_RATE)
        self.at(row, 144, "qqII", WHEN[0], LAST_RECALL[0], WHEN[1], LAST_RECALL[1])
        self.at(row, 168, "IIQ", VIVIDNESS, RELIABILITY, ACCESS_COUNT)
        self.at(row, 184, "QIII", DECAY_N, DECAY_A, DECAY_B, RECALL_COUNT)

    def test_bare_heads_are_zero_where_a_field_is_absent(self):
        row = self.body("row-old-head-bare.bin", 200)
        self.at(row, 0, "BBBBI", 1, 1, 3, 0, 0)
        self.at(row, 60, "II", 0x7FC12345, 0x3F000000)
        self.assertEqual(row[68:160], bytes(92))
        row = self.body("row-dual-head-bare.bin", 208)
        self.assertEqual(row, bytes((1, 2, 3)) + bytes(201))

    def test_extensions(self):
        row = self.body("row-extension-concept.bin", 40)
        self.at(row, 0, "BBBBIIIIIqI", 1, 3, 2, 0, 0, 0, 0x3F000000, 12, 500000000, 1763751433, 0)
        row = self.body("row-extension-episode.bin", 40)
        self.at(row, 0, "BBBBI", 1, 3, 1, 1, 0x80000000)
        self.assertEqual(row[8:], bytes(28))

    def test_text(self):
        expected = (b"\x01\x3f" + string("m1") + string("hi") + string("Lab")
                    + struct.pack("<I", 2) + string("Al") + string("Bo")
                    + string("m") + string("1") + struct.pack("<Q", 768) + string("en")
                    + struct.pack("<QI", 1763751433, 0x3F400000) + mapping(("b", "2"), ("a", "1"))
                    + mapping(("k", "old"), ("\u6771", "v"), ("k", "new")))
        self.assertEqual(self.body("row-text.bin"), expected)
        self.assertEqual(self.body("row-text-bare.bin"), b"\x01\x00" + bytes(8))

    def test_embedding_and_small_rows(self):
        self.assertEqual(self.body("row-embedding.bin", 3084), struct.pack("<Q", 7) + EMBEDDING)
        self.assertEqual(self.body("row-checked.bin"), b"value")

    def test_quarantine_rows(self):
        def read(name):
            with open(os.path.join(GOLDEN, name), "rb") as file:
                return file.read()

        def sealed(key, body):
            return key + body + struct.pack("<I", crc32c(key + body))

        reason = string("the digest changes")
        self.assertEqual(read("row-quarantine-convert.bin"),
                         sealed(b"convert|" + KEY, reason + read("row-old-head.bin")))
        key = b"memory-1"
        self.assertEqual(read("row-quarantine-salvage.bin"),
                         sealed(b"salvage\x07" + key, string("memory-1") + b"raw bytes"))
        key = b"k" * 490
        self.assertEqual(read("row-quarantine-salvage-long-key.bin"),
                         sealed(b"salvage\x07" + key[:448] + hashlib.sha256(key).digest(),
                                struct.pack("<I", len(key)) + key + b"raw bytes"))


if __name__ == "__main__":
    unittest.main()
