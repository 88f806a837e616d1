#!/usr/bin/env python3
"""The architecture as a test: who may include whom, which library appears where, what links what.

usage: layering_test.py SOURCE_DIR BINARY_DIR
"""
import pathlib
import re
import subprocess
import sys

# Module -> modules whose headers it may include (design: arrows point down only).
ALLOWED = {
    "base": {"base"},
    "wal": {"wal", "base"},
    "engine": {"engine", "wal", "base"},
    "compat": {"compat", "engine", "wal", "base"},
    "migration": {"migration", "compat", "engine", "wal", "base"},
    "plugin": {"plugin", "migration", "compat", "engine", "wal", "base", "include"},
    "plugin/loader": {"plugin/loader", "base", "include"},
    "server": {"server", "server/http", "server/config", "server/graph", "server/lifecycle", "plugin/loader", "base", "include"},
    # Below the handlers nothing knows of memories, above the listener nothing knows of Beast.
    "server/http": {"server/http", "base"},
    "server/config": {"server/config", "base"},
    "server/lifecycle": {"server/lifecycle", "base"},
    "server/graph": {"server/graph", "plugin/loader", "base", "include"},
    "cli": {"cli", "server", "server/config", "plugin/loader", "base", "include"},
    "cli/inspect": {"cli", "cli/inspect", "migration", "compat", "engine", "wal", "base", "include"},
}

# Third-party header -> the only places it may appear in.
CONFINED = {
    r"lmdb\.h": ("engine/internal/",),
    r"liburing\.h": ("wal/uring/",),
    r"openssl/.*": ("base/crypto",),
    r"spdlog/.*": ("base/log",),
    r"boost/interprocess/.*": ("engine/control",),
    r"isa-l/.*": ("base/crc32c",),
    r"CLI/.*": ("cli/",),
    r"boost/(beast|asio)/.*": ("server/http/", "cli/http_client"),
    r"prometheus/.*": ("server/metrics/",),
    r"toml\+\+/.*": ("server/config/",),
    r"simdjson\.h": ("server/api/",),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def module_of(path):
    """The longest known module that holds this path."""
    matches = [m for m in ALLOWED if path.startswith(m + "/")]
    return max(matches, key=len) if matches else None


def included_module(header):
    if header.startswith("engram/"):
        return "include"
    return module_of(header)


def check_includes(root):
    errors = []
    for module in sorted(ALLOWED):
        for source in sorted((root / module).rglob("*")):
            relative = source.relative_to(root).as_posix()
            if source.suffix not in (".h", ".cc", ".c") or module_of(relative) != module:
                continue
            for number, line in enumerate(source.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                header = match.group(2)
                target = included_module(header)
                if target and target not in ALLOWED[module]:
                    errors.append(f"{relative}:{number}: {module} must not include {header}")
                for pattern, places in CONFINED.items():
                    if re.fullmatch(pattern, header) and not relative.startswith(places):
                        errors.append(f"{relative}:{number}: <{header}> belongs to {places}")
    return errors


def needed_libraries(path):
    output = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True)
    return re.findall(r"\(NEEDED\).*\[([^\]]+)\]", output.stdout)


def check_links(binaries):
    errors = []
    engram = binaries / "bin" / "engram"
    for library in needed_libraries(engram):
        if re.match(r"lib(lmdb|uring|engram_dual)\b", library):
            errors.append(f"{engram} links {library}: the command line reaches the store "
                          "through the plugin boundary only")
    plugin = binaries / "lib" / "libengram_dual.so"
    symbols = subprocess.run(["nm", "-D", "--defined-only", plugin], check=True,
                             capture_output=True, text=True).stdout.split("\n")
    exported = [line.split()[-1].split("@")[0] for line in symbols if line.strip()]
    # A version script's own node is listed as an absolute symbol.
    exported = [name for name in exported if not name.startswith("ENGRAM_")]
    if exported != ["engram_storage_engine_v1"]:
        errors.append(f"{plugin} exports {exported}, expected engram_storage_engine_v1 alone")
    return errors


def check_every_test_is_built(root, binaries):
    """Globs may not silently drop a test file."""
    commands = (binaries / "compile_commands.json").read_text()
    commands += "".join(unit.read_text() for unit in binaries.rglob("Unity/*.cxx"))
    return [f"{source.relative_to(root)} is compiled by no target"
            for source in sorted((root / "tests").rglob("*_test.cc"))
            if source.as_posix() not in commands]


def main():
    root, binaries = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    errors = check_includes(root) + check_links(binaries) + check_every_test_is_built(root, binaries)
    print("\n".join(errors) or "layering: ok")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
