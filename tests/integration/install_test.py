#!/usr/bin/env python3
"""`cmake --install` gives a tree that works where it is put, also after it was moved."""
import os
import pathlib
import shutil
import subprocess
import unittest

import harness

BUILD = harness.BINARIES.parent
HOST = r"""
#include <engram/engram_storage_engine.h>
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
  if (library == NULL) return 1;
  engram_se_entry_v1 entry;
  *(void **)&entry = dlsym(library, ENGRAM_SE_ENTRY_SYMBOL_V1);
  engram_se_host host = {sizeof host, ENGRAM_SE_ABI_MAJOR, ENGRAM_SE_ABI_MINOR, NULL, NULL, NULL, NULL};
  const engram_se_vtable *table = entry(&host, NULL);
  if (table == NULL) return 2;
  puts(table->engine_name);
  return 0;
}
"""


class InstallTest(harness.StoreTest):
    def setUp(self):
        super().setUp()
        self.need("cmake")
        self.prefix = self.folder / "prefix"
        done = subprocess.run(["cmake", "--install", BUILD, "--prefix", self.prefix],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def need(self, *tools):
        missing = [tool for tool in tools if shutil.which(tool) is None]
        if missing:
            self.skipTest(f"not installed here: {', '.join(missing)}")

    def files(self):
        return sorted(p.relative_to(self.prefix).as_posix() for p in self.prefix.rglob("*")
                      if p.is_file())

    def test_the_tree_holds_what_it_promises_and_nothing_else(self):
        self.need("readelf")
        library = next(f for f in self.files() if f.endswith("libengram_dual.so"))
        folder = library.rpartition("/")[0]
        self.assertEqual(self.files(), sorted([
            "bin/engram", "bin/engram-inspect", "include/engram/engram_storage_engine.h", library,
            f"{folder}/pkgconfig/engram-storage-engine.pc"]))
        for program in ("bin/engram", "bin/engram-inspect", library):
            dynamic = subprocess.run(["readelf", "-d", self.prefix / program], check=True,
                                     capture_output=True, text=True).stdout
            self.assertNotIn("RPATH", dynamic)
            self.assertNotIn("RUNPATH", dynamic)

    def test_the_installed_program_migrates_inspects_and_can_be_moved(self):
        moved = self.folder / "moved"
        shutil.move(self.prefix, moved)
        engram = moved / "bin" / "engram"
        link = self.folder / "engram"
        link.symlink_to(engram)  # as from /usr/local/bin
        for arguments in (["migrate-dual", "--source", harness.FIXTURES / "plain" / "data"],
                          ["verify"], ["memory", "list"],
                          ["inspect", "store", self.root / "default"]):
            done = subprocess.run([link, *arguments, "--data-root", self.root], cwd="/",
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_pkg_config_finds_header_and_plugin_for_a_host_in_c(self):
        self.need("pkg-config", "cc", "readelf")
        pc = next(self.prefix.rglob("*.pc"))
        env = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent))

        def ask(*arguments):
            return subprocess.run(["pkg-config", *arguments, "engram-storage-engine"], env=env,
                                  check=True, capture_output=True, text=True).stdout.split()

        source = self.folder / "host.c"
        source.write_text(HOST)
        host = self.folder / "host"
        subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", *ask("--cflags"), source, "-o", host,
                        "-ldl"], check=True)
        plugin = pathlib.Path(ask("--variable=plugin")[0]).resolve()
        needs = subprocess.run(["readelf", "-Ws", plugin], check=True, capture_output=True,
                               text=True).stdout
        if "__asan_init" in needs or "__tsan_init" in needs:
            self.skipTest("a sanitized plugin needs a host that brings the sanitizer")
        done = subprocess.run([host, plugin], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, "engram-dual\n"))


if __name__ == "__main__":
    unittest.main()
