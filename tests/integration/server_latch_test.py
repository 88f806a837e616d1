#!/usr/bin/env python3
"""A server whose device refuses a write to the log of a space."""
import unittest

from exposition import Exposition
from harness import BINARIES, StoreTest
from server_process import Server


class Latched(StoreTest):
    def setUp(self):
        super().setUp()
        self.fault = self.folder / "fault"
        self.server = Server(self.folder, self.root, env={
            "LD_PRELOAD": str(BINARIES / "flush_fault.so"),
            "ASAN_OPTIONS": "verify_asan_link_order=0",
            "ENGRAM_TEST_FLUSH_FAULT": str(self.fault),
            "ENGRAM_STORAGE_LOG_IO": "pwrite"})
        self.server.start()

    def tearDown(self):
        self.server.close()
        super().tearDown()

    def latched(self, space):
        text = self.server.call("GET", "/metrics/prometheus").body.decode()
        return Exposition(text).value("engram_space_latched", space=space)

    def remember(self, memory_id, space):
        return self.server.call("POST", "/api/v1/memories", {"id": memory_id, "content": memory_id},
                                {"X-Memory-Space": space})

    def test_writes_are_refused_with_503_everyone_says_so_and_a_restart_recovers(self):
        for i in range(20):
            self.assertEqual(self.remember(f"before-{i}", "ill").status, 201)
        self.assertEqual(self.remember("well", "other").status, 201)
        self.assertEqual(self.latched("ill"), 0)
        self.fault.touch()
        refused = [self.remember(f"during-{i}", "ill") for i in range(3)]
        self.fault.unlink()
        refused.append(self.remember("later", "ill"))
        for reply in refused:
            self.assertEqual(reply.status, 503, reply)
            self.assertEqual(reply.json["error"]["code"], "MEMORY_CLUSTER_UNAVAILABLE")
            self.assertIn("restart", reply.json["error"]["cognitive_guidance"])
            self.assertIsNotNone(reply.headers["Retry-After"])
            self.assertNotIn(str(self.root), reply.body.decode())
        headers = {"X-Memory-Space": "ill"}
        for i in range(20):
            self.assertEqual(self.server.call("GET", f"/api/v1/memories/before-{i}",
                                              headers=headers).status, 200, "reads go on")
        self.assertEqual(self.remember("still-well", "other").status, 201)
        self.assertEqual((self.latched("ill"), self.latched("other")), (1, 0))
        self.assertEqual(self.server.call("GET", "/health").json["status"], "unhealthy")
        health = self.server.call("GET", "/api/v1/system/health").json
        self.assertEqual({s["space"]: s["latched"] for s in health["spaces"]
                          if s["space"] in ("ill", "other")}, {"ill": True, "other": False})
        self.assertIn("ill", [c["message"] for c in health["checks"] if c["name"] == "spaces"][0])
        self.server.stop()
        self.server.start()
        for i in range(20):
            self.assertEqual(self.server.call("GET", f"/api/v1/memories/before-{i}",
                                              headers=headers).status, 200, "acknowledged is kept")
        self.assertEqual(self.remember("after", "ill").status, 201)
        self.assertEqual(self.latched("ill"), 0)
        self.assertEqual(self.server.ok("GET", "/health")["status"], "healthy")


if __name__ == "__main__":
    unittest.main()
