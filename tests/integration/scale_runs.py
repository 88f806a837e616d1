#!/usr/bin/env python3
"""The main job on 100, 1K, 10K, 100K and 1M generated nodes: counts, digests, rate, memory; and the
same once more, killed in the middle and resumed: the same digest.

usage: scale_runs.py [--binaries DIR] [--folder DIR] [--sizes 100,1000,...] [--budget-mb N]
"""
import argparse
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def run(command):
    started = time.monotonic()
    process = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if process.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{process.stdout[-2000:]}")
    return process.stdout, time.monotonic() - started


def killed_and_resumed(migrate, kill_after_s):
    """Kills the job that long after its start and resumes it; the report of the resumed run."""
    process = subprocess.Popen([str(part) for part in migrate], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=kill_after_s)
        print("           (done before it could be killed)", flush=True)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    out, seconds = run([*migrate, "--resume"])
    return json.loads(out)["spaces"][0], seconds


def one_size(binaries, folder, nodes, budget_mb):
    source, root = folder / "source", folder / "data"
    run([binaries / "upstream_log_gen", "--out", source, "--records", nodes, "--seed", 1])
    root.mkdir()
    out, seconds = run([binaries / "engram", "migrate-dual", "--source", source, "--data-root", root,
                        "--json", "--quiet", "--memory-budget-mb", budget_mb])
    space = json.loads(out)["spaces"][0]
    assert space["digest"]["source"] == space["digest"]["before"] == space["digest"]["after"], space
    assert space["remaining_old"] == 0 and space["found"] == space["converted"], space
    assert space["resident_anon_peak_bytes"] <= (budget_mb + 64) << 20, space
    out, verify_s = run([binaries / "engram", "verify", "--data-root", root, "--json", "--quiet"])
    assert json.loads(out)["ok"] is True
    print(f"{nodes:>9} nodes: {seconds:8.2f} s end to end with verification, "
          f"{space['found'] / seconds:9.0f} nodes/s; verify alone {verify_s:.2f} s; "
          f"RssAnon peak {space['resident_anon_peak_bytes'] >> 20} MiB "
          f"(budget {budget_mb} + 64); digest {space['digest']['after'][:16]}", flush=True)
    shutil.rmtree(root)
    for part in (0.25, 0.6):
        root.mkdir()
        again, resumed_s = killed_and_resumed(
            [binaries / "engram", "migrate-dual", "--source", source, "--data-root", root, "--json",
             "--quiet", "--memory-budget-mb", budget_mb], seconds * part)
        assert again["digest"]["after"] == space["digest"]["after"], (again, space)
        assert again["resident_anon_peak_bytes"] <= (budget_mb + 64) << 20, again
        print(f"           killed after {seconds * part:.1f} s, resumed in {resumed_s:.1f} s, the "
              f"same digest; RssAnon peak {again['resident_anon_peak_bytes'] >> 20} MiB", flush=True)
        shutil.rmtree(root)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binaries", type=pathlib.Path, default="build/release/bin")
    parser.add_argument("--folder", type=pathlib.Path, default=None)
    parser.add_argument("--sizes", default="100,1000,10000,100000,1000000")
    parser.add_argument("--budget-mb", type=int, default=512)
    arguments = parser.parse_args()
    for nodes in map(int, arguments.sizes.split(",")):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="engram-scale-", dir=arguments.folder))
        try:
            one_size(arguments.binaries.resolve(), folder, nodes, arguments.budget_mb)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
