#!/usr/bin/env python3
"""What is exported is what the documents, the alerts and the dashboard speak of."""
import json
import re
import unittest

from exposition import Exposition
from harness import ROOT, StoreTest
from server_process import Server

METRIC = re.compile(r"\b(?:engram|process)_[a-z_]+\b")
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
DOCUMENT = ROOT / "docs" / "operations" / "metrics.md"


def queries_of(node):
    if isinstance(node, list):
        for item in node:
            yield from queries_of(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from queries_of(value)


def documented():
    """Families of the first column: exported, and listed as not exported."""
    exported, missing, into = set(), set(), None
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| family |"):
            into = exported
        elif line.startswith("| not exported |"):
            into = missing
        elif line.startswith("| `") and into is not None:
            names = re.findall(r"`([a-z_]+)`", line.split("|")[1])
            into.update(names)
    return exported, missing


class Metrics(StoreTest):
    def setUp(self):
        super().setUp()
        self.server = Server(self.folder, self.root)
        self.server.start()
        self.server.put("a", "text")
        self.server.flag(True)
        self.server.wait_drained()

    def tearDown(self):
        self.server.close()
        super().tearDown()

    def scrape(self):
        return Exposition(self.server.call("GET", "/metrics/prometheus").body.decode())

    def check_exported(self, where, text, scraped):
        names = METRIC.findall(text)
        self.assertTrue(names, f"{where}: no metric")
        for name in names:
            self.assertIn(scraped.family(name), scraped.types, f"{where}: {text}")

    def test_dashboards_and_alerts_use_what_is_exported(self):
        scraped = self.scrape()
        self.assertTrue(DASHBOARDS)
        for path in DASHBOARDS:
            queries = [q for q in queries_of(json.loads(path.read_text())) if q != "prometheus"]
            self.assertGreater(len(queries), 20)
            for query in queries:
                self.check_exported(path.name, query, scraped)
        rules = ALERTS.read_text()
        expressions = re.findall(r"expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", rules)
        self.assertEqual(len(expressions), rules.count("alert:"))
        for folded, plain in expressions:
            self.check_exported("alerts.yml", folded or plain, scraped)

    def test_the_document_lists_what_is_exported(self):
        exported, missing = documented()
        types = set(self.scrape().types)
        self.assertEqual(exported - types, set(), "documented and not exported")
        left = {n for n in types - exported if not n.startswith("process_")}
        self.assertEqual(left, set(), "exported and not documented")
        self.assertEqual(missing & types, set(), "listed as missing and exported")
        self.assertIn("engram_concepts_formed_total", missing)

    def test_what_no_server_does_is_counted_as_0(self):
        scraped = self.scrape()
        for name in ("engram_wal_compaction_runs_total", "engram_wal_compaction_bytes_reclaimed",
                     "engram_compaction_attempts_total", "engram_compaction_success_total",
                     "engram_compaction_rollback_total", "engram_compaction_episodes_removed",
                     "engram_compaction_storage_saved_bytes"):
            self.assertEqual(scraped.value(name), 0, name)

    def test_the_tiers_share_the_bytes_on_disk(self):
        for i in range(300):
            self.server.put(f"m-{i}", "x" * 2000)
        scraped = self.scrape()
        tiers = sum(v for (name, _), v in scraped.samples.items()
                    if name == "engram_tier_size_bytes")
        on_disk = sum(p.stat().st_blocks * 512 for p in self.root.rglob("*") if p.is_file())
        self.assertGreater(on_disk, 300 * 5000)
        self.assertLess(abs(tiers - on_disk) / on_disk, 0.1, f"{tiers} {on_disk}")

    def test_an_opening_that_fails_is_counted(self):
        name = "engram_wal_recovery_failures_total"
        self.assertEqual(self.scrape().value(name), 0)
        self.server.put("b", "text", space="ill")
        self.server.stop()
        (self.root / "ill" / "dual" / "STORE").write_bytes(b"no store")
        self.server.start()
        headers = {"X-Memory-Space": "ill"}
        self.assertGreaterEqual(self.server.call("GET", "/api/v1/memories/b", headers=headers).status,
                                500)
        self.assertGreaterEqual(self.scrape().value(name), 1)


if __name__ == "__main__":
    unittest.main()
