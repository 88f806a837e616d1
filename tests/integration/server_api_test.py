#!/usr/bin/env python3
"""Upstream's clients against the running server, with the requests they send: its command line, loadtest, the
Python ingest tools, the demo and the quickstart."""
import concurrent.futures
import contextlib
import json
import math
import random
import re
import socket
import threading
import time
import unittest
import urllib.parse

from harness import StoreTest
from server_process import Client, Server


def embedding(seed):
    """768 numbers as numpy prints them: random, of unit length, with 17 digits."""
    source = random.Random(seed)
    numbers = [source.gauss(0, 1) for _ in range(768)]
    length = math.sqrt(sum(n * n for n in numbers))
    return [n / length for n in numbers]


def cosine(a, b):
    return (sum(x * y for x, y in zip(a, b))
            / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b)))


class ApiTest(StoreTest):
    def setUp(self):
        super().setUp()
        self.server = Server(self.folder, self.root)
        self.addCleanup(self.server.close)
        self.server.start()

    def client(self, timeout=60):
        client = Client(self.server.port, timeout)
        self.addCleanup(client.close)
        return client

    def restart(self, kill):
        if kill:
            self.server.kill()
        else:
            self.assertEqual(self.server.stop(), 0)
        self.server.start()


class LoadTestTool(ApiTest):
    """tools/loadtest: writes with an embedding, recall with the embedding in the query, search, completion
    with every other dimension unknown. Any 2xx is a success."""

    def test_a_mixed_run_has_no_errors(self):
        client = self.client()
        draw = random.Random(7)
        for i in range(60):
            vector = embedding(i)
            stored = client.request("POST", "/api/v1/memories", {
                "content": f"Load test memory {i}", "confidence": draw.uniform(0.7, 1.0),
                "embedding": vector})
            self.assertEqual(stored.status, 201, stored)
            cue = urllib.parse.quote(json.dumps(vector))
            self.assertGreater(len(cue), 12_000)
            recalled = client.request(
                "GET", f"/api/v1/memories/recall?embedding={cue}&threshold={draw.uniform(0.5, 0.9)}"
                       f"&max_results={draw.randint(1, 5)}&space=default")
            self.assertEqual(recalled.status, 200, recalled)
            vivid = recalled.json["memories"]["vivid"]
            self.assertEqual(vivid[0]["content"], f"Load test memory {i}")
            self.assertAlmostEqual(vivid[0]["similarity_score"], 1.0, places=5)
            searched = client.request("GET", "/api/v1/memories/search?query="
                                      + urllib.parse.quote(f"memory {i}") + "&limit=20")
            self.assertEqual(searched.status, 200, searched)
            self.assertIn(f"Load test memory {i}",
                          [m["content"] for m in searched.json["memories"]])
            partial = [v if k % 2 == 0 else None for k, v in enumerate(vector)]
            completed = client.request("POST", "/api/v1/complete", {
                "partial_episode": {"known_fields": {}, "partial_embedding": partial,
                                    "cue_strength": 0.7, "temporal_context": []},
                "config": {"ca1_threshold": 0.7, "num_hypotheses": 3, "max_iterations": 7}})
            self.assertEqual(completed.status, 200, completed)
            self.assertEqual(completed.json["completed_episode"]["what"], f"Load test memory {i}")

    def test_recall_by_embedding_is_the_exact_top_of_all(self):
        vectors = {f"v{i}": embedding(i) for i in range(80)}
        for name, vector in vectors.items():
            self.server.put(name, name, embedding=vector)
        query = embedding("query")
        expected = sorted(vectors, key=lambda n: -cosine(query, vectors[n]))[:10]
        reply = self.server.ok("GET", "/api/v1/memories/recall?threshold=-1&max_results=10&embedding="
                               + urllib.parse.quote(json.dumps(query)))
        found = reply["memories"]["vivid"] + reply["memories"]["associated"]
        self.assertEqual([m["id"] for m in found], expected)
        for memory in found:
            self.assertAlmostEqual(memory["similarity_score"],
                                   cosine(query, vectors[memory["id"]]), places=5)


class IngestTools(ApiTest):
    """bulk_ingest.py and its kin: many concurrent POSTs, then a walk over all of it."""

    COUNT = 400

    def ingest(self):
        local = threading.local()

        def post(i):
            if not hasattr(local, "client"):
                local.client = self.client(timeout=30)
            reply = local.client.request("POST", "/api/v1/memories", {
                "content": f"document {i}", "embedding": embedding(i),
                "confidence": 0.05 + (i % 10) / 10})
            self.assertEqual(reply.status, 201, reply)
            return reply.json["memory_id"]

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            return list(pool.map(post, range(self.COUNT)))

    def walk_by_offset(self, limit):
        seen = []
        while True:
            page = self.server.ok("GET", "/api/v1/memories?tier=all&include_embeddings=true"
                                         f"&limit={limit}&offset={len(seen)}")
            if not page["memories"]:
                return seen
            seen += page["memories"]

    def test_every_post_is_there_after_a_kill_exactly_once_and_as_it_was_sent(self):
        self.assertEqual(self.server.ok("GET", "/health")["status"], "healthy")
        ids = self.ingest()
        self.assertEqual(len(set(ids)), self.COUNT)
        self.restart(kill=True)
        memories = self.walk_by_offset(90)
        self.assertEqual([m["id"] for m in memories], sorted(ids))
        by_id = {m["id"]: m for m in memories}
        for i in range(0, self.COUNT, 17):
            memory = by_id[ids[i]]
            self.assertEqual(memory["content"], f"document {i}")
            self.assertAlmostEqual(memory["confidence"], 0.05 + (i % 10) / 10, delta=1e-6)
            for sent, got in zip(embedding(i), memory["embedding"]):
                self.assertAlmostEqual(sent, got, delta=1e-8)
        counts = self.server.ok("GET", "/api/v1/memories?limit=1")["tier_counts"]
        self.assertEqual(counts["total"], self.COUNT)
        self.assertEqual(counts["hot"] + counts["warm"] + counts["cold"], self.COUNT)
        tiers = [len(self.server.ok("GET", f"/api/v1/memories?limit=1000&tier={tier}")["memories"])
                 for tier in ("hot", "warm", "cold")]
        self.assertEqual(tiers, [counts["hot"], counts["warm"], counts["cold"]])
        self.assertTrue(all(tiers), tiers)


class CommandLine(ApiTest):
    """Upstream's own `engram memory ...`: with its name for the space header."""

    def test_create_get_search_list_delete_in_a_space(self):
        headers = {"X-Engram-Memory-Space": "research"}
        self.assertEqual(self.server.call("POST", "/api/v1/spaces", {"id": "research"}).status, 201)
        made = self.server.ok("POST", "/api/v1/memories",
                              {"content": "Test memory", "confidence": 0.9}, headers)
        memory_id = made["memory_id"]
        self.assertGreater(made["storage_confidence"]["value"], 0)
        got = self.server.ok("GET", f"/api/v1/memories/{memory_id}", headers=headers)
        self.assertEqual(got["content"], "Test memory")
        listed = self.server.ok("GET", "/api/v1/memories?limit=10&offset=0", headers=headers)
        self.assertEqual([m["id"] for m in listed["memories"]], [memory_id])
        found = self.server.ok("GET", "/api/v1/memories/search?query=test&limit=10", headers=headers)
        self.assertEqual([m["id"] for m in found["memories"]], [memory_id])
        self.assertEqual(self.server.call("GET", f"/api/v1/memories/{memory_id}").status, 404)
        self.assertEqual(self.server.call("DELETE", f"/api/v1/memories/{memory_id}",
                                          headers=headers).status, 200)
        self.assertEqual(self.server.call("GET", f"/api/v1/memories/{memory_id}",
                                          headers=headers).json["error"]["code"],
                         "MEMORY_NOT_FOUND")
        spaces = self.server.ok("GET", "/api/v1/spaces")["spaces"]
        self.assertIn("research", [s["id"] for s in spaces])
        health = self.server.ok("GET", "/api/v1/system/health")
        for key in ("status", "timestamp", "checks", "spaces"):
            self.assertIn(key, health)


class Demo(ApiTest):
    """demo.sh, quickstart.md, README.md and the jq paths they read."""

    def test_the_quickstart_resolves(self):
        stored = self.server.ok("POST", "/api/v1/memories/remember", {
            "content": "The mitochondria is the powerhouse of the cell", "confidence": 0.95})
        self.assertIn("successfully encoded", stored["system_message"])
        for text in ("Photosynthesis converts light", "Water boils at 100 C"):
            self.server.ok("POST", "/api/v1/memories/remember", {"content": text})
        recalled = self.server.ok("GET", "/api/v1/memories/recall?query=mitochondria")
        vivid = recalled["memories"]["vivid"]
        self.assertEqual([m["id"] for m in vivid], [stored["memory_id"]])
        self.assertEqual(vivid[0]["content"], "The mitochondria is the powerhouse of the cell")
        self.assertEqual(vivid[0]["confidence"]["value"], 1.0)
        episode = self.server.ok("POST", "/api/v1/episodes/remember", {
            "what": "Learned about cells", "when": "2025-10-21T18:29:18Z", "where": "library",
            "confidence": 0.9})
        self.assertIn("Episode '", episode["system_message"])
        beliefs = self.server.ok("GET", "/api/v1/consolidations")
        self.assertEqual(beliefs["beliefs"], [])
        asked = self.server.ok("GET", "/api/v1/query/probabilistic?query=cells&threshold=0.5")
        self.assertEqual(asked["results"][0]["id"], episode["memory_id"])
        self.assertEqual(self.server.call("GET", "/docs").status, 200)
        document = self.server.ok("GET", "/api-docs/openapi.json")
        self.assertIn("/api/v1/memories/recall", document["paths"])
        # The demo's old payload, and what it asks for that no server has.
        self.assertEqual(self.server.call("POST", "/api/v1/complete", {"partial": "x"}).status, 422)
        self.assertEqual(self.server.call("POST", "/api/v1/query/execute", {}).status, 404)

    def test_texts_alone_are_all_kept_and_found_after_a_restart(self):
        self.check_texts(kill=False)

    def test_texts_alone_are_all_kept_and_found_after_a_kill(self):
        self.check_texts(kill=True)

    def check_texts(self, kill):
        texts = [f"the same words in another order {i:02}" for i in range(50)]
        ids = [self.server.ok("POST", "/api/v1/memories/remember", {"content": t})["memory_id"]
               for t in texts]
        self.restart(kill)
        for memory_id, text in zip(ids, texts):
            self.assertEqual(self.server.get(memory_id).json["content"], text)
            query = urllib.parse.quote(text)
            found = self.server.ok("GET", f"/api/v1/memories/search?query={query}&limit=1000")
            self.assertIn(memory_id, [m["id"] for m in found["memories"]])
            recalled = self.server.ok("GET", f"/api/v1/memories/recall?query={query}")
            self.assertIn(memory_id, [m["id"] for m in recalled["memories"]["vivid"]])
        self.assertEqual(sorted(self.server.list_all()), sorted(ids))


class Streams(ApiTest):
    """Server-sent events: what happens in one space, and in no other."""

    def events(self, path, act, count, headers=()):
        """The first events, as (name, data)."""
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.server.port))) as stream:
            stream.settimeout(10)
            lines = [f"GET {path} HTTP/1.1", "Host: x", *headers]
            stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
            text = b""
            while b"\r\n\r\n" not in text:
                text += stream.recv(65536)
            self.assertIn(b"text/event-stream", text)
            time.sleep(0.7)  # it has looked once
            for step in act:
                step()
                time.sleep(0.7)
            while len(re.findall(rb"\ndata: [^\n]*\n\n", text)) < count:
                text += stream.recv(65536)
        found, name = [], None
        for line in text.decode().splitlines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((name, json.loads(line.removeprefix("data: "))))
        return found

    def test_the_space_of_a_stream_is_named_as_everywhere(self):
        self.server.put("a", "text")
        self.server.put("a", "text", space="tenant-a")
        act = [lambda: self.server.put("b", "text"),
               lambda: self.server.put("b", "text", space="tenant-a")]
        for path, headers in (("?space=tenant-a", ()), ("", ("X-Memory-Space: tenant-a",)),
                              ("", ("X-Engram-Memory-Space: tenant-a",))):
            name, data = self.events("/api/v1/stream/activities" + path, act, 1, headers)[0]
            self.assertEqual((name, data["memory_space_id"]), ("storage", "tenant-a"))
            self.assertEqual((data["writes"], data["memories"]), (1, 2))
        name, data = self.events("/api/v1/stream/consolidation", [], 1,
                                 ["X-Memory-Space: tenant-a"])[0]
        self.assertEqual((name, data["memory_space_id"], data["episodes"]),
                         ("progress", "tenant-a", 2))

    def test_what_comes_and_what_goes_have_names_of_their_own(self):
        self.server.put("a", "text")
        act = [lambda: self.server.put("b", "text"), lambda: self.server.delete("a")]
        events = self.events("/api/v1/stream/memories", act, 2)
        self.assertEqual([(name, data["event_type"], data["memories"]) for name, data in events],
                         [("formation", "formation", 2), ("deletion", "deletion", 1)])

    def test_a_name_that_is_none_is_refused(self):
        for stream in ("migration", "activities", "memories", "consolidation"):
            path = "/api/v1/stream/" + stream
            self.assertEqual(self.server.call("GET", path + "?space=..%2Fx").status, 400, stream)
            self.assertEqual(self.server.call("GET", path, headers={
                "X-Memory-Space": "one", "X-Memory-Space-Id": "two"}).status, 400, stream)


class BadInput(ApiTest):
    def test_each_has_its_code_in_the_error_shape_and_changes_nothing(self):
        post = "/api/v1/memories/remember"
        cases = [
            ("POST", post, {"content": "  "}, 400, "INVALID_MEMORY_INPUT"),
            ("POST", post, {"content": "x" * 100_001}, 400, "INVALID_MEMORY_INPUT"),
            ("POST", post, {"content": "c", "embedding": [0.5] * 767}, 400,
             "INVALID_MEMORY_INPUT"),
            ("POST", post, {"content": "c", "confidence": 1e39}, 400, "INVALID_MEMORY_INPUT"),
            ("POST", post, {"content": "c", "confidence": float("nan")}, 400,
             "INVALID_MEMORY_INPUT"),
            ("POST", post, {}, 422, "MEMORY_VALIDATION_ERROR"),
            ("POST", "/api/v1/memories", {}, 400, "INVALID_MEMORY_INPUT"),
            ("GET", "/api/v1/memories/recall", None, 400, "INVALID_MEMORY_INPUT"),
            ("GET", "/api/v1/memories?tier=tepid", None, 400, "BAD_REQUEST"),
            ("GET", "/api/v1/memories?limit=abc", None, 400, "BAD_REQUEST"),
            ("GET", "/api/v1/memories?space=..%2Fx", None, 400, "INVALID_MEMORY_INPUT"),
            ("POST", post, {"content": "c", "id": "search"}, 400, "INVALID_MEMORY_INPUT"),
            ("POST", post, {"content": "c", "id": "x" * 40_000}, 400, "INVALID_MEMORY_INPUT"),
            ("GET", "/api/v1/memories/nobody", None, 404, "MEMORY_NOT_FOUND"),
            ("DELETE", "/api/v1/memories/nobody", None, 404, "MEMORY_NOT_FOUND"),
        ]
        for method, path, body, status, code in cases:
            reply = self.server.call(method, path, body)
            self.assertEqual((reply.status, reply.json["error"]["code"]), (status, code),
                             (method, path, str(body)[:60]))
            self.assertTrue(reply.json["error"]["cognitive_guidance"])
        for raw in (b"{", b"{\"content\": \"\xff\"}", b"{\"content\":\"c\"}x", b"[" * 100_000):
            client = self.client()
            client.request("GET", "/health/alive")
            client.connection.request("POST", post, raw, {"Content-Type": "application/json"})
            response = client.connection.getresponse()
            self.assertEqual(response.status, 400, raw[:20])
            self.assertIn("error", json.loads(response.read()))
        self.assertEqual(self.server.ok("GET", "/api/v1/memories")["total"], 0)

    def test_differing_space_headers_are_refused_on_reads_and_writes(self):
        headers = {"X-Memory-Space": "one", "X-Memory-Space-Id": "two"}
        self.assertEqual(self.server.call("GET", "/api/v1/memories", headers=headers).status, 400)
        self.assertEqual(self.server.call("POST", "/api/v1/memories", {"content": "c"},
                                          headers).status, 400)
        spaces = [s["id"] for s in self.server.ok("GET", "/api/v1/spaces")["spaces"]]
        self.assertNotIn("one", spaces)
        self.assertNotIn("two", spaces)


if __name__ == "__main__":
    unittest.main()
