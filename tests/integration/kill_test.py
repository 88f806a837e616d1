#!/usr/bin/env python3
"""kill -9 at random moments. A client's ledger over `engram memory put|delete --jsonl -`: every
printed acknowledgement is there afterwards, nothing deleted returns. And `migrate-dual` killed at
random times and resumed ends with the digest of an uninterrupted run."""
import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

from harness import BINARIES, StoreTest, engram, scaled

SEED = int(os.environ.get("ENGRAM_TEST_SEED", random.randrange(1 << 30)))


def memory(name, version, rng):
    return {"id": name, "content": f"version {version}",
            "embedding": [round(rng.uniform(-1, 1), 3)] * 768,
            "confidence": {"encoding": 0.5}}


class Client:
    """Feeds lines to one `engram memory put|delete --jsonl -` and kills it after a while."""

    def __init__(self, root, verb, lines, kill_after_s):
        self.process = subprocess.Popen(
            [str(BINARIES / "engram"), "memory", verb, "--jsonl", "-", "--data-root", str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = lines
        self.timer = threading.Timer(kill_after_s, self.kill)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)

    def feed(self):
        try:
            for line in self.lines:
                self.process.stdin.write(line.encode() + b"\n")
                self.process.stdin.flush()
            self.process.stdin.close()
        except (BrokenPipeError, ValueError):
            pass

    def run(self):
        """The acknowledgements that were printed in full before the end."""
        feeder = threading.Thread(target=self.feed)
        feeder.start()
        self.timer.start()
        output = self.process.stdout.read()
        self.process.wait()
        self.timer.cancel()
        feeder.join()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()
        self.process.stderr.close()
        whole = output.decode().split("\n")[:-1]
        return [json.loads(line)["id"] for line in whole]


class KillTest(StoreTest):
    def test_every_printed_acknowledgement_is_there(self):
        rng = random.Random(SEED)
        ledger = {}      # id -> version acknowledged last, None when deleted
        possible = {}    # id -> versions sent after that, which may or may not have landed
        version, acknowledgements = 0, 0
        started = time.monotonic()
        self.run_ok("space", "list")
        life_max_s = max(0.25, 4 * (time.monotonic() - started))  # a sanitizer starts slowly
        for _ in range(scaled(ci=25, full=300, sanitizer=5)):
            names = [f"m{rng.randrange(400)}" for _ in range(rng.randrange(1, 300))]
            verb = "delete" if rng.random() < 0.3 else "put"
            if verb == "delete":
                names = list(dict.fromkeys(names))
            sent = []
            for name in names:
                version += 1
                line = memory(name, version, rng) if verb == "put" else {"id": name}
                sent.append((name, version if verb == "put" else None, json.dumps(line)))
            acknowledged = Client(self.root, verb, [s[2] for s in sent],
                                  rng.uniform(0.005, life_max_s)).run()
            acknowledgements += len(acknowledged)
            self.assertEqual(acknowledged, [s[0] for s in sent][:len(acknowledged)],
                             f"acknowledgements out of order, seed {SEED}")
            for index, (name, value, _) in enumerate(sent):
                if index < len(acknowledged):
                    ledger[name] = value
                    possible.pop(name, None)
                else:
                    possible.setdefault(name, set()).add(value)
            self.compare(ledger, possible)
        self.assertGreater(acknowledgements, 0, "every client was killed before it did anything")

    def compare(self, ledger, possible):
        if not (self.root / "default" / "dual").exists():
            self.assertEqual(ledger, {}, f"acknowledged into nothing, seed {SEED}")
            return
        result = engram("memory", "list", "--jsonl", "--data-root", self.root)
        if result.code != 0 and not any(v is not None for v in ledger.values()):
            return  # killed before the store was made
        self.assertEqual(result.code, 0, f"seed {SEED}: {result}")
        listed = {m["id"]: int(m["content"].split()[1])
                  for m in map(json.loads, result.out.splitlines())}
        for name in set(ledger) | set(listed) | set(possible):
            allowed = {ledger.get(name)} | possible.get(name, set())
            self.assertIn(listed.get(name), allowed, f"{name}, seed {SEED}")
            # What is there now has been recovered: it must stay.
            ledger[name] = listed.get(name)
        possible.clear()

    def test_a_killed_migration_resumes_to_the_same_digest(self):
        rng = random.Random(SEED)
        source = self.folder / "source"
        records = scaled(ci=6000, full=100000, sanitizer=1500)
        subprocess.run([str(BINARIES / "upstream_log_gen"), "--out", str(source), "--records",
                        str(records), "--seed", "3", "--versions", "10", "--deletes", "5",
                        "--layouts", "E0,E3,M"], check=True, capture_output=True)
        started = time.monotonic()
        whole = self.run_json("migrate-dual", "--source", source)
        duration_s = time.monotonic() - started
        digest = whole["spaces"][0]["digest"]["after"]
        self.assertEqual(whole["spaces"][0]["digest"]["source"], digest)
        for attempt in range(scaled(ci=8, full=60, sanitizer=3)):
            root = self.folder / f"killed-{attempt}"
            root.mkdir()
            command = [str(BINARIES / "engram"), "migrate-dual", "--source", str(source),
                       "--data-root", str(root), "--resume", "--json", "--batch-size", "100",
                       "--checkpoint-interval", "500"]
            for _ in range(rng.randrange(1, 4)):
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                time.sleep(rng.uniform(0.01, duration_s))
                process.kill()
                process.wait()
            result = engram(*command[1:])
            self.assertEqual(result.code, 0, f"seed {SEED}: {result}")
            space = result.json["spaces"][0]
            self.assertEqual(space["digest"]["after"], digest, f"seed {SEED}")
            self.assertEqual(space["digest"]["source"], digest)
            self.assertEqual(space["remaining_old"], 0)
            self.assertEqual(space["found"], whole["spaces"][0]["found"])
            self.assertEqual(space["found"], space["converted"] + space["already_dual"])
            verified = engram("verify", "--data-root", root, "--source", source, "--json")
            self.assertEqual(verified.code, 0, f"seed {SEED}: {verified}")


if __name__ == "__main__":
    unittest.main()
