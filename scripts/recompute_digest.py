#!/usr/bin/python3
"""Recomputes the digests of a space from its listing alone, sharing no code with the engine.

    engram memory list --exact --embeddings --view dual --jsonl | scripts/recompute_digest.py
    scripts/recompute_digest.py --compare spaces.json --space default listing.jsonl

The rules are those of docs/format/digest.md. The keys `digest` and `embedding_sha256` of the listing
are never read. Prints counts and digests of the tiers and of the space as one JSON object. With
--compare (the output of `engram space list --json`) exit 1 and a list of differences on a mismatch.
"""

import argparse
import array
import hashlib
import json
import struct
import sys

try:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
except ImportError:
    sys.exit("recompute_digest.py needs AES from the package python3-cryptography; install it with\n"
             "  apt-get install python3-cryptography\n"
             "and run this script with /usr/bin/python3")

DIMENSION = 768
LANES = 1024
LANE_BYTES = 2 * LANES
TIERS = ("hot", "warm", "cold")
NODE_TYPES = {"episode": 1, "concept": 2}
DECAYS = {  # name -> (kind, parameters in order)
    "exponential": (0, (("f32", "tau_hours"),)),
    "power_law": (1, (("f32", "beta"),)),
    "two_component": (2, (("u64", "consolidation_threshold"),)),
    "hybrid": (3, (("f32", "short_term_tau"), ("f32", "long_term_beta"), ("u64", "transition_point"))),
}


class ListingError(Exception):
    """The listing lacks something; the message says what."""


# ---- building blocks of the canonical encoding (section 1) ----

def u8(value):
    return struct.pack("<B", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def float_bits(text):
    if not isinstance(text, str) or len(text) != 8:
        raise ListingError(f"a float is {text!r}, expected 8 hex digits: list with --exact")
    return int(text, 16)


def f32(text):
    return u32(float_bits(text))


def string(text):
    data = text.encode("utf-8")
    return u32(len(data)) + data


def optional(encode, value):
    return u8(0) if value is None else u8(1) + encode(value)


def string_list(values):
    return u32(len(values)) + b"".join(string(value) for value in values)


def string_map(pairs):
    encoded = sorted((key.encode("utf-8"), value) for key, value in pairs.items())
    return u32(len(encoded)) + b"".join(u32(len(key)) + key + string(value) for key, value in encoded)


def embedding_hash(values):
    if values is None:
        raise ListingError("a record has no embedding: list with --embeddings")
    if len(values) != DIMENSION:
        raise ListingError(f"an embedding has {len(values)} values, expected {DIMENSION}")
    text = "".join(values)
    if len(text) != 8 * DIMENSION:
        raise ListingError("an embedding value is not 8 hex digits: list with --exact")
    floats = array.array("I", bytes.fromhex(text))  # the digits are most significant first
    if sys.byteorder == "little":
        floats.byteswap()
    return hashlib.sha256(floats.tobytes()).digest()


def provenance(value):
    return (string(value["model_name"]) + string(value["model_version"]) + u64(value["dimension"])
            + optional(string, value["language"]) + u64(value["created_at_s"])
            + optional(f32, value["quality_score"]) + string_map(value["metadata"]))


def decay_function(value):
    (name, parameters), = value.items()
    kind, fields = DECAYS[name]
    encoders = {"f32": f32, "u64": u64}
    return u8(kind) + b"".join(encoders[type_](parameters[key]) for type_, key in fields)


def node(value):
    if value["type"] == "concept":
        rest = f32(value["coherence"]) + u32(value["instance_count"]) + string(value["formation_time"])
    else:
        rest = optional(f32, value["strength"]) + optional(f32, value["consolidation_score"])
    return u8(NODE_TYPES[value["type"]]) + rest


def canonical(record):
    confidence = record["confidence"]
    return b"".join((
        b"engram/record/1\0",
        string(record["id"]),
        optional(string, record["content"]),
        optional(string, record["when"]),
        optional(string, record["where"]),
        optional(string_list, record["who"]),
        embedding_hash(record.get("embedding")),
        optional(provenance, record["embedding_provenance"]),
        f32(record["activation"]),
        f32(confidence["encoding"]),
        optional(f32, confidence["vividness"]),
        optional(f32, confidence["reliability"]),
        f32(record["decay_rate"]),
        optional(decay_function, record["decay_function"]),
        optional(string, record["last_recall"]),
        optional(u32, record["recall_count"]),
        optional(string, record["last_access"]),
        optional(u64, record["access_count"]),
        optional(string, record["created_at"]),
        string_map(record["metadata"]),
        node(record["node"]),
    ))


# ---- lane sums (section 3) ----

# Even and odd lanes are summed apart, each in 32 bits, so that one addition of big integers adds all.
EVEN_LANES = int.from_bytes(b"\xff\xff\0\0" * (LANES // 2), "little")
ADDITIONS_MAX = 65000  # before a 32-bit sum could overflow


class LaneSum:
    def __init__(self):
        self.even = 0
        self.odd = 0
        self.pending = 0

    def add(self, digest):
        cipher = Cipher(algorithms.AES(digest), modes.CTR(bytes(16))).encryptor()
        lanes = int.from_bytes(cipher.update(bytes(LANE_BYTES)), "little")
        self.even += lanes & EVEN_LANES
        self.odd += (lanes >> 16) & EVEN_LANES
        self.pending += 1
        if self.pending == ADDITIONS_MAX:
            self.reduce()

    def add_sum(self, other):
        self.reduce()
        other.reduce()
        self.even += other.even
        self.odd += other.odd
        self.reduce()

    def reduce(self):
        self.even &= EVEN_LANES
        self.odd &= EVEN_LANES
        self.pending = 1

    def publish(self):
        self.reduce()
        lanes = (self.even | self.odd << 16).to_bytes(LANE_BYTES, "little")
        return hashlib.sha256(lanes).hexdigest()


# ---- tiers and space (section 4) ----

HOT = struct.unpack("<f", u32(0x3F333333))[0]
WARM = struct.unpack("<f", u32(0x3E99999A))[0]


def tier_of(activation):
    value = struct.unpack("<f", f32(activation))[0]  # NaN compares false
    return "hot" if value >= HOT else "warm" if value >= WARM else "cold"


def recompute(lines):
    sums = {tier: LaneSum() for tier in TIERS}
    counts = dict.fromkeys(TIERS, 0)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            tier = tier_of(record["activation"])
            sums[tier].add(hashlib.sha256(canonical(record)).digest())
        except (KeyError, TypeError, ValueError, AttributeError, struct.error, ListingError) as error:
            reason = f"key {error} is missing" if isinstance(error, KeyError) else error
            raise ListingError(f"line {number}: {reason} (expected the output of engram memory list "
                               "--exact --embeddings --view dual --jsonl)") from error
        counts[tier] += 1
    space = LaneSum()
    for tier in TIERS:
        space.add_sum(sums[tier])
    return {
        "ok": True,
        "count": sum(counts.values()),
        "digest": space.publish(),
        "tiers": {tier: {"count": counts[tier], "digest": sums[tier].publish()} for tier in TIERS},
    }


def find_space(published, name):
    spaces = published.get("spaces", [published])
    if name is None and len(spaces) == 1:
        return spaces[0]
    matching = [space for space in spaces if space.get("space") == (name or "default")]
    if len(matching) != 1:
        raise ListingError(f"the file to compare with has no space {name or 'default'!r}: use --space")
    return matching[0]


def differences(computed, published):
    pairs = [("count", computed["count"], published.get("count")),
             ("digest", computed["digest"], published.get("digest"))]
    for tier in TIERS:
        other = published.get("tiers", {}).get(tier, {})
        for key in ("count", "digest"):
            pairs.append((f"tiers.{tier}.{key}", computed["tiers"][tier][key], other.get(key)))
    return [{"what": what, "computed": ours, "published": theirs}
            for what, ours, theirs in pairs if ours != theirs]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("listing", nargs="?", default="-", help="JSON lines; - or nothing: standard input")
    parser.add_argument("--compare", metavar="FILE", help="output of `engram space list --json`")
    parser.add_argument("--space", help="the space to compare with, if FILE has several (default: default)")
    arguments = parser.parse_args()
    try:
        if arguments.listing == "-":
            sys.stdin.reconfigure(encoding="utf-8", newline="\n")
            result = recompute(sys.stdin)
        else:
            with open(arguments.listing, encoding="utf-8", newline="\n") as lines:
                result = recompute(lines)
        if arguments.compare:
            with open(arguments.compare, encoding="utf-8") as file:
                result["differences"] = differences(result, find_space(json.load(file), arguments.space))
            result["ok"] = not result["differences"]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ListingError) as error:
        result = {"ok": False, "error": str(error)}
    print(json.dumps(result, indent=2))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
