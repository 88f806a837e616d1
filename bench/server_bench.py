#!/usr/bin/env python3
"""The server's numbers: starts `engram start` on a fresh data root, drives it with http_load on the
same machine, and prints a table: median of the repetitions, the rate that upstream's server reached
(bench/RESULTS.md says how it was measured), the ratio and the goal.

usage: server_bench.py --binaries build/bench/bin [--folder DIR] [--repetitions 5] [--memories 6000]
                       [--migrator-records 200000] [--large-records 1000000] [--json FILE] [ROW...]
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

    def space(self):
        spaces = json.loads(self.get("/api/v1/admin/migration"))["spaces"]
        return next(space for space in spaces if space["space"] == "default")

    def wait_for_space(self, condition, timeout_s=600):
        deadline = time.monotonic() + timeout_s
        while not condition(self.space()):
            if time.monotonic() > deadline:
                sys.exit(f"not there within {timeout_s} s: {self.space()}")
            time.sleep(0.1)

    def resident_anon_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines()
                    if line.startswith("RssAnon:"))

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


def raw_round_trips(arguments, scenario):
    """What one connection gets from a server that does nothing but the flush."""
    command = [arguments.binaries / "http_load", "--scenario", scenario, "--seconds", "1", "--raw",
               arguments.folder / "raw"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["rate"]


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
            raw.append(raw_round_trips(arguments, scenario) if connections == 1
                       else raw_durable_writes(arguments.folder, 0.5))
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
                      "p99_us": statistics.median(p99s), "raw": statistics.median(raw),
                      "ratio": rate / upstream, "goal": goal}
        print(f"{name:18} {rate:10.0f}/s  upstream {upstream:6}  ratio {rate / upstream:7.2f}  "
              f"goal {goal:3}  {'met' if rate >= goal * upstream else 'MISSED'}  "
              f"p99 {statistics.median(p99s):8.0f} us  "
              f"raw {'requests' if connections == 1 else 'flushes '} {statistics.median(raw):6.0f}/s",
              flush=True)
    return rows


def serve_upstream(arguments, name, records):
    """A server on a data root that an upstream server wrote, all of it in and none of it converted;
    with the seconds that took from its start on."""
    root = arguments.folder / name
    subprocess.run([arguments.binaries / "upstream_log_gen", "--out", root, "--records",
                    str(records), "--seed", "1"], check=True, capture_output=True)
    began = time.monotonic()
    server = Server(arguments.binaries, root)
    server.wait_for_space(lambda space: space["phase"] != "ingest" and space["count"] == records)
    return server, time.monotonic() - began


def measure_migrator(arguments):
    """The foreground's p99 while old records are converted, beside the same load without it, before
    and afterwards."""
    ratios, shares = [], []
    for repetition in range(arguments.repetitions):
        server, _ = serve_upstream(arguments, f"migrator-{repetition}", arguments.migrator_records)
        server.load("remember", 4, ids=0, requests=2000)
        before = server.load("remember", 4, ids=10_000_000, seconds=6)
        server.get("/api/v1/admin/features", {"dual_memory_types": True})
        began = server.space()["remaining_old"]
        during = server.load("remember", 4, ids=20_000_000, seconds=6)
        left = server.space()["remaining_old"]
        if left == 0:
            sys.exit("the migrator was done too early: give it more --migrator-records")
        server.get("/api/v1/admin/migration", {"paused": True})
        after = server.load("remember", 4, ids=30_000_000, seconds=6)
        server.stop()
        shutil.rmtree(server.root)
        ratios.append(during["p99_us"] / statistics.mean([before["p99_us"], after["p99_us"]]))
        shares.append(began - left)
        print(f"  p99 {before['p99_us']:.0f} us before, {during['p99_us']:.0f} beside "
              f"{began - left} conversions, {after['p99_us']:.0f} with the migrator paused", flush=True)
    row = {"p99_ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)],
           "goal": 1.25, "converted_meanwhile": statistics.median(shares)}
    print(f"migrator           foreground p99 x {row['p99_ratio']:.2f} (goal <= 1.25, "
          f"{min(ratios):.2f} to {max(ratios):.2f}), {row['converted_meanwhile']:.0f} records "
          f"converted in 6 s", flush=True)
    return row


def raw_scan_ms(arguments):
    """One pass over as many embeddings in memory, on one thread and on all cores, best of both."""
    out = subprocess.run([arguments.binaries / "search_bench", "--benchmark_filter=search/raw",
                          "--benchmark_min_time=3", "--benchmark_format=json"], check=True,
                         env=dict(os.environ, ENGRAM_BENCH_ROWS=str(arguments.large_records)),
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return min(row["real_time"] for row in json.loads(out)["benchmarks"])


def measure_large(arguments):
    """On many records: recall beside a scan of the same bytes in memory; conversion of all of them
    in the background of an idle server, and the memory it takes."""
    server, arrived_s = serve_upstream(arguments, "large", arguments.large_records)
    server.load("recall", 1, ids=0, requests=3)
    recall = server.load("recall", 1, ids=0, seconds=15)
    raw_ms = raw_scan_ms(arguments)
    if server.space()["remaining_old"] != arguments.large_records:
        sys.exit(f"not everything is old: {server.space()}")
    resident = server.resident_anon_bytes()
    began, converted_s = time.monotonic(), None
    server.get("/api/v1/admin/features", {"dual_memory_types": True})
    while True:
        space = server.space()
        resident = max(resident, server.resident_anon_bytes())
        if converted_s is None and space["remaining_old"] == 0:
            converted_s = time.monotonic() - began
        if space["phase"] == "complete":
            break
        if time.monotonic() - began > 600:
            sys.exit("the migrator did not finish within 600 s")
        time.sleep(0.1)
    verified_s = time.monotonic() - began
    server.stop()
    shutil.rmtree(server.root)
    row = {"records": arguments.large_records, "arrived_s": arrived_s,
           "recall_ms": recall["p50_us"] / 1000, "scan_ms": raw_ms,
           "recall_ratio": recall["p50_us"] / 1000 / raw_ms, "converted_s": converted_s,
           "verified_s": verified_s, "resident_anon_mib": resident / (1 << 20)}
    print(f"large              {arguments.large_records} records came in in {arrived_s:.1f} s\n"
          f"  recall           {row['recall_ms']:.0f} ms (p50, 1 connection), scan of the memory "
          f"{raw_ms:.0f} ms, ratio {row['recall_ratio']:.2f} (goal <= 1.5)\n"
          f"  conversion       {converted_s:.1f} s, verified after {verified_s:.1f} s (goal < 60 s); "
          f"RssAnon at most {row['resident_anon_mib']:.0f} MiB (goal <= 576)", flush=True)
    return row


def guest_halt_polling():
    """How long an idle core of this virtual machine stays awake; where it does not, each wake-up
    costs tens of microseconds, and the rows of one connection and every flush are mostly that."""
    setting = pathlib.Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
    return f"{setting.read_text().strip()} ns" if setting.exists() else "unknown"


OTHER_ROWS = {"migrator": measure_migrator, "large": measure_large}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/bench/server-data"))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--memories", type=int, default=6000)
    parser.add_argument("--migrator-records", type=int, default=200_000)
    parser.add_argument("--large-records", type=int, default=1_000_000)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join([*ROWS, *OTHER_ROWS]))
    arguments = parser.parse_args()
    arguments.binaries = arguments.binaries.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    names = arguments.rows or [*ROWS, *OTHER_ROWS]
    print(f"guest halt polling: {guest_halt_polling()}", flush=True)
    rows = measure_rows(arguments, [name for name in names if name not in OTHER_ROWS])
    for name in names:
        if name in OTHER_ROWS:
            rows[name] = OTHER_ROWS[name](arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
