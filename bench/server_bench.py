#!/usr/bin/env python3
"""The server's numbers: starts `engram start` on a fresh data root, drives it with http_load on the
same machine, and prints a table: median of the repetitions, the rate that upstream's server reached
(bench/RESULTS.md says how it was measured), the ratio and the goal.

usage: server_bench.py --binaries build/bench/bin [--folder DIR] [--repetitions 5] [--memories 6000]
                       [--migrator-records 200000] [--json FILE] [ROW...]
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

# row -> (scenario, connections, upstream requests/s, goal as a ratio)
ROWS = {
    "remember_1": ("remember", 1, 397, 12),
    "remember_16": ("remember", 16, 285, 50),
    "remember_text_1": ("remember_text", 1, 397, 12),
    "remember_text_16": ("remember_text", 16, 285, 50),
    "get_1": ("get", 1, 28_000, 1),
    "get_16": ("get", 16, 50_000, 1),
    "list_4": ("list", 4, 2_600, 5),
    "search_4": ("search", 4, 200, 5),
    "recall_4": ("recall", 4, 73, 5),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One `engram start` over one data root."""

    def __init__(self, binaries, root, *arguments):
        self.binaries, self.root, self.port = binaries, root, free_port()
        environment = dict(os.environ, ENGRAM_PID_PATH=str(root) + ".pid")
        self.log = open(str(root) + ".log", "a")
        self.process = subprocess.Popen(
            [binaries / "engram", "start", "--data-root", root, "--port", str(self.port), *arguments],
            env=environment, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.get("/health/alive")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the server did not start, see {self.log.name}")
                time.sleep(0.02)

    def get(self, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data,
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def load(self, scenario, connections, **flags):
        command = [self.binaries / "http_load", "--port", str(self.port), "--scenario", scenario,
                   "--connections", str(connections)]
        for name, value in flags.items():
            command += [f"--{name}", str(value)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        bad = {code: n for code, n in result["statuses"].items() if code not in ("200", "201")}
        if bad:
            sys.exit(f"{scenario}: unexpected statuses {bad}")
        return result

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=30)
        if code != 0:
            sys.exit(f"the server ended with {code}, see {self.log.name}")


def raw_durable_writes(folder, seconds=1.0, size=3584):
    """Appends of one record each, every one flushed: what the disk allows one writer."""
    path = folder / "raw"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    os.pwrite(descriptor, bytes(64 << 20), 0)
    os.fsync(descriptor)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        os.pwrite(descriptor, bytes(size), (count * 4096) % (64 << 20))
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    path.unlink()
    return count / seconds


def measure_rows(arguments, names):
    rows = {}
    for name in names:
        scenario, connections, upstream, goal = ROWS[name]
        rates, p99s, raw = [], [], []
        for repetition in range(arguments.repetitions):
            root = arguments.folder / f"{name}-{repetition}"
            raw.append(raw_durable_writes(arguments.folder, 0.5))
            server = Server(arguments.binaries, root)
            if scenario.startswith("remember"):
                result = server.load(scenario, connections, ids=0, requests=arguments.memories + 1000)
            else:
                server.load("remember", 16, ids=0, requests=arguments.memories)
                server.load(scenario, connections, ids=arguments.memories, seconds=0.5)
                result = server.load(scenario, connections, ids=arguments.memories, seconds=3)
            server.stop()
            shutil.rmtree(root)
            rates.append(result["rate"])
            p99s.append(result["p99_us"])
        rate = statistics.median(rates)
        rows[name] = {"rate": rate, "spread": [min(rates), max(rates)], "upstream": upstream,
                      "p99_us": statistics.median(p99s), "raw_flushes": statistics.median(raw),
                      "ratio": rate / upstream, "goal": goal}
        print(f"{name:18} {rate:10.0f}/s  upstream {upstream:6}  ratio {rate / upstream:7.2f}  "
              f"goal {goal:3}  {'met' if rate >= goal * upstream else 'MISSED'}  "
              f"p99 {statistics.median(p99s):8.0f} us  raw flushes {statistics.median(raw):6.0f}/s",
              flush=True)
    return rows


def measure_migrator(arguments):
    """The foreground's p99 while old records are converted, beside the same load before."""
    ratios, seconds = [], []
    for repetition in range(arguments.repetitions):
        root = arguments.folder / f"migrator-{repetition}"
        source = arguments.folder / "source"
        subprocess.run([arguments.binaries / "upstream_log_gen", "--out", source, "--records",
                        str(arguments.migrator_records), "--seed", "1"], check=True,
                       capture_output=True)
        subprocess.run([arguments.binaries / "engram", "migrate-dual", "--source", source,
                        "--data-root", root, "--quiet"], check=True)
        subprocess.run([arguments.binaries / "engram", "migrate-dual", "rollback", "--data-root",
                        root, "--quiet"], check=True, capture_output=True)
        server = Server(arguments.binaries, root)
        server.load("remember", 4, ids=0, requests=2000)
        before = server.load("remember", 4, ids=2000, seconds=4)
        server.get("/api/v1/admin/features", {"dual_memory_types": True})
        began = time.monotonic()
        during = server.load("remember", 4, ids=200_000, seconds=4)
        while True:
            status = json.loads(server.get("/api/v1/admin/migration"))
            if all(space["remaining_old"] == 0 for space in status["spaces"]):
                break
            if time.monotonic() - began > 600:
                sys.exit("the migrator did not finish within 600 s")
            time.sleep(0.1)
        seconds.append(time.monotonic() - began)
        server.stop()
        shutil.rmtree(root)
        shutil.rmtree(source)
        ratios.append(during["p99_us"] / before["p99_us"])
    row = {"p99_ratio": statistics.median(ratios), "goal": 1.25,
           "seconds": statistics.median(seconds), "records": arguments.migrator_records}
    print(f"migrator           foreground p99 x {row['p99_ratio']:.2f} (goal <= 1.25), "
          f"{arguments.migrator_records} records in {row['seconds']:.1f} s", flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/bench/server-data"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--memories", type=int, default=6000)
    parser.add_argument("--migrator-records", type=int, default=200_000)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join([*ROWS, "migrator"]))
    arguments = parser.parse_args()
    arguments.binaries = arguments.binaries.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    names = arguments.rows or [*ROWS, "migrator"]
    rows = measure_rows(arguments, [name for name in names if name != "migrator"])
    if "migrator" in names:
        rows["migrator"] = measure_migrator(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
