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

    def reopen(self):
        return self.server.call("POST", "/api/v1/admin/space/reopen?space=ill", {})

    def test_a_space_is_reopened_on_request(self):
        self.assertEqual(self.reopen().status, 404, "nothing is open under this name")
        self.assertEqual(self.remember("before", "ill").status, 201)
        self.fault.touch()
        self.assertEqual(self.remember("during", "ill").status, 503)
        self.assertGreaterEqual(self.reopen().status, 500, "the device is still ill")
        self.fault.unlink()
        self.assertEqual(self.remember("after", "ill").status, 201, "any use opens it again")
        self.fault.touch()
        self.assertEqual(self.remember("during", "ill").status, 503)
        self.fault.unlink()
        self.assertEqual(self.remember("latched", "ill").status, 503)
        reply = self.reopen()
        self.assertEqual((reply.status, reply.json["space"]), (200, "ill"), reply)
        self.assertEqual(self.remember("again", "ill").status, 201)
        headers = {"X-Memory-Space": "ill"}
        for memory_id in ("before", "after", "again"):
            self.assertEqual(self.server.call("GET", f"/api/v1/memories/{memory_id}",
                                              headers=headers).status, 200)
        self.assertEqual(self.latched("ill"), 0)
        self.assertEqual(self.reopen().status, 200, "a healthy one as well")
        self.assertEqual(self.server.stop(), 0, self.server.tail())


if __name__ == "__main__":
    unittest.main()
