#!/usr/bin/env python3
"""16 clients of mixed reads, writes and deletes with a ledger, while the flag flips, the migrator runs and
is paused, and the server is killed and started again. Nothing acknowledged is lost, nothing deleted
returns, every read was current, the digest is the one that another program computes."""
import http.client
import json
import random
import subprocess
import threading
import time
import unittest
import urllib.parse

from harness import ROOT, StoreTest, engram, scaled
from server_process import Client, Server

CLIENTS = 16
KEYS_PER_CLIENT = 40
OLD_RECORDS = 1500


def version_of(content):
    return int(content.rpartition(" v")[2])


class Key:
    """The ledger of one id. Versions rise; an odd one is a content, an even one its absence. One client
    writes it; whoever reads it gets a version between `acked` before and `tried` after."""

    def __init__(self):
        self.acked = 0
        self.tried = 0


class Ledger:
    def __init__(self):
        self.keys = {}
        self.failures = []
        self.down = threading.Event()  # the server is being killed: requests may fail
        self.ended = threading.Event()
        self.counts = {"reads": 0, "writes": 0, "deletes": 0, "lists": 0, "cut": 0}
        self.lock = threading.Lock()

    def fail(self, text):
        with self.lock:
            if len(self.failures) < 20:
                self.failures.append(text)

    def count(self, what):
        with self.lock:
            self.counts[what] += 1


class Worker(threading.Thread):
    def __init__(self, ledger, number, port, seed):
        super().__init__(daemon=True)
        self.ledger = ledger
        self.number = number
        self.random = random.Random(f"{seed}-{number}")
        self.client = Client(port)
        self.own = [f"c{number:02}-{i:03}" for i in range(KEYS_PER_CLIENT)]

    def send(self, method, path, body=None):
        """The reply, or None if the server went away under the request."""
        down = self.ledger.down.is_set()
        try:
            reply = self.client.request(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            # The kill may come between the check and the request.
            time.sleep(0.05)
            if down or self.ledger.down.is_set():
                self.ledger.count("cut")
                return None
            self.ledger.fail(f"{method} {path[:80]}: {error!r}")
            return None
        if reply.status >= 500 and not (down or self.ledger.down.is_set()):
            self.ledger.fail(f"{method} {path[:80]}: {reply}")
        return reply if reply.status < 500 else None

    def path(self, memory_id):
        return "/api/v1/memories/" + urllib.parse.quote(memory_id, safe="")

    def read(self, memory_id):
        """The version that was served, or None; checked against the ledger."""
        key = self.ledger.keys[memory_id]
        oldest = key.acked
        reply = self.send("GET", self.path(memory_id))
        if reply is None:
            return None
        newest = key.tried
        if reply.status == 404:
            if any(v % 2 == 0 for v in range(oldest, newest + 1)):
                return 0
            self.ledger.fail(f"{memory_id}: gone, versions {oldest}..{newest}")
            return None
        if reply.status != 200:
            self.ledger.fail(f"GET {memory_id}: {reply}")
            return None
        content = reply.json["content"]
        version = version_of(content)
        if not content.startswith(memory_id + " ") or not oldest <= version <= newest:
            self.ledger.fail(f"{memory_id}: read {content!r}, versions {oldest}..{newest}")
        self.ledger.count("reads")
        return version

    def settle(self, memory_id):
        """After a write whose answer was cut off: what became of it."""
        key = self.ledger.keys[memory_id]
        while key.acked != key.tried and not self.ledger.ended.is_set():
            reply = self.send("GET", self.path(memory_id))
            if reply is None:
                time.sleep(0.05)
            elif reply.status == 404:
                even = [v for v in range(key.acked, key.tried + 1) if v % 2 == 0]
                if not even:
                    self.ledger.fail(f"{memory_id}: lost, versions {key.acked}..{key.tried}")
                    return
                key.acked = key.tried = even[-1] if len(even) == 1 else key.tried
            else:
                version = version_of(reply.json["content"])
                if not key.acked <= version <= key.tried:
                    self.ledger.fail(f"{memory_id}: settled at {version}, "
                                     f"versions {key.acked}..{key.tried}")
                key.acked = key.tried = version

    def write(self, memory_id):
        key = self.ledger.keys[memory_id]
        version = key.tried + 1 + key.tried % 2  # the next odd one
        key.tried = version
        body = {"id": memory_id, "content": f"{memory_id} written v{version}",
                "confidence": self.random.choice([0.2, 0.5, 0.9])}
        if self.random.random() < 0.1:
            body["embedding"] = [self.random.uniform(-1, 1) for _ in range(768)]
        reply = self.send("POST", "/api/v1/memories", body)
        if reply is None:
            return self.settle(memory_id)
        if reply.status != 201:
            self.ledger.fail(f"write of {memory_id}: {reply}")
        key.acked = version
        self.ledger.count("writes")

    def delete(self, memory_id):
        key = self.ledger.keys[memory_id]
        if key.acked % 2 == 0:
            return
        version = key.tried + 1
        key.tried = version
        reply = self.send("DELETE", self.path(memory_id))
        if reply is None:
            return self.settle(memory_id)
        if reply.status != 200:
            self.ledger.fail(f"delete of {memory_id} (acknowledged v{key.acked}): {reply}")
        key.acked = version
        self.ledger.count("deletes")

    def versions(self, path):
        """id -> version of what a list or a search answers, or None; with the whole answer."""
        reply = self.send("GET", path)
        if reply is None:
            return None, None
        if reply.status != 200:
            self.ledger.fail(f"GET {path}: {reply}")
            return None, None
        self.ledger.count("lists")
        return {m["id"]: version_of(m["content"]) for m in reply.json["memories"]}, reply.json

    def list_page(self):
        """The first page: each id up to its last one is there in a current version, or was not."""
        oldest = {memory_id: key.acked for memory_id, key in self.ledger.keys.items()}
        listed, page = self.versions("/api/v1/memories?tier=all&limit=50")
        if listed is None:
            return
        last = max(listed) if page["pagination"].get("next_cursor") else None
        for memory_id, key in self.ledger.keys.items():
            if last is not None and memory_id > last:
                continue
            span = range(oldest[memory_id], key.tried + 1)
            version = listed.get(memory_id)
            absent = any(v % 2 == 0 for v in span)
            if (version not in span) if version is not None else not absent:
                self.ledger.fail(f"{memory_id}: listed as {version}, versions {span}")

    def search(self, memory_id):
        """An own id, which nobody else writes: exactly what was acknowledged."""
        key = self.ledger.keys[memory_id]
        found, _ = self.versions("/api/v1/memories/search?query=" + memory_id)
        if found is None or key.acked != key.tried:
            return
        expected = key.acked if key.acked % 2 else None
        if found.get(memory_id) != expected:
            self.ledger.fail(f"{memory_id}: found as {found.get(memory_id)}, not as {expected}")

    def run(self):
        every = sorted(self.ledger.keys)
        while not self.ledger.ended.is_set():
            dice = self.random.random()
            if dice < 0.40:
                self.read(self.random.choice(every))
            elif dice < 0.55:
                self.read(self.random.choice(self.own))
            elif dice < 0.85:
                self.write(self.random.choice(self.own))
            elif dice < 0.96:
                self.delete(self.random.choice(self.own))
            elif dice < 0.98:
                self.list_page()
            else:
                self.search(self.random.choice(self.own))
        self.client.close()


class OldCount(threading.Thread):
    """While writes are intercepted the number of old records never rises."""

    def __init__(self, ledger, server):
        super().__init__(daemon=True)
        self.ledger = ledger
        self.server = server
        self.watching = threading.Event()
        self.last = None
        self.samples = 0

    def watch(self, on):
        self.last = None
        (self.watching.set if on else self.watching.clear)()

    def run(self):
        while not self.ledger.ended.is_set():
            time.sleep(0.05)
            if not self.watching.is_set():
                continue
            try:
                before = self.last
                now = self.server.migration()["remaining_old"]
            except (OSError, http.client.HTTPException, AssertionError):
                continue
            if not self.watching.is_set() or self.last is not before:
                continue
            if before is not None and now > before:
                self.ledger.fail(f"the number of old records rose from {before} to {now}")
            self.last = now
            self.samples += 1


class LoadTest(StoreTest):
    def prepare(self, server, ledger):
        client = Client(server.port)
        for i in range(OLD_RECORDS):
            memory_id = f"old-{i:05}"
            ledger.keys[memory_id] = Key()
            reply = client.request("POST", "/api/v1/memories",
                                   {"id": memory_id, "content": f"{memory_id} written v1"})
            self.assertEqual(reply.status, 201, reply)
            ledger.keys[memory_id].acked = ledger.keys[memory_id].tried = 1
        client.close()
        for number in range(CLIENTS):
            for i in range(KEYS_PER_CLIENT):
                ledger.keys[f"c{number:02}-{i:03}"] = Key()

    def script(self, server, ledger, old_count, seconds):
        """What the operator does meanwhile, at shares of the time."""
        began = time.monotonic()
        until = lambda share: time.sleep(max(0, began + share * seconds - time.monotonic()))
        server.knobs(rate_limit=max(50, int(OLD_RECORDS / (seconds * 0.5))))
        until(0.10)
        server.flag(True)
        old_count.watch(True)
        until(0.20)
        server.knobs(paused=True)
        paused = server.migration()
        self.assertEqual(paused["throttle"]["reason"], "paused")
        until(0.35)
        server.knobs(paused=False)
        until(0.45)
        old_count.watch(False)
        ledger.down.set()
        server.kill()
        server.start()
        time.sleep(0.3)
        ledger.down.clear()
        old_count.watch(True)
        until(0.65)
        old_count.watch(False)
        server.flag(False)
        until(0.75)
        server.flag(True)
        old_count.watch(True)
        server.knobs(rate_limit=0)
        until(1.0)

    def check_end(self, server, ledger):
        expected = {}
        for memory_id, key in ledger.keys.items():
            self.assertEqual(key.acked, key.tried, f"{memory_id} is not settled")
            if key.acked % 2:
                expected[memory_id] = key.acked
        listed = {i: version_of(m["content"]) for i, m in server.list_all().items()}
        lost = sorted(set(expected) - set(listed))
        returned = sorted(set(listed) - set(expected))
        self.assertEqual((lost, returned), ([], []))
        self.assertEqual(listed, expected)

    def check_digest(self, online):
        stats = self.folder / "spaces.json"
        stats.write_text(engram("space", "list", "--data-root", self.root, "--json").out)
        listing = self.folder / "listing.jsonl"
        listing.write_text(self.run_ok("memory", "list", "--jsonl", "--view", "dual", "--exact",
                                       "--embeddings").out)
        result = subprocess.run(["/usr/bin/python3", str(ROOT / "scripts" / "recompute_digest.py"),
                                 "--compare", str(stats), "--space", "default", str(listing)],
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(json.loads(stats.read_text())["spaces"][0]["digest"], online)
        self.assertTrue(self.run_json("verify", "--full")["ok"])

    def test_nothing_is_lost_and_nobody_notices(self):
        seconds = scaled(60, 60, 10)
        seed = random.randrange(10**6)
        server = Server(self.folder, self.root)
        self.addCleanup(server.close)
        server.start()
        ledger = Ledger()
        self.prepare(server, ledger)
        workers = [Worker(ledger, i, server.port, seed) for i in range(CLIENTS)]
        old_count = OldCount(ledger, server)
        for thread in [*workers, old_count]:
            thread.start()
        try:
            self.script(server, ledger, old_count, seconds)
        finally:
            ledger.ended.set()
            for thread in [*workers, old_count]:
                thread.join(60)
        print(f"seed {seed}: {ledger.counts}, {old_count.samples} looks at the old count")
        self.assertEqual(ledger.failures, [], f"seed {seed}\n{server.tail()}")
        self.assertGreater(old_count.samples, 10)
        for what in ("reads", "writes", "deletes", "lists"):
            self.assertGreater(ledger.counts[what], 50, what)
        status = server.wait_drained()
        self.check_end(server, ledger)
        digest = server.migration()["digest"]
        self.assertEqual(server.stop(), 0, server.tail())
        self.check_digest(digest)
        self.assertEqual(status["quarantined"], 0)


if __name__ == "__main__":
    unittest.main()
