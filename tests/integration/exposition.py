"""A strict reader of the Prometheus text format 0.0.4, for tests."""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? ([^ ]+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)')


class Exposition:
    """types: family -> type; samples: (name, sorted labels) -> value."""

    def __init__(self, text):
        self.types = {}
        self.samples = {}
        assert text.endswith("\n"), "the last line has no end"
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("# TYPE "):
                name, kind = line[len("# TYPE "):].split(" ")
                assert name not in self.types, f"{number}: {name} is declared twice"
                assert kind in ("counter", "gauge", "histogram", "summary", "untyped"), line
                self.types[name] = kind
            elif line.startswith("# HELP "):
                assert NAME.match(line[len("# HELP "):]), line
            else:
                self._sample(number, line)
        for name, kind in self.types.items():
            if kind == "histogram":
                self._check_histogram(name)

    def _sample(self, number, line):
        match = SAMPLE.match(line)
        assert match, f"{number}: no sample: {line}"
        name, labels, value = match.group(1), match.group(3) or "", match.group(4)
        found, rest = [], labels
        while rest:
            label = LABEL.match(rest)
            assert label, f"{number}: bad labels: {line}"
            found.append((label.group(1), label.group(2)))
            rest = rest[label.end():]
        assert self.family(name) in self.types, f"{number}: {name} has no TYPE"
        key = (name, tuple(sorted(found)))
        assert key not in self.samples, f"{number}: repeated: {line}"
        self.samples[key] = float(value.replace("Inf", "inf"))

    def family(self, name):
        if name in self.types:
            return name
        for suffix in ("_bucket", "_sum", "_count"):
            base = name.removesuffix(suffix)
            if base != name and self.types.get(base) in ("histogram", "summary"):
                return base
        return name

    def _check_histogram(self, name):
        series = {}
        for (sample, labels), value in self.samples.items():
            if sample == name + "_bucket":
                bound = float(dict(labels)["le"].replace("Inf", "inf"))
                rest = tuple(l for l in labels if l[0] != "le")
                series.setdefault(rest, []).append((bound, value))
        for labels, buckets in series.items():
            buckets.sort()
            assert math.isinf(buckets[-1][0]), f"{name}{labels} has no +Inf bucket"
            assert all(a[1] <= b[1] for a, b in zip(buckets, buckets[1:])), f"{name}: not cumulative"
            assert buckets[-1][1] == self.samples[(name + "_count", labels)], name

    def value(self, name, **labels):
        return self.samples[(name, tuple(sorted(labels.items())))]

    def values(self, name):
        return {labels: value for (sample, labels), value in self.samples.items() if sample == name}

    def buckets(self, name):
        """Of a histogram without labels: bound -> how many are within it."""
        return {float(dict(labels)["le"].replace("Inf", "inf")): value
                for labels, value in self.values(name + "_bucket").items()}

    def check_rose_from(self, before):
        """Counters (and the parts of histograms and summaries) never fall."""
        for (name, labels), value in before.samples.items():
            family = before.family(name)
            kind = before.types[family]
            counts = kind == "counter" or (kind in ("histogram", "summary") and name != family)
            if not counts:
                continue
            now = self.samples.get((name, labels))
            assert now is not None, f"{name}{labels} vanished"
            assert now >= value, f"{name}{labels} fell from {value} to {now}"
