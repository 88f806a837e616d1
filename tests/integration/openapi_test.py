#!/usr/bin/env python3
"""Every route with good and bad input: it answers only what the served OpenAPI document says."""
import re
import unittest

from harness import StoreTest
from server_process import Client, Server

QUERIES = ["?limit=x", "?limit=0", "?depth=99999", "?embedding=[1]", "?threshold=9", "?query=",
           "?query=t", "?cursor=zz", "?offset=-1", "?tier=x", "?view=x", "?space=UP", "?space=none",
           "?mode=x", "?max_episodes=x", "?to=", "?to=none", "?from_time=x"]
BODIES = [None, {}, [], "x", {"content": 5}, {"content": "a"}, {"content": "x", "confidence": 7},
          {"content": "x", "embedding": ["a"]}, {"what": "e", "embedding": [1]}, {"to": "none"},
          {"to": "y"}, {"query_text": "DREAM x"}, {"query_text": "SPREAD FROM none"},
          {"query_text": "RECALL none"}, {"id": "../"}, {"value": {}}, {"value": "x"},
          {"value": -1}, {"action": "x"}, {"action": "online", "space": "none"}, {"paused": 5},
          {"rate_limit": -5}, {"batch_size": 0}, {"sample": "x"}, {"sample": 0},
          {"partial_episode": {}}, {"partial_episode": {"what": "t"}}, {"partial_episode": 5},
          {"input": ""}, {"input": "t", "threshold": 7}, {"decay": "x"}, {"decay": 5}]
HEADERS = [{}, {"X-Memory-Space": "../x"}, {"X-Memory-Space": "no-such-space"},
           {"Origin": "http://elsewhere.example"}, {"Content-Type": "text/plain"}]
SUBJECTS = ["x", "none", "no.such", "logging.level", "migration.paused", "server.http_port"]


class OpenApi(StoreTest):
    def test_no_route_answers_what_the_document_does_not_say(self):
        server = Server(self.folder, self.root)
        self.addCleanup(server.close)
        server.start()
        for memory_id in "x", "y":
            server.put(memory_id, "text")
        document = server.ok("GET", "/api-docs/openapi.json")
        client = Client(server.port)
        self.addCleanup(client.close)
        unsaid = set()
        asked = 0

        def ask(method, pattern, responses, path, body=None, headers=None):
            nonlocal asked
            reply = client.request(method, path, body, dict(headers or {}))
            asked += 1
            if str(reply.status) not in responses:
                unsaid.add((method, pattern, reply.status))

        for pattern, methods in document["paths"].items():
            if pattern == "/shutdown" or "/stream/" in pattern:
                continue
            for method, operation in methods.items():
                about = (method.upper(), pattern, operation["responses"])
                for subject in SUBJECTS if "{" in pattern else [""]:
                    path = re.sub(r"\{.*?\}", subject, pattern)
                    for query in QUERIES:
                        ask(*about, path + query)
                    for body in BODIES if method == "post" else [None]:
                        for headers in HEADERS:
                            ask(*about, path, body, headers)
        self.assertEqual(unsaid, set())
        self.assertGreater(asked, 1000)


if __name__ == "__main__":
    unittest.main()
