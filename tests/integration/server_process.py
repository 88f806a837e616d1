"""Runs `engram start` for the integration tests and talks to it. Standard library only."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.parse

from harness import BINARIES


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"HTTP {self.status}: {self.body[:500]!r}"


class Client:
    """One keep-alive connection. Not for two threads at once."""

    def __init__(self, port, timeout=60):
        self.port = port
        self.timeout = timeout
        self.connection = None

    def request(self, method, path, body=None, headers=None):
        """Sends once; what goes wrong below HTTP is the caller's (OSError, HTTPException)."""
        headers = dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                         timeout=self.timeout)
        try:
            self.connection.request(method, path, data, headers)
            response = self.connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        except Exception:
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One `engram start` over a data root; may be started again after it ended."""

    def __init__(self, folder, root, config=None, env=None):
        self.folder = pathlib.Path(folder)
        self.root = pathlib.Path(root)
        self.env = dict(env or {})
        self.config = None
        if config is not None:
            self.config = self.folder / "engram.toml"
            self.config.write_text(config)
        self.port = free_port()
        self.process = None
        self.log = self.folder / "server.log"
        self.starts = 0

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ENGRAM_")}
        env["ENGRAM_PID_PATH"] = str(self.folder / "engram.pid")
        env.update(self.env)
        return env

    def start(self, wait=True, deadline=20):
        arguments = [str(BINARIES / "engram"), "start", "--data-root", str(self.root),
                     "--port", str(self.port)]
        if self.config is not None:
            arguments += ["--config", str(self.config)]
        self.starts += 1
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log,
                                            env=self.environment(), cwd=self.folder)
        return self.wait_alive(deadline) if wait else None

    def wait_alive(self, deadline=20):
        """Seconds until /health/alive answered."""
        began = time.monotonic()
        while time.monotonic() - began < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n"
                                     + self.tail())
            try:
                if self.call("GET", "/health/alive").status == 200:
                    return time.monotonic() - began
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
        raise AssertionError(f"no answer within {deadline} s:\n" + self.tail())

    def tail(self):
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def stop(self, deadline=10):
        """SIGTERM; the exit code."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running {deadline} s after SIGTERM:\n" + self.tail())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    # One request on a connection of its own.
    def call(self, method, path, body=None, headers=None, timeout=60):
        client = Client(self.port, timeout)
        try:
            return client.request(method, path, body, headers)
        finally:
            client.close()

    def ok(self, method, path, body=None, headers=None):
        reply = self.call(method, path, body, headers)
        if reply.status not in (200, 201):
            raise AssertionError(f"{method} {path}: {reply}\n" + self.tail())
        return reply.json if reply.body else None

    def flag(self, on):
        answer = self.ok("POST", "/api/v1/admin/features", {"dual_memory_types": on})
        assert answer["dual_memory_types"] is on, answer

    def put(self, memory_id, content, space=None, **more):
        headers = {"X-Memory-Space": space} if space else None
        return self.ok("POST", "/api/v1/memories", {"id": memory_id, "content": content, **more},
                       headers)

    def get(self, memory_id, query=""):
        return self.call("GET", "/api/v1/memories/" + urllib.parse.quote(memory_id, safe="") + query)

    def delete(self, memory_id):
        return self.call("DELETE", "/api/v1/memories/" + urllib.parse.quote(memory_id, safe=""))

    def migration(self, space="default"):
        """The status object of one space."""
        return self.ok("GET", f"/api/v1/admin/migration?space={space}")["spaces"][0]

    def knobs(self, **changes):
        return self.ok("POST", "/api/v1/admin/migration", changes)["knobs"]

    def wait_migration(self, condition, what, space="default", deadline=60):
        began = time.monotonic()
        status = None
        while time.monotonic() - began < deadline:
            status = self.migration(space)
            if condition(status):
                return status
            time.sleep(0.02)
        raise AssertionError(f"{what}: not within {deadline} s; {status}\n" + self.tail())

    def wait_drained(self, space="default", deadline=60):
        return self.wait_migration(
            lambda s: s["remaining_old"] == 0 and s["phase"] in ("complete", "tail"),
            "the migrator has not finished", space, deadline)

    def resident_anon_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines()
                    if line.startswith("RssAnon:"))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def list_all(self, query=""):
        """id -> memory, following the cursor."""
        found = {}
        cursor = None
        while True:
            path = "/api/v1/memories?tier=all&limit=1000" + query
            if cursor is not None:
                path += "&cursor=" + urllib.parse.quote(cursor, safe="")
            page = self.ok("GET", path)
            for memory in page["memories"]:
                assert memory["id"] not in found, f"listed twice: {memory['id']}"
                found[memory["id"]] = memory
            cursor = page["pagination"].get("next_cursor")
            if cursor is None:
                return found
