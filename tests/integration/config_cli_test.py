#!/usr/bin/env python3
"""engram config and engram validate config without a server: values, sources, files, refusals."""
import json
import unittest

import harness

FLAG = "features.dual_memory_types"


class ConfigCliTest(harness.StoreTest):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "engram.toml"
        self.home = self.folder / "home"
        self.home.mkdir()

    def config(self, *arguments, env=None, code=0, file=True):
        environment = {"HOME": str(self.home), "XDG_CONFIG_HOME": "", **(env or {})}
        if file:
            arguments = (*arguments, "--config", self.file)
        result = harness.engram("config", *arguments, "--data-root", self.root, env=environment)
        self.assertEqual(result.code, code, result)
        return result

    def test_a_value_is_printed_for_scripts_and_with_its_source_as_json(self):
        self.file.write_text("[features]\ndual_memory_types = true\n")
        self.assertEqual(self.config("get", FLAG).out, "true\n")
        self.assertEqual(self.config("get", FLAG, "--json").json,
                         {"key": FLAG, "value": True, "source": "file",
                          "origin": f"{self.file}:2:1", "ok": True})
        found = self.config("get", FLAG, "--json", env={"ENGRAM_FEATURES_DUAL_MEMORY_TYPES": "0"})
        self.assertEqual((found.json["value"], found.json["source"]), (False, "environment"))

    def test_set_keeps_comments_order_and_mode_of_the_file(self):
        self.file.write_text("# ours\n[server]\nhttp_port = 1 # why\n\n[features]\n# the flag\n")
        self.file.chmod(0o640)
        self.config("set", "server.http_port", "8080")
        self.config("set", FLAG, "on")
        self.config("set", "memory_spaces.bootstrap_spaces", "default, tenant")
        self.assertEqual(self.file.read_text(),
                         "# ours\n[server]\nhttp_port = 8080 # why\n\n[features]\n"
                         "dual_memory_types = true\n# the flag\n\n[memory_spaces]\n"
                         'bootstrap_spaces = ["default", "tenant"]\n')
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o640)
        self.assertEqual([p.name for p in self.folder.glob("engram.toml*")], ["engram.toml"])

    def test_without_a_name_the_users_own_file_is_made_and_read(self):
        path = self.home / ".config" / "engram" / "config.toml"
        self.assertEqual(self.config("path", file=False).out, f"{path}\n")
        self.config("set", FLAG, "true", file=False)
        self.assertEqual(path.read_text(), "[features]\ndual_memory_types = true\n")
        self.assertEqual(self.config("get", FLAG, file=False).out, "true\n")
        elsewhere = self.config("path", file=False, env={"XDG_CONFIG_HOME": str(self.folder)})
        self.assertEqual(elsewhere.out, f"{self.folder}/engram/config.toml\n")

    def test_refusals_change_nothing_and_say_what_to_do(self):
        self.file.write_text("[server]\nhttp_port = 1\n")
        before = self.file.read_text()
        cases = [(["set", "server.http_prot", "2"], None, "NOT_FOUND", "server.http_port"),
                 (["set", "server.http_port", "70000"], None, "INVALID_ARGUMENT", "0 to 65535"),
                 (["set", "cluster.enabled", "true"], None, "FAILED_PRECONDITION", "no effect"),
                 (["set", "server.http_port", "2"], {"ENGRAM_HTTP_PORT": "3"},
                  "FAILED_PRECONDITION", "ENGRAM_HTTP_PORT"),
                 (["get", "features.dual_memory"], None, "NOT_FOUND", FLAG),
                 (["list", "--section", "nothing"], None, "NOT_FOUND", "nothing")]
        for arguments, env, code, say in cases:
            error = self.config(*arguments, "--json", env=env, code=1).json["error"]
            self.assertEqual(error["code"], code, arguments)
            self.assertIn(say, error["message"])
            self.assertTrue(error["hint"])
        self.assertEqual(self.file.read_text(), before)

    def test_what_was_set_at_run_time_is_changed_where_it_counts(self):
        self.file.write_text("[features]\ndual_memory_types = false\n")
        runtime = self.root / ".engram" / "runtime.toml"
        runtime.parent.mkdir()
        runtime.write_text("[features]\ndual_memory_types = true\n")
        self.assertEqual(self.config("get", FLAG).out, "true\n")
        self.config("set", FLAG, "false")
        self.assertEqual(self.config("get", FLAG).out, "false\n")
        self.assertIn("dual_memory_types = false", runtime.read_text())
        self.assertEqual(runtime.stat().st_mode & 0o777, 0o600)

    def test_list_shows_every_key_and_no_secret(self):
        self.file.write_text('[server]\napi_key = "very-secret"\n')
        listed = self.config("list", "--json")
        values = {v["key"]: v for v in listed.json["values"]}
        self.assertEqual(values["server.http_port"]["value"], 7432)
        self.assertEqual(values["server.api_key"]["source"], "file")
        self.assertNotIn("very-secret", listed.out + self.config("list").out)

    def test_the_folder_of_the_server_is_not_a_space(self):
        (self.root / ".engram").mkdir()
        self.assertEqual(self.run_json("space", "list")["spaces"], [])

    def test_validate_lists_every_fault_with_its_place(self):
        self.file.write_text("[server]\nhttp_port = 70000\n[features]\ndual = true\n[cluster]\n"
                             "enabled = true\n")
        result = harness.engram("validate", "config", self.file, "--json")
        self.assertEqual(result.code, 1, result)
        errors = result.json["errors"]
        self.assertEqual([e.split(": ")[0] for e in errors],
                         [f"{self.file}:2:1", f"{self.file}:4:1"])
        self.assertIn("single node", result.json["warnings"][0])
        self.assertTrue(result.json["error"]["hint"])
        self.file.write_text("[features]\ndual_memory_types = true\n")
        good = harness.engram("validate", "config", self.file, "--json")
        self.assertEqual((good.code, good.json["ok"], good.json["errors"]), (0, True, []))
        self.assertEqual(harness.engram("validate", "config", self.folder / "none").code, 1)


if __name__ == "__main__":
    unittest.main()
