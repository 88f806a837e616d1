#!/usr/bin/env python3
"""The commands around a running server: start, stop, status, config, and memory, space, verify through it."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import harness
from server_process import Server, free_port

FLAG = "features.dual_memory_types"


class ServerCliTest(harness.StoreTest):
    def setUp(self):
        super().setUp()
        self.home = self.folder / "home"
        self.home.mkdir()
        self.server = self.new_server()

    def new_server(self, root=None, config=None, **env):
        server = Server(self.folder, root or self.root, config, {"HOME": str(self.home), **env})
        self.addCleanup(server.close)
        return server

    def engram(self, *arguments, root=None, **options):
        return self.engram_anywhere(*arguments, "--data-root", root or self.root, **options)

    def engram_anywhere(self, *arguments, env=None, timeout=60, stdin=None):
        """As an operator who names no data root."""
        process = subprocess.run(
            [str(harness.BINARIES / "engram"), *map(str, arguments)], capture_output=True,
            text=True, env={**self.server.environment(), **(env or {})}, timeout=timeout,
            input=stdin, cwd=self.home)
        return harness.Result(process)

    def status(self, **options):
        """(exit code, the object, seconds it took)."""
        began = time.monotonic()
        result = self.engram("status", "--json", **options)
        return result.code, result.json, time.monotonic() - began

    def start(self):
        """The probe answers a moment before the server says that it serves."""
        self.server.start()
        began = time.monotonic()
        while self.server.tail().count("HTTP API: ") < self.server.starts:
            self.assertLess(time.monotonic() - began, 10)
            time.sleep(0.01)

    # --- start ---

    def test_start_serves_says_where_and_writes_the_pid_files(self):
        self.start()
        record = f"{self.server.process.pid}:{self.server.port}"
        self.assertEqual((self.folder / "engram.pid").read_text(), record)
        self.assertEqual((self.root / ".engram" / "server.pid").read_text(), record)
        self.assertIn(f"HTTP API: http://127.0.0.1:{self.server.port}\n", self.server.tail())
        self.assertEqual(self.run_json("space", "list")["spaces"][0]["space"], "default")

    def test_start_as_json_prints_one_object_and_takes_a_free_port(self):
        process = subprocess.Popen(
            [str(harness.BINARIES / "engram"), "start", "--json", "--http-port", "0",
             "--grpc-port", "50051", "--data-root", str(self.root)], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=self.server.environment())
        try:
            started = json.loads(process.stdout.readline())
            self.assertEqual((started["ok"], started["pid"]), (True, process.pid))
            self.server.port = started["port"]
            self.assertEqual(self.server.call("GET", "/health/alive").status, 200)
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=20)[0]
        self.assertEqual((process.returncode, rest), (0, ""))

    def test_start_refuses_what_the_configuration_does_not_allow(self):
        port = str(free_port())
        config = self.folder / "bad.toml"
        config.write_text("[features]\ndual_memory_type = true\n")
        cases = [
            (["--config", config], {}, f"{config}:2:1: unknown key", 1),
            (["--config", self.folder / "none.toml"], {}, "none.toml", 1),
            (["--set", "server.nonsense=1"], {}, "the command line: unknown key", 2),
            (["--set", "server.http_threads"], {}, "has no value", 2),
            (["--port", "seventy"], {}, "server.http_port", 2),
            (["--dual-memory-types=maybe"], {}, "features.dual_memory_types", 2),
            (["--bind", "0.0.0.0"], {}, "no API key", 1),
            ([], {"ENGRAM_HTTP_BIND": "::"}, "no API key", 1),
            ([], {"ENGRAM_AUTH_MODE": "api_key"}, "server.api_key is not set", 1),
            ([], {"ENGRAM_FEATURES_DUAL_MEMORY_TYPES": "maybe"},
             "ENGRAM_FEATURES_DUAL_MEMORY_TYPES", 1),
        ]
        for arguments, env, say, code in cases:
            result = self.engram("start", *(["--port", port] if "--port" not in arguments else []),
                                 *arguments, "--json", env=env, timeout=20)
            self.assertEqual(result.code, code, f"{arguments} {env}: {result}")
            self.assertIn(say, result.json["error"]["message"])
            self.assertTrue(result.json["error"]["hint"])
        self.assertFalse((self.folder / "engram.pid").exists())

    def test_a_second_server_is_refused_and_leaves_the_first_alone(self):
        self.start()
        record = (self.folder / "engram.pid").read_text()
        same_root = self.engram("start", "--json", "--port", free_port(), timeout=20,
                                env={"ENGRAM_PID_PATH": str(self.folder / "other.pid")})
        self.assertEqual(same_root.code, 1, same_root)
        self.assertEqual(same_root.json["error"]["code"], "BUSY")
        self.assertIn(f"process {self.server.process.pid}", same_root.json["error"]["message"])
        same_pid_file = self.engram("start", "--json", "--port", free_port(), timeout=20,
                                    root=self.folder / "elsewhere")
        self.assertEqual(same_pid_file.code, 1, same_pid_file)
        self.assertIn("belongs to a running server", same_pid_file.json["error"]["message"])
        same_port = self.engram("start", "--json", "--port", self.server.port, timeout=20,
                                root=self.folder / "elsewhere",
                                env={"ENGRAM_PID_PATH": str(self.folder / "other.pid")})
        self.assertEqual(same_port.code, 1, same_port)
        self.assertEqual((self.folder / "engram.pid").read_text(), record)
        self.assertFalse((self.folder / "other.pid").exists())
        self.assertEqual(self.status()[0], 0)

    # --- status ---

    def test_status_is_0_only_when_online(self):
        code, status, seconds = self.status()
        self.assertEqual((code, status["ok"], status["status"]), (1, False, "offline"))
        self.assertTrue(status["error"]["hint"])
        self.start()
        self.server.put("a", "one")
        code, status, seconds = self.status()
        self.assertEqual((code, status["ok"], status["status"]), (0, True, "online"), status)
        self.assertEqual((status["pid"], status["port"]),
                         (self.server.process.pid, self.server.port))
        self.assertEqual(status["memory_count"], 1)
        space = status["spaces"][0]
        self.assertEqual((space["space"], space["mode"], space["phase"]),
                         ("default", "legacy", "off"))
        self.assertEqual(self.server.stop(), 0)
        code, status, seconds = self.status()
        self.assertEqual((code, status["status"]), (1, "offline"))

    def test_a_stopped_process_is_unresponsive_within_a_second_and_known_from_its_control_block(self):
        self.start()
        for i in range(5):
            self.server.put(f"m{i}", f"text {i}")
        self.server.flag(True)
        self.server.wait_drained()
        time.sleep(1.2)  # the mirror is written twice a second
        os.kill(self.server.process.pid, signal.SIGSTOP)
        code, status, _ = self.within(1.0, self.status)
        self.assertEqual((code, status["status"]), (1, "unresponsive"), status)
        self.assertEqual(status["pid"], self.server.process.pid)
        self.assertEqual((status["spaces"][0]["count"], status["spaces"][0]["mode"],
                          status["spaces"][0]["remaining_old"]), (5, "dual", 0))
        migration = self.within(1.0, lambda: self.engram("migrate-dual", "status", "--json"))
        self.assertEqual(migration.code, 0, migration)
        self.assertEqual(migration.json["spaces"][0]["mode"], "dual")
        told = self.engram("migrate-dual", "status")
        self.assertIn("no server answers", told.err)
        silent = self.engram("config", "get", "features.dual_memory_types", "--json")
        self.assertEqual((silent.code, silent.json["ok"]), (1, False), silent)
        self.assertIn("does not say its value", silent.json["error"]["message"])
        os.kill(self.server.process.pid, signal.SIGCONT)
        self.assertEqual(self.status()[0], 0)
        self.server.kill()
        code, status, seconds = self.status()
        self.assertEqual((code, status["status"]), (1, "offline"))
        self.assertEqual(status["spaces"][0]["count"], 5)
        self.assertIn("is gone", status["error"]["message"])

    def test_the_data_root_is_the_servers_also_where_nobody_names_it(self):
        self.start()
        self.server.put("a", "one")
        self.server.knobs(paused=True)
        time.sleep(1.2)
        live = self.engram_anywhere("status", "--json").json
        self.assertEqual((live["status"], live["data_root"]), ("online", str(self.root)))
        os.kill(self.server.process.pid, signal.SIGSTOP)
        stopped = self.engram_anywhere("status", "--json").json
        self.assertEqual((stopped["status"], stopped["data_root"], stopped["memory_count"]),
                         ("unresponsive", str(self.root), 1), stopped)
        migration = self.engram_anywhere("migrate-dual", "status", "--json")
        self.assertEqual((migration.code, migration.json["spaces"][0]["paused"]), (0, True),
                         migration)

    def test_the_commands_find_a_server_that_listens_elsewhere_by_its_command_line(self):
        for address in ("127.0.0.2", "::1"):
            process = subprocess.Popen(
                [str(harness.BINARIES / "engram"), "start", "--json", "--port", "0", "--bind",
                 address, "--data-root", str(self.root)], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, env=self.server.environment())
            try:
                started = json.loads(process.stdout.readline())
                if address == "::1" and not started["ok"]:
                    continue  # a machine without IPv6
                for result in (self.engram("status", "--json"),
                               self.engram_anywhere("status", "--json"),
                               self.engram("config", "set", FLAG, "true", "--json"),
                               self.engram("migrate-dual", "status", "--json")):
                    self.assertEqual(result.code, 0, f"{address}: {result}")
                self.assertEqual(self.engram("stop").code, 0)
                self.assertFalse((self.root / ".engram" / "server.info").exists())
            finally:
                process.kill()
                process.communicate()

    def test_wait_ends_when_the_server_is_online_or_the_time_is_over(self):
        began = time.monotonic()
        self.assertEqual(self.engram("status", "--wait", "1").code, 1)
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.server.start(wait=False)
        waited = self.engram("status", "--wait", "30", "--json")
        self.assertEqual((waited.code, waited.json["status"]), (0, "online"), waited)

    def test_without_the_key_status_says_what_to_set(self):
        self.server = self.new_server(ENGRAM_SERVER_API_KEY="k-123")
        self.start()
        result = self.engram("status", "--json", env={"ENGRAM_SERVER_API_KEY": ""})
        self.assertEqual((result.code, result.json["health"]), (0, "unknown"), result)
        self.assertIn("server.api_key", result.json["hint"])

    def test_another_user_gets_an_answer_without_what_is_private(self):
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            self.skipTest("needs root, to become someone else")
        self.start()
        self.server.knobs(paused=True)
        self.folder.chmod(0o755)
        process = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             str(harness.BINARIES / "engram"), "status", "--json", "--data-root", str(self.root)],
            capture_output=True, text=True, env=self.server.environment())
        if process.returncode == 127 or not process.stdout:
            self.skipTest("the build folder is not readable for others")
        status = json.loads(process.stdout)
        self.assertEqual(process.returncode, 1)
        self.assertIn("another user", status["error"]["message"])

    def test_watch_repeats_until_it_is_interrupted(self):
        self.start()
        watch = subprocess.Popen(
            [str(harness.BINARIES / "engram"), "status", "--watch", "--json", "--data-root",
             str(self.root)], stdout=subprocess.PIPE, text=True, env=self.server.environment())
        self.assertEqual(json.loads(watch.stdout.readline())["status"], "online")
        self.server.stop()
        self.assertEqual(json.loads(watch.stdout.readline())["status"], "offline")
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(5), 1)
        watch.stdout.close()

    # --- stop ---

    def test_stop_ends_the_server_in_order_and_a_second_one_finds_nothing(self):
        self.start()
        self.server.put("a", "one")
        stopped = self.engram("stop", "--json")
        self.assertEqual(stopped.code, 0, stopped)
        self.assertEqual((stopped.json["how"], stopped.json["pid"]),
                         ("shutdown", self.server.process.pid))
        self.assertEqual(self.server.process.wait(1), 0)
        self.assertEqual(list(self.folder.glob("*.pid")), [])
        self.assertFalse((self.root / ".engram" / "server.pid").exists())
        again = self.engram("stop", "--json")
        self.assertEqual((again.code, again.json["stopped"]), (0, False))
        self.assertEqual(len(self.memories(view="memory")), 1)

    def test_a_stale_pid_file_is_seen_through_and_taken_over(self):
        self.start()
        self.server.kill()
        self.assertTrue((self.folder / "engram.pid").exists())
        self.assertEqual(self.status()[1]["status"], "offline")
        self.assertEqual(self.engram("stop").code, 0)
        self.start()
        self.assertEqual(self.status()[0], 0)

    def test_a_foreign_process_under_the_pid_is_never_signalled(self):
        foreign = subprocess.Popen(["sleep", "600"])
        self.addCleanup(foreign.wait)
        self.addCleanup(foreign.kill)
        (self.folder / "engram.pid").write_text(f"{foreign.pid}:7432")
        (self.root / ".engram").mkdir()
        (self.root / ".engram" / "server.pid").write_text(f"{foreign.pid}:7432")
        for arguments in (["stop"], ["stop", "--force"]):
            result = self.engram(*arguments, "--json")
            self.assertEqual(result.code, 1, result)
            self.assertIn("not an engram server", result.json["error"]["message"])
        self.assertEqual(self.status()[1]["status"], "offline")
        self.assertIsNone(foreign.poll())
        self.start()  # nor does it keep a server from starting
        self.assertEqual(self.status()[0], 0)

    def test_the_server_of_another_data_root_is_not_stopped(self):
        self.start()
        other = self.folder / "other"
        other.mkdir()
        result = self.engram("stop", "--json", root=other)
        self.assertEqual(result.code, 1, result)
        self.assertIn("another data root", result.json["error"]["message"])
        self.assertEqual(self.status()[0], 0)

    def test_a_server_that_does_not_react_is_killed_only_with_force(self):
        self.server = self.new_server(ENGRAM_SERVER_DRAIN_DEADLINE_MS="0")
        self.start()
        self.server.put("a", "one")
        os.kill(self.server.process.pid, signal.SIGSTOP)
        result = self.engram("stop", "--json")
        self.assertEqual(result.code, 1, result)
        self.assertIn("--force", result.json["error"]["hint"])
        self.assertIsNone(self.server.process.poll())
        result = self.engram("stop", "--force", "--json")
        self.assertEqual((result.code, result.json.get("how")), (0, "SIGKILL"), result)
        self.server.process.wait(5)
        self.assertEqual(len(self.memories(view="memory")), 1)

    def test_the_lines_of_the_readme_work_as_they_stand(self):
        readme = (harness.ROOT / "README.md").read_text()
        lines = re.search(r"```sh\n(engram start .*?)```", readme, re.S)[1]
        env = {**self.server.environment(), "ENGRAM_HTTP_PORT": str(self.server.port),
               "PATH": f"{harness.BINARIES}:{os.environ['PATH']}"}
        self.addCleanup(self.engram, "stop", "--force")
        done = subprocess.run(["sh", "-e", "-c", lines.replace("/var/lib/engram", str(self.root))],
                              capture_output=True, text=True, env=env, cwd=self.home, timeout=60)
        self.assertEqual(done.returncode, 0, done)
        for value in ("true", "false"):
            self.assertIn(f"{FLAG} = {value} in the running server", done.stderr)
        self.assertFalse((self.home / ".config").exists())

    # --- config ---

    def test_config_set_takes_effect_at_once_and_survives(self):
        self.start()
        result = self.engram("config", "set", FLAG, "true", "--json")
        self.assertEqual((result.code, result.json["effect"]), (0, "at once"), result)
        self.assertIs(self.server.ok("GET", "/api/v1/admin/features")["dual_memory_types"], True)
        self.assertEqual(self.engram("config", "get", FLAG).out, "true\n")
        self.server.stop()
        self.start()
        self.assertIs(self.server.ok("GET", "/api/v1/admin/features")["dual_memory_types"], True)

    def test_a_key_that_a_stronger_level_fixes_is_refused_with_its_name(self):
        self.server = self.new_server(ENGRAM_FEATURES_DUAL_MEMORY_TYPES="false")
        self.start()
        for env in ({}, {"ENGRAM_FEATURES_DUAL_MEMORY_TYPES": ""}):
            result = self.engram("config", "set", FLAG, "true", "--json", env=env)
            self.assertEqual(result.code, 1, result)
            self.assertIn("ENGRAM_FEATURES_DUAL_MEMORY_TYPES", result.json["error"]["message"])
        self.assertIs(self.server.ok("GET", "/api/v1/admin/features")["dual_memory_types"], False)
        found = self.engram("config", "get", FLAG, "--json",
                            env={"ENGRAM_FEATURES_DUAL_MEMORY_TYPES": "true"})
        self.assertEqual((found.json["value"], found.json["source"]), (False, "environment"),
                         "what the server has counts, not what this invocation would have")

    def test_what_needs_a_restart_goes_to_the_file_and_counts_then(self):
        config = self.folder / "engram.toml"
        self.server = self.new_server(config="[server]\nconnections_max = 100 # few\n")
        self.start()
        result = self.engram("config", "set", "server.connections_max", "50", "--config", config,
                             "--json")
        self.assertEqual((result.code, result.json["effect"]), (0, "at the next start"), result)
        self.assertEqual(config.read_text(), "[server]\nconnections_max = 50 # few\n")

    def test_what_needs_a_restart_goes_to_the_file_that_the_server_reads(self):
        self.server = self.new_server(config="[server]\nconnections_max = 100\n")
        self.start()
        result = self.engram("config", "set", "server.connections_max", "50", "--json")
        self.assertEqual((result.code, result.json["written_to"], result.json["note"]),
                         (0, str(self.server.config), None), result)
        self.assertEqual(self.server.config.read_text(), "[server]\nconnections_max = 50\n")
        self.assertFalse((self.home / ".config").exists())
        other = self.folder / "other.toml"
        other.write_text("")
        result = self.engram("config", "set", "server.connections_max", "60", "--config", other,
                             "--json")
        self.assertEqual(result.json["written_to"], str(other))
        self.assertIn(f"reads {self.server.config}", result.json["note"])

    def test_without_a_server_a_key_of_run_time_says_that_no_server_has_it(self):
        result = self.engram("config", "set", FLAG, "true")
        self.assertEqual(result.code, 0, result)
        self.assertIn(f"in {self.home}/.config/engram/config.toml; takes effect at the next start",
                      result.err)
        self.assertIn(f"no running server was found for the data root {self.root}", result.err)
        self.assertIn("engram status --wait", result.err)
        restart = self.engram("config", "set", "server.connections_max", "50", "--json")
        self.assertIsNone(restart.json["note"])

    def test_config_list_shows_what_the_server_has(self):
        self.server = self.new_server(ENGRAM_FEATURES_DUAL_MEMORY_TYPES="true",
                                      ENGRAM_SERVER_API_KEY="k-123", ENGRAM_LOGGING_LEVEL="debug")
        self.start()
        own = {"ENGRAM_FEATURES_DUAL_MEMORY_TYPES": ""}
        listed = self.engram("config", "list", "--json", env=own)
        self.assertEqual(self.server.log.read_text().count("route=/api/v1/admin/config"), 1)
        self.assertEqual((listed.code, listed.json["server"]), (0, self.server.process.pid))
        values = {value["key"]: value for value in listed.json["values"]}
        self.assertEqual((values[FLAG]["value"], values[FLAG]["source"]), (True, "environment"))
        self.assertEqual((values["server.http_port"]["value"], values["server.http_port"]["source"]),
                         (self.server.port, "command line"))
        self.assertNotIn("k-123", listed.out)
        text = self.engram("config", "list", "--section", "features", env=own).out
        self.assertIn(f"# of the running server, process {self.server.process.pid}\n", text)
        self.assertIn("dual_memory_types = true  # environment\n", text)
        refused = self.engram("config", "list", "--json",
                              env={**own, "ENGRAM_SERVER_API_KEY": ""}).json
        self.assertIsNone(refused["server"])
        self.assertIn("not the values of the running server", refused["warnings"][-1])

    def test_the_api_key_of_the_configuration_is_sent(self):
        config = self.folder / "engram.toml"
        self.server = self.new_server(config='[server]\napi_key = "k-123"\n')
        self.start()
        with_key = self.engram("migrate-dual", "pause", "--json",
                               env={"ENGRAM_CONFIG_PATH": str(config)})
        self.assertEqual(with_key.code, 0, with_key)
        without = self.engram("migrate-dual", "pause", "--json")
        self.assertEqual(without.code, 1, without)
        self.assertIn("server.api_key", without.json["error"]["hint"])
        self.assertEqual(self.engram("stop", "--config", config).code, 0)

    # --- the migrator ---

    def test_pause_throttle_and_resume_are_read_back(self):
        self.start()
        paused = self.engram("migrate-dual", "pause", "--json")
        self.assertEqual((paused.code, paused.json["knobs"]["paused"]), (0, True), paused)
        slow = self.engram("migrate-dual", "throttle", "--rate-limit", "7", "--json").json["knobs"]
        self.assertEqual((slow["paused"], slow["rate_limit"]), (True, 7))
        self.engram("migrate-dual", "resume")
        knobs = self.engram("migrate-dual", "status", "--json").json["knobs"]
        self.assertEqual((knobs["paused"], knobs["rate_limit"]), (False, 7))
        self.assertEqual(self.engram("migrate-dual", "throttle").code, 2)

    def test_an_online_migration_is_driven_until_it_is_done(self):
        self.start()
        for i in range(50):
            self.server.put(f"m{i}", f"text {i}")
        done = self.engram("migrate-dual", "--mode", "online", "--json", timeout=120)
        self.assertEqual(done.code, 0, done)
        space = done.json["spaces"][0]
        self.assertEqual((space["mode"], space["remaining_old"]), ("dual", 0))

    def test_an_online_migration_takes_its_flags_or_refuses_them(self):
        self.start()
        self.server.put("a", "one")
        self.server.knobs(rate_limit=5)
        # The line of the migration utilities' specification.
        done = self.engram("migrate-dual", "--mode", "online", "--batch-size", "700",
                           "--checkpoint-interval", "10000", "--memory-budget-mb", "33",
                           "--rate-limit", "0", "--json", timeout=120)
        self.assertEqual(done.code, 0, done)
        knobs = done.json["knobs"]
        self.assertEqual((knobs["batch_size"], knobs["memory_budget_mb"], knobs["rate_limit"]),
                         (700, 33, 0))
        for flags, code, says in ((["--parallel-workers", "3"], 2, "--parallel-workers"),
                                  (["--snapshot"], 2, "--snapshot"),
                                  (["--checkpoint-interval", "99"], 1, "700 nodes")):
            refused = self.engram("migrate-dual", "--mode", "online", *flags, "--json", timeout=20)
            self.assertEqual(refused.code, code, refused)
            self.assertIn(says, refused.json["error"]["message"])

    def test_an_online_migration_without_the_migrator_is_refused(self):
        self.server = self.new_server(config="[migration]\nenabled = false\n")
        self.start()
        self.server.put("a", "one")
        refused = self.engram("migrate-dual", "--mode", "online", "--json", timeout=20)
        self.assertEqual(refused.code, 1, refused)
        self.assertIn("migration.enabled", refused.json["error"]["message"])

    def test_people_read_what_the_knobs_are(self):
        self.start()
        self.server.put("a", "one")
        self.assertIn("not paused | rate limit 5,000 nodes/s",
                      self.engram("migrate-dual", "throttle", "--rate-limit", "5000").err)
        self.assertIn("migrator: paused | ", self.engram("migrate-dual", "pause").err)
        self.server.flag(True)
        self.assertIn("held back: paused since 2", self.engram("migrate-dual", "status").err)
        time.sleep(1.2)
        os.kill(self.server.process.pid, signal.SIGSTOP)
        self.assertIn("  paused | rate limit 5,000 nodes/s",
                      self.engram("migrate-dual", "status").err)

    def test_an_interrupted_watch_leaves_the_migration_to_the_server(self):
        self.start()
        for i in range(50):
            self.server.put(f"m{i}", f"text {i}")
        self.engram("migrate-dual", "pause")
        watch = subprocess.Popen(
            [str(harness.BINARIES / "engram"), "migrate-dual", "--mode", "online", "--data-root",
             str(self.root)], stderr=subprocess.PIPE, text=True, env=self.server.environment())
        self.assertIn("default: ", watch.stderr.readline())
        watch.send_signal(signal.SIGINT)
        said = watch.communicate(timeout=5)[1]
        self.assertEqual(watch.returncode, 1)
        self.assertIn("the server goes on", said)
        self.engram("migrate-dual", "resume")
        status = self.server.wait_migration(
            lambda s: s["mode"] == "dual" and s["remaining_old"] == 0, "it did not go on")
        self.assertNotEqual(status["phase"], "failed")

    # --- through the server ---

    def test_memories_are_read_and_written_through_the_server_in_the_same_form(self):
        embedding = [0.25] * 767 + [0.1]
        lines = [json.dumps({"id": i, "content": f"text {i}", "embedding": embedding,
                             "created_at": "2025-11-21T18:57:13Z",
                             "last_access": "2025-11-21T18:57:13Z"})
                 for i in ("a b/\u00e9", "b", "c?&=%")]
        self.start()
        put = self.engram("memory", "put", "--jsonl", "-", stdin="\n".join(lines) + "\n")
        self.assertEqual(put.code, 0, put)
        acknowledged = [json.loads(line) for line in put.out.splitlines()]
        self.assertEqual([a["id"] for a in acknowledged], ["a b/\u00e9", "b", "c?&=%"])
        self.assertTrue(all(isinstance(a["lsn"], int) for a in acknowledged))
        forms = (["memory", "list", "--jsonl", "--exact", "--embeddings", "--view", "dual"],
                 ["memory", "list", "--json"], ["memory", "list", "--jsonl", "--limit", "2"],
                 ["memory", "list", "--jsonl", "--after", "b"],
                 ["memory", "get", "a b/\u00e9", "--json", "--exact", "--embeddings"],
                 ["space", "stats", "--json"], ["space", "list", "--json"])
        beside = [self.engram(*form) for form in forms]
        self.assertEqual([r.code for r in beside], [0] * len(forms), beside)
        self.assertEqual(self.engram("memory", "get", "none").code, 1)
        verified = self.engram("verify", "--full", "--json")
        self.assertEqual((verified.code, verified.json["checked"]), (0, 3), verified)
        self.server.stop()
        for form, online in zip(forms, beside):
            offline = self.engram(*form)
            if form[0] == "space":
                spaces = [result.json["spaces"][0] for result in (online, offline)]
                for space in spaces:
                    for key in ("bytes", "lsn"):  # closing writes a record of its own
                        space.pop(key)
                self.assertEqual(*spaces, form)
            else:
                self.assertEqual(online.out, offline.out, form)

    def test_where_nobody_names_a_space_the_servers_own_default_is_pointed_at(self):
        self.server = self.new_server(config='[memory_spaces]\ndefault_space = "tenant-x"\n')
        self.start()
        self.server.put("a", "one")
        missed = self.engram("memory", "get", "a", "--json")
        self.assertEqual(missed.code, 1, missed)
        self.assertIn("--space=tenant-x", missed.json["error"]["hint"])
        self.assertEqual(self.engram("memory", "get", "a", "--space", "tenant-x").code, 0)

    def test_deletes_and_long_lists_go_through_the_server(self):
        self.start()
        lines = "".join(json.dumps({"id": f"m{i:05}", "embedding": [i / 3000] * 768}) + "\n"
                        for i in range(2500))
        self.assertEqual(self.engram("memory", "put", "--jsonl", "-", stdin=lines).code, 0)
        listed = self.engram("memory", "list", "--jsonl").out.splitlines()
        self.assertEqual([json.loads(line)["id"] for line in listed],
                         [f"m{i:05}" for i in range(2500)])
        deleted = self.engram("memory", "delete", "m00001", "unknown", "--json")
        self.assertEqual(deleted.code, 1, deleted)
        self.assertEqual((deleted.json["deleted"], deleted.json["unknown"]), (1, 1))
        self.assertEqual(self.engram("memory", "get", "m00001").code, 1)

    def test_a_bad_line_is_refused_with_its_number_and_what_was_before_is_stored(self):
        self.start()
        good = json.dumps({"id": "a", "embedding": [0.5] * 768})
        result = self.engram("memory", "put", "--jsonl", "-", stdin=good + "\n{}\n")
        self.assertEqual(result.code, 1, result)
        self.assertIn("line 2", result.err)
        self.assertEqual(self.engram("memory", "get", "a").code, 0)

    def test_offline_commands_refuse_beside_the_server_and_say_so(self):
        self.start()
        self.server.put("a", "one")
        for arguments in (["compact"], ["space", "mode", "dual"], ["migrate-dual"],
                          ["migrate-dual", "rollback"]):
            result = self.engram(*arguments, "--json")
            self.assertEqual(result.code, 1, result)
            error = result.json["error"]
            self.assertEqual(error["code"], "BUSY")
            self.assertIn(f"process {self.server.process.pid}", error["message"])
            self.assertIn("engram stop", error["hint"])


class HungServerTest(harness.StoreTest):
    def stand_in(self):
        """A process that passes for a server."""
        program = self.folder / "engram"
        shutil.copy("/bin/sh", program)
        process = subprocess.Popen([program, "-c", "read x", "start"], stdin=subprocess.PIPE)
        self.addCleanup(process.communicate)
        return process.pid

    def test_an_event_loop_that_lives_before_handlers_that_hang_is_unresponsive(self):
        server = Server(self.folder, self.root)
        self.addCleanup(server.close)
        server.start()
        server.put("a", "one")
        server.stop()
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        hanging = []

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if b"GET /health/alive " in connection.recv(4096):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n"
                                       b'{"status":"alive"}')
                    connection.close()
                else:
                    hanging.append(connection)

        threading.Thread(target=serve, daemon=True).start()
        (self.root / ".engram" / "server.pid").write_text(
            f"{self.stand_in()}:{listener.getsockname()[1]}")
        result = self.within(
            1.0, lambda: harness.engram("status", "--json", "--data-root", self.root))
        listener.shutdown(socket.SHUT_RDWR)
        for connection in hanging:
            connection.close()
        self.assertGreater(len(hanging), 0, "the probe was answered, the next request was not")
        self.assertEqual((result.code, result.json["status"], result.json["memory_count"]),
                         (1, "unresponsive", 1), result)

    def test_a_port_that_takes_connections_and_answers_nothing_hangs_no_command(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(16)
            (self.root / ".engram").mkdir()
            (self.root / ".engram" / "server.pid").write_text(
                f"{self.stand_in()}:{listener.getsockname()[1]}")
            for arguments, limit in ((["status"], 1.0), (["migrate-dual", "status"], 1.0),
                                     (["migrate-dual", "pause"], 15), (["stop", "--force"], 40)):
                result = self.within(
                    limit, lambda: harness.engram(*arguments, "--json", "--data-root", self.root))
                self.assertEqual(result.code, 0 if arguments[0] == "stop" else 1, result)


if __name__ == "__main__":
    unittest.main()
