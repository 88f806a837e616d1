"""What the records of a manifest amount to, by the merge rules of the design; shares nothing with
the product."""
import hashlib
import struct

from harness import StoreTest


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


def fold(memories, record):
    """Takes one more intact record of the log into id -> fields."""
    name = record.get("id", record.get("delete"))
    if record["type"] > 3 or name is None:
        return
    state = apply(memories.get(name), record)
    if state is None:
        memories.pop(name, None)
    else:
        memories[name] = state


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
            fold(memories, record)
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
    for key in ("encoding", "vividness", "reliability"):
        flat[key] = memory["confidence"][key]
    return flat


class RecordsTest(StoreTest):
    """Compares what a space holds with what its source's records amount to."""

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
