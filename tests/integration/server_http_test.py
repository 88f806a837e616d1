#!/usr/bin/env python3
"""Bad input, hostile clients, start and shutdown: through sockets, against the running server."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import BINARIES, SCALE, StoreTest
from server_process import Client, Server, free_port

EMBEDDING = [0.1] * 768


class Wire:
    """A connection over which exactly the given bytes go."""

    def __init__(self, port, timeout=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False when the server does not take it any more."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except OSError:
            return False
        self.received += data
        return bool(data)

    def answer(self):
        """(status, headers, body), or None when the server closes without one."""
        while b"\r\n\r\n" not in self.received:
            if not self.fill():
                return None
        head, _, rest = self.received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in
                   (line.split(": ", 1) for line in lines[1:])}
        size = int(headers.get("content-length", 0))
        while len(rest) < size and self.fill():
            rest = self.received.partition(b"\r\n\r\n")[2]
        self.received = rest[size:]
        return int(lines[0].split()[1]), headers, rest[:size]

    def closed_within(self, seconds):
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def request(method, path, body=b"", *headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"


class HttpTest(StoreTest):
    config = None

    def setUp(self):
        super().setUp()
        self.server = self.started(config=self.config)

    def started(self, root=None, **options):
        server = Server(self.folder, root or self.root, **options)
        self.addCleanup(server.close)
        server.start()
        return server

    def wire(self, timeout=10):
        return Wire(self.server.port, timeout)

    def ask(self, data):
        with self.wire() as wire:
            wire.send(data)
            return wire.answer()

    def expect_error(self, data, status, code=None):
        answer = self.ask(data)
        self.assertIsNotNone(answer, data[:200])
        self.assertEqual(answer[0], status, (data[:200], answer[2][:500]))
        error = json.loads(answer[2])
        self.assertEqual(set(error), {"error", "documentation"})
        self.assertEqual(set(error["error"]), {"code", "message", "educational_context",
                                               "cognitive_guidance"})
        for text in error["error"].values():
            self.assertTrue(text, error)
        self.assertNotIn(str(self.root), answer[2].decode(), "a path of the machine is shown")
        if code is not None:
            self.assertEqual(error["error"]["code"], code, data[:200])
        self.assertEqual(answer[1]["x-content-type-options"], "nosniff")

    def expect_alive(self):
        self.assertIsNone(self.server.process.poll(), self.server.tail())
        self.assertEqual(self.server.call("GET", "/health").status, 200)

    def rss_mib(self):
        return self.server.resident_anon_bytes() / 2**20


class BadInput(HttpTest):
    def post(self, body, path="/api/v1/memories/remember"):
        return request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(),
                       JSON)

    def test_bodies(self):
        text = {"content": "x"}
        for body, status in [
                (b"{", 400), (b'{"content": "x",}', 400), (b"\xff\xfe", 400), (b"", 400),
                (b'{"content": "\xff"}', 400),
                (b"[" * 100_000, 400),
                (b"[]", 422), (b"{}", 422), (b'{"content": 5}', 422),
                ({**text, "confidence": "high"}, 422),
                ({**text, "embedding": EMBEDDING[1:]}, 400),
                ({**text, "embedding": EMBEDDING + [1.0]}, 400),
                (b'{"content": "x", "confidence": NaN}', 400),
                (b'{"content": "x", "confidence": Infinity}', 400),
                ({"content": "x" * 100_001}, 400), ({"content": " \n\t "}, 400), ({"content": ""}, 400)]:
            answer = self.ask(self.post(body))
            self.assertIsNotNone(answer, body if isinstance(body, bytes) else str(body)[:100])
            self.assertIn(answer[0], {status},
                          (str(body)[:100], answer[2][:300]))
            self.assertIn("error", json.loads(answer[2]))
        self.expect_error(self.post(b'{"content": "x", "embedding": [' +
                                    b",".join([b"1e39"] + [b"0.1"] * 767) + b"]}",
                                    "/api/v1/memories"), 400, "INVALID_MEMORY_INPUT")
        self.expect_error(self.post({**text, "embedding": EMBEDDING[1:]}, "/api/v1/memories"), 400,
                          "INVALID_MEMORY_INPUT")
        self.expect_alive()
        self.assertEqual(self.server.ok("GET", "/api/v1/memories")["memories"], [])

    def test_no_content_type(self):
        for route in ["/api/v1/memories", "/api/v1/memories/remember", "/api/v1/episodes/remember",
                      "/api/v1/spaces", "/api/v1/query", "/api/v1/complete", "/api/v1/admin/features"]:
            self.expect_error(request("POST", route, b"{}"), 415)
            self.expect_error(request("POST", route, b"{}", "Content-Type: text/plain"), 415)

    def test_routes_and_methods(self):
        self.expect_error(request("GET", "/api/v1/nothing"), 404, "RESOURCE_NOT_FOUND")
        self.expect_error(request("GET", "/"), 404, "RESOURCE_NOT_FOUND")
        for method in ["PUT", "PATCH", "BREW", "CONNECT", "TRACE"]:
            self.expect_error(request(method, "/api/v1/memories"), 405, "METHOD_NOT_ALLOWED")
        answer = self.ask(request("DELETE", "/api/v1/memories"))
        self.assertEqual(answer[0], 405)
        self.assertIn("GET", answer[1]["allow"])
        self.assertIn("POST", answer[1]["allow"])

    def test_space_ids(self):
        for name in ["../x", ".", "..", "a/b", "\u00e9\u00e9\u00e9".encode().decode("latin-1"), "x" * 65,
                     "ab", "UPPER", "a b c", "%2e%2e"]:
            self.expect_error(request("GET", "/api/v1/memories", b"", f"X-Memory-Space: {name}"), 400,
                              "INVALID_MEMORY_INPUT")
        self.expect_error(request("GET", "/api/v1/memories?space=..%2F..%2Fetc"), 400)
        self.expect_error(request("GET", "/api/v1/memories?space=%00%00%00"), 400)
        self.expect_error(self.post({"id": "../../x"}, "/api/v1/spaces"), 400)
        self.expect_error(request("GET", "/api/v1/memories", b"", "X-Memory-Space: one-space",
                                  "X-Engram-Memory-Space: another"), 400)
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), [".engram", "default"])

    def test_large_bodies(self):
        before = self.rss_mib()
        for size in [(2 << 20) + 1, 12 << 20]:
            self.expect_error(self.post(b" " * size), 413, "PAYLOAD_TOO_LARGE")
        chunk = b"10000\r\n" + b"c" * 0x10000 + b"\r\n"
        head = b"POST /api/v1/memories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self.expect_error(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 64, 413)
        self.expect_error(head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", 413)
        self.expect_error(head + b"Content-Length: 18446744073709551615\r\n\r\nx", 413)
        self.expect_error(head + b"Content-Length: 18446744073709551616\r\n\r\nx", 400)
        # A client that would send for ever is cut off.
        with self.wire() as wire:
            wire.send(head + b"Content-Length: 99999999999\r\n\r\n")
            sent, end = 0, time.monotonic() + 20
            while wire.send(b"x" * 65536) and time.monotonic() < end:
                sent += 65536
            self.assertLess(sent, 64 << 20)
            self.assertLess(time.monotonic(), end)
        self.expect_alive()
        self.assertLess(self.rss_mib() - before, 64)

    def test_declared_lengths_allocate_nothing(self):
        before = self.rss_mib()
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                wire = stack.enter_context(self.wire())
                wire.send(request("POST", "/api/v1/memories", b"", JSON).replace(
                    b"Content-Length: 0", b"Content-Length: 2097152"))
            time.sleep(0.3)
            self.assertLess(self.rss_mib() - before, 64)
            self.expect_alive()

    def test_ambiguous_framing(self):
        head = "POST /api/v1/memories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for extra in ["Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2\r\nContent-Length: 3\r\n",
                      "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                      "Host: y\r\nContent-Length: 2\r\n", "Content-Length: 0x2\r\n", "Content-Length: 2 2\r\n",
                      " Folded: x\r\nContent-Length : 2\r\n"]:
            self.expect_error((head + extra + "\r\n{}").encode(), 400, "BAD_REQUEST")
        self.expect_error(b"GET /health HTTP/1.1\r\n\r\n", 400)
        self.expect_error(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431)
        self.expect_error(b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431)

    def test_pipelined_garbage(self):
        with self.wire() as wire:
            wire.send(request("GET", "/health/alive") * 3 + b"\x00\x01garbage\r\n\r\n" +
                      request("POST", "/shutdown"))
            self.assertEqual([wire.answer()[0] for _ in range(4)], [200, 200, 200, 400])
            self.assertIsNone(wire.answer())
        for garbage in [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                        b"\r\n\r\n\r\nx", os.urandom(4096)]:
            with self.wire() as wire:
                wire.send(garbage + b"\r\n\r\n")
                answer = wire.answer()
                if answer is not None:
                    self.assertIn(answer[0], (400, 431))
        self.expect_alive()

    def test_long_targets(self):
        query = "%5B" + ",".join(["0.12345678901234"] * 900) + "%5D"
        self.assertGreater(len(query), 14_000)
        self.assertEqual(self.ask(request("GET", "/api/v1/memories?limit=1&unknown=" + query))[0], 200)

    def test_origins(self):
        own = f"Origin: http://127.0.0.1:{self.server.port}"
        body = json.dumps({"content": "from a page"}).encode()
        for origin in ["null", "http://evil.example", f"https://127.0.0.1:{self.server.port}",
                       f"http://127.0.0.1:{self.server.port + 1}"]:
            header = f"Origin: {origin}"
            for path in ["/api/v1/memories", "/api/v1/memories/remember", "/api/v1/spaces",
                         "/api/v1/admin/features", "/shutdown"]:
                self.expect_error(request("POST", path, body, JSON, header), 403, "FORBIDDEN")
            self.expect_error(request("DELETE", "/api/v1/memories/x", b"", header), 403, "FORBIDDEN")
            for path in ["/api/v1/admin/config", "/api/v1/admin/config/server.http_port",
                         "/api/v1/admin/features", "/api/v1/admin/migration",
                         "/api/v1/admin/memories", "/api/v1/admin/memories/x",
                         "/api/v1/admin/space", "/api/v1/stream/migration"]:
                answer = self.ask(request("GET", path, b"", header))
                self.assertEqual(answer[0], 403, path)
                self.assertNotIn("access-control-allow-origin", answer[1])
            self.assertEqual(self.ask(request("GET", "/health", b"", header))[0], 200)
            self.assertEqual(self.ask(request("GET", "/api/v1/memories", b"", header))[0], 200)
        self.assertEqual(self.ask(request("POST", "/api/v1/memories", body, JSON, own))[0], 201)
        self.assertEqual(self.ask(request("GET", "/api/v1/admin/features", b"", own))[0], 200)
        self.expect_alive()


class HostileClients(HttpTest):
    config = "[server]\nheader_deadline_ms = 1000\nbody_deadline_ms = 1500\n"

    def test_slow_clients_are_ended(self):
        """Bytes that trickle in move no deadline."""
        with self.wire() as header, self.wire() as body, self.wire() as half:
            half.send(b"GET /health HTTP/1.1\r\nHost: x\r\n")
            half.socket.shutdown(socket.SHUT_WR)
            body.send(request("POST", "/api/v1/memories", b"x" * 1000, JSON)[:-1000])
            began = time.monotonic()
            header.send(b"GET /health HTTP/1.1\r\n")
            while time.monotonic() - began < 2.5:
                header.send(b"A: b\r\n")
                body.send(b" ")
                time.sleep(0.1)
            self.assertEqual(header.answer()[0], 408)
            self.assertEqual(body.answer()[0], 408)
            self.assertTrue(half.closed_within(1))
        self.expect_alive()

    def test_slow_clients_in_numbers_hold_nobody_up(self):
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(self.wire()) for _ in range(500)]
            for wire in wires:
                wire.send(b"GET /health HT")
            worst = 0
            for _ in range(50):
                began = time.monotonic()
                self.expect_alive()
                worst = max(worst, time.monotonic() - began)
            self.assertLess(worst, 1)

    def test_a_client_that_never_reads(self):
        for i in range(64):
            self.server.put(f"big-{i}", "x" * 90_000, embedding=EMBEDDING)
        before = self.rss_mib()
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                wire = stack.enter_context(self.wire())
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                wire.send(request("GET", "/api/v1/memories?tier=all&limit=64&include_embeddings=true") * 50)
            time.sleep(1)
            self.expect_alive()
            if SCALE != "sanitizer":  # which keeps what was freed
                self.assertLess(self.rss_mib() - before, 20 * 16 + 64)

    def test_a_thousand_idle_connections(self):
        self.expect_alive()
        before = self.rss_mib()
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(self.wire()) for _ in range(1000)]
            for wire in wires:
                wire.send(request("GET", "/health/alive"))
            for wire in wires:
                self.assertEqual(wire.answer()[0], 200)
            self.assertLess(self.rss_mib() - before, 32)
            began = self.server.cpu_seconds()
            time.sleep(2)
            self.assertLess(self.server.cpu_seconds() - began, 0.2, "busy while all are idle")
            self.expect_alive()
            for wire in wires[::50]:
                wire.send(request("GET", "/health/alive"))
                self.assertEqual(wire.answer()[0], 200)


class ConnectionLimit(HttpTest):
    config = "[server]\nconnections_max = 50\n"

    def test_the_longest_idle_gives_way(self):
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(self.wire()) for _ in range(200)]
            deadline = time.monotonic() + 10
            while sum(wire.closed_within(0.001) for wire in wires) < 140:
                self.assertLess(time.monotonic(), deadline, "they stay open")
            self.expect_alive()
            self.assertTrue(wires[0].closed_within(1))
            # Two loops take them in, so the last one that came need not be the one that waits shortest.
            left = [wire for wire in wires if not wire.closed_within(0.001)]
            self.assertLessEqual(len(left), 50)
            left[-1].send(request("GET", "/health/alive"))
            self.assertEqual(left[-1].answer()[0], 200)


class Keys(HttpTest):
    config = '[server]\napi_key = "first-key"\n'

    def test_the_key_guards_everything_but_the_probes(self):
        for path in ["/api/v1/memories", "/api/v1/system/introspect", "/metrics", "/metrics/prometheus",
                     "/api/v1/nothing"]:
            self.expect_error(request("GET", path), 401, "UNAUTHORIZED")
            self.expect_error(request("GET", path, b"", "Authorization: Bearer first-ke"), 401, "UNAUTHORIZED")
        self.expect_error(request("POST", "/shutdown"), 401, "UNAUTHORIZED")
        for path in ["/health", "/health/alive"]:
            self.assertEqual(self.ask(request("GET", path))[0], 200)
        self.assertEqual(self.ask(request("GET", "/api/v1/memories", b"",
                                          "Authorization: Bearer first-key"))[0], 200)
        self.assertEqual(self.ask(request("GET", "/api/v1/memories", b"",
                                          "Authorization: bearer   first-key"))[0], 200)

    def test_a_new_key_counts_after_sighup(self):
        self.server.config.write_text('[server]\napi_key = "second-key"\n')
        self.server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 5
        second = request("GET", "/api/v1/memories", b"", "Authorization: Bearer second-key")
        while self.ask(second)[0] != 200:
            self.assertLess(time.monotonic(), end, self.server.tail())
            time.sleep(0.05)
        self.expect_error(request("GET", "/api/v1/memories", b"", "Authorization: Bearer first-key"), 401)
        # A file that is wrong changes nothing.
        self.server.config.write_text("[server]\napi_keyy = 1\n")
        self.server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        self.assertEqual(self.ask(second)[0], 200)


class Lifecycle(HttpTest):
    config = "[logging]\nformat = \"json\"\nlevel = \"debug\"\n"

    def start_raw(self, root, port, *arguments, env=None):
        return subprocess.run([str(BINARIES / "engram"), "start", "--data-root", str(root), "--port",
                               str(port), *arguments], capture_output=True, text=True, timeout=20,
                              env={**self.server.environment(), **(env or {})})

    def pid_file(self):
        return self.folder / "engram.pid"

    def test_the_pid_file_names_process_and_port(self):
        self.assertEqual(self.pid_file().read_text().strip(),
                         f"{self.server.process.pid}:{self.server.port}")
        self.assertEqual(self.server.stop(), 0)
        self.assertFalse(self.pid_file().exists())

    def test_a_second_server_on_a_data_root_is_refused(self):
        before = self.pid_file().read_text()
        own = self.folder / "2.pid"
        second = self.start_raw(self.root, free_port(), env={"ENGRAM_PID_PATH": str(own)})
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertIn(str(self.server.process.pid), second.stderr)
        self.assertFalse(own.exists())
        self.assertEqual(self.start_raw(self.root, free_port()).returncode, 1)
        self.assertEqual(self.pid_file().read_text(), before)
        self.expect_alive()

    def test_a_taken_port_is_an_error_that_names_it(self):
        other = self.folder / "other"
        refused = self.start_raw(other, self.server.port, env={"ENGRAM_PID_PATH": str(self.folder / "2.pid")})
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"127.0.0.1:{self.server.port}", refused.stderr)
        self.assertFalse((self.folder / "2.pid").exists())

    def test_an_address_beyond_the_loopback_needs_a_key(self):
        other = self.folder / "other"
        refused = self.start_raw(other, free_port(), env={"ENGRAM_HTTP_BIND": "0.0.0.0"})
        self.assertEqual(refused.returncode, 1)
        self.assertIn("api_key", refused.stderr)

    def test_sigterm_ends_within_five_seconds_and_loses_nothing(self):
        acknowledged = []

        def write(n):
            client = Client(self.server.port)
            for i in range(100_000):
                try:
                    reply = client.request("POST", "/api/v1/memories",
                                           {"id": f"w{n}-{i}", "content": f"text {n} {i}"})
                except Exception:
                    return
                if reply.status != 201:
                    return
                acknowledged.append(f"w{n}-{i}")

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        idle = [self.wire() for _ in range(50)]
        slow = self.wire()
        slow.send(b"GET /health HT")
        stream = self.wire()
        stream.send(request("GET", "/api/v1/stream/migration"))
        for thread in threads:
            thread.start()
        time.sleep(1)
        began = time.monotonic()
        self.assertEqual(self.server.stop(), 0, self.server.tail())
        self.assertLess(time.monotonic() - began, 5)
        for thread in threads:
            thread.join()
        for wire in [*idle, slow, stream]:
            wire.socket.close()
        self.assertGreater(len(acknowledged), 50)
        self.server.start()
        found = self.server.list_all()
        self.assertEqual(set(acknowledged) - set(found), set())

    def test_post_shutdown_ends_it(self):
        reply = self.server.call("POST", "/shutdown")
        self.assertEqual((reply.status, reply.json["status"]), (200, "shutdown_initiated"))
        self.assertEqual(self.server.process.wait(5), 0)

    def test_requests_are_logged_as_json_lines_without_ids(self):
        self.server.put("secret-id", "secret words")
        reply = self.server.call("GET", "/api/v1/memories/secret-id?q=secret-query", None,
                                 {"X-Request-Id": "trace-1"})
        self.assertEqual(reply.headers["X-Request-Id"], "trace-1")
        self.assertEqual(self.server.stop(), 0)
        text = self.server.log.read_text()
        self.assertNotIn("secret", text)
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        found = [line for line in lines if line.get("request_id") == "trace-1"]
        self.assertEqual(len(found), 1)
        self.assertEqual((found[0]["message"], found[0]["method"], found[0]["route"], found[0]["status"]),
                         ("request", "GET", "/api/v1/memories/{id}", 200))
        self.assertGreater(found[0]["response_bytes"], 0)

    def test_systemd_is_told(self):
        path = str(self.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(10)
            other = self.folder / "other"
            server = self.started(root=other, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000",
                                                   "ENGRAM_PID_PATH": str(self.folder / "2.pid")})
            ready = manager.recv(4096).decode()
            self.assertTrue(ready.startswith("READY=1\n"), ready)
            self.assertIn(f"MAINPID={server.process.pid}", ready)
            self.assertEqual(manager.recv(4096), b"WATCHDOG=1")
            server.process.send_signal(signal.SIGHUP)
            told = []
            while not any(text.startswith("READY=1") for text in told):
                told.append(manager.recv(4096).decode())
            self.assertTrue(any(text.startswith("RELOADING=1\nMONOTONIC_USEC=") for text in told))
            server.process.send_signal(signal.SIGTERM)
            while told[-1] != "STOPPING=1":
                told.append(manager.recv(4096).decode())
            self.assertEqual(server.process.wait(5), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
