#!/usr/bin/env python3
"""A server that is stopped while it is busy with itself."""
import os
import time
import unittest

from harness import StoreTest
from server_process import Server


class Stop(StoreTest):
    def test_a_stop_does_not_wait_for_the_bootstrap_spaces(self):
        names = [f"space-{i:03}" for i in range(400)]
        listed = ", ".join(f'"{name}"' for name in ["default", *names])
        server = Server(self.folder, self.root,
                        config=f"[memory_spaces]\nbootstrap_spaces = [{listed}]\n"
                               "[storage]\nmax_open_spaces = 500\n")
        try:
            server.start()
            server.put("kept", "text")
            made = len(list(self.root.glob("space-*")))
            self.assertLess(made, len(names), "all are made already: the test is too slow")
            began = time.monotonic()
            self.assertEqual(server.stop(deadline=60), 0, server.tail())
            self.assertLess(time.monotonic() - began, 5)
            self.assertLess(len(list(self.root.glob("space-*"))), len(names))
            server.start()
            self.assertEqual(server.get("kept").status, 200)
            deadline = time.monotonic() + 60
            while len(list(self.root.glob("space-*/dual/STORE"))) < len(names):
                self.assertLess(time.monotonic(), deadline, server.tail())
                time.sleep(0.1)
            for name in names[::8]:
                server.put("one", "text", space=name)
                self.assertEqual(server.get("one", f"?space={name}").status, 200)
            threads = len(os.listdir(f"/proc/{server.process.pid}/task"))
            self.assertLess(threads, 40, "with 400 spaces open")
            began = time.monotonic()
            self.assertEqual(server.stop(deadline=60), 0, server.tail())
            self.assertLess(time.monotonic() - began, 5, "with all of them open")
        finally:
            server.close()


if __name__ == "__main__":
    unittest.main()
