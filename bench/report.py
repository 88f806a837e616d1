#!/usr/bin/env python3
"""Turns Google Benchmark JSON files into the table of RESULTS.md: for every pair "<row>/ours" and
"<row>/raw" of one run the medians, their spread and the ratio.

usage: report.py FILE.json...
"""
import json
import statistics
import sys

# row -> (what is compared, goal). A rate and a latency are ratios to the raw harness, "per second" is
# ours alone. The table keeps this order.
GOALS = {
    "ingest": ("rate", 0.50),
    "end_to_end": ("per second", 80000),
    "convert": ("rate", 0.25),
    "verify": ("rate", 0.50),
    "put_batch_512": ("rate", 0.60),
    "put_single_p50": ("latency", 1.30),
    "get_head": ("rate", 0.60),
    "get_full": ("rate", 0.70),
}


def load(paths):
    """row name -> side -> list of (seconds, items per second or None); and the machines' settings."""
    rows, settings = {}, set()
    for path in paths:
        with open(path) as file:
            run = json.load(file)
        settings.add(run["context"].get("guest_halt_poll_ns", "unknown"))
        for entry in run["benchmarks"]:
            if entry.get("run_type") == "aggregate":
                continue
            name = entry["run_name"].split("/iterations")[0]
            row, _, side = name.rpartition("/")
            if side not in ("ours", "raw") and not side.startswith("rival"):
                row, side = name, "ours"
            scale = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[entry["time_unit"]]
            value = (entry["real_time"] * scale, entry.get("items_per_second"))
            rows.setdefault(row, {}).setdefault(side, []).append(value)
    return rows, settings


def describe(samples):
    """Median, minimum and maximum as text, and the median in items per second or seconds."""
    rates = [rate for _, rate in samples if rate]
    values = rates or [seconds for seconds, _ in samples]
    median = statistics.median(values)

    def show(value):
        if rates:
            return f"{value / 1000:,.1f} K/s" if value >= 1000 else f"{value:,.1f} /s"
        return f"{value * 1e6:,.1f} us" if value < 0.1 else f"{value:,.3f} s"

    return median, f"{show(median)} ({show(min(values))} to {show(max(values))})", bool(rates)


def main():
    rows, settings = load(sys.argv[1:])
    print(f"Guest halt polling: {', '.join(sorted(settings))} ns\n")
    print("| row | ours: median (min to max) | raw harness | ours / raw | goal |")
    print("|---|---|---|---:|---:|")
    order = list(GOALS)
    for row in sorted(rows, key=lambda row: order.index(row) if row in GOALS else len(order)):
        sides = rows[row]
        cells = {side: describe(samples) for side, samples in sides.items()}
        ours, raw = cells.get("ours"), cells.get("raw")
        ratio = f"{ours[0] / raw[0]:.2f}" if ours and raw else ""
        goal = ""
        kind, bound = GOALS.get(row, (None, None))
        if kind == "per second" and ours:
            goal = f">= {bound / 1000:.0f} K/s {'met' if ours[0] >= bound else 'MISSED'}"
        elif kind and ratio:
            met = float(ratio) >= bound if kind == "rate" else float(ratio) <= bound
            sign = ">=" if kind == "rate" else "<="
            goal = f"{sign} {bound:.2f} {'met' if met else 'MISSED'}"
        print(f"| {row} | {ours[1] if ours else ''} | {raw[1] if raw else ''} | {ratio} | {goal} |")


if __name__ == "__main__":
    main()
