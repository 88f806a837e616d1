"""Runs the built binaries for the integration tests. Standard library only."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
BINARIES = pathlib.Path(os.environ.get("ENGRAM_BINARIES", ROOT / "build" / "release" / "bin"))
# "ci" (default), "sanitizer" or "full": how much of the seeded work runs.
SCALE = os.environ.get("ENGRAM_TEST_SCALE", "ci")


def scaled(ci, full, sanitizer=None):
    """The amount of work for this run's scale."""
    if SCALE == "full":
        return full
    if SCALE == "sanitizer":
        return sanitizer if sanitizer is not None else max(1, ci // 10)
    return ci


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"


def engram(*arguments, stdin=None, env=None, timeout=600):
    """Runs `engram` to its end."""
    environment = dict(os.environ, **(env or {}))
    environment.pop("ENGRAM_DATA_DIR", None) if not env or "ENGRAM_DATA_DIR" not in env else None
    process = subprocess.run([str(BINARIES / "engram"), *map(str, arguments)], input=stdin,
                             capture_output=True, text=True, env=environment, timeout=timeout)
    return Result(process)


def tool(name, *arguments, timeout=600):
    process = subprocess.run([str(BINARIES / name), *map(str, arguments)], capture_output=True,
                             text=True, timeout=timeout)
    return Result(process)


def as_nobody(arguments, **options):
    """Runs `engram` as a user that owns nothing."""
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
               str(BINARIES / "engram"), *map(str, arguments)]
    return Result(subprocess.run(command, capture_output=True, text=True, **options))


class StoreTest(unittest.TestCase):
    """Gives each test an empty folder `self.folder` and a data root `self.root` in it."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="engram-test-"))
        self.root = self.folder / "data"
        self.root.mkdir()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def within(self, seconds, call):
        """What `call` gives, which takes no longer: one of three tries, for a machine that does other
        work beside it holds any of them up."""
        for _ in range(3):
            began = time.monotonic()
            result = call()
            took = time.monotonic() - began
            if took < seconds:
                return result
        self.fail(f"it took {took:.2f} s, not {seconds}")

    def run_ok(self, *arguments, **options):
        result = engram(*arguments, "--data-root", self.root, **options)
        self.assertEqual(result.code, 0, f"{arguments}: {result}")
        return result

    def run_json(self, *arguments, **options):
        return self.run_ok(*arguments, "--json", **options).json

    def memories(self, space="default", view="dual"):
        """Every record of a space as dicts, exact, with embeddings."""
        result = self.run_ok("memory", "list", "--jsonl", "--view", view, "--exact", "--embeddings",
                             f"--space={space}")
        return [json.loads(line) for line in result.out.splitlines()]

    def stats(self, space="default"):
        return self.run_json("space", "stats", f"--space={space}")["spaces"][0]


def tree_hash(path):
    """(relative name, kind, bytes hash) of everything below `path`."""
    import hashlib
    found = []
    for entry in sorted(pathlib.Path(path).rglob("*")):
        kind = "dir" if entry.is_dir() else hashlib.sha256(entry.read_bytes()).hexdigest()
        found.append((entry.relative_to(path).as_posix(), kind))
    return found
