#!/usr/bin/env python3
"""What the documents name is there: files, links, tests, commands and their flags."""
import itertools
import re
import shlex
import unittest

from harness import ROOT, engram

DOCUMENTS = sorted(p for p in ROOT.rglob("*.md")
                   if not {"build", ".cache", "fixtures"} & set(p.relative_to(ROOT).parts))
SOURCE_SUFFIXES = (".h", ".cc", ".c", ".py", ".md", ".txt", ".json", ".service", ".yml", ".map")
# Files that a store or a machine has, not this tree.
ELSEWHERE = ("config.toml", "report.json", "snapshot.json", "openapi.json", "/etc/", "/var/",
             "/proc/")


def code(text):
    """Text in backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def command_lines(text):
    """Command lines that call engram, of blocks and of text in backticks."""
    lines = itertools.chain(
        (line for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.S)
         for line in block.replace("\\\n", " ").splitlines()), code(text))
    for line in lines:
        line = line.strip().removeprefix("$ ").split(" #")[0].split(" | ")[0].rstrip("&; ")
        word = line.split(" ")[0]
        if word == "engram" or word.endswith("/bin/engram"):
            yield line


def braces(path):
    """`a/{b,c}.h` as two paths."""
    found = re.search(r"\{([^{}]*)\}", path)
    if not found:
        return [path]
    return [one for part in found[1].split(",")
            for one in braces(path[:found.start()] + part.strip() + path[found.end():])]


class DocumentsTest(unittest.TestCase):
    def setUp(self):
        self.missing = []
        self.seen = 0

    def need(self, found, document, what):
        """Notes what a document names and is not there."""
        self.seen += 1
        if not found:
            self.missing.append(f"{document.relative_to(ROOT)}: {what}")

    def nothing_missing(self, seen_min):
        self.assertEqual(self.missing, [])
        self.assertGreater(self.seen, seen_min, "the patterns no longer find what is named")

    def test_links_lead_to_files(self):
        for path in DOCUMENTS:
            for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
                if "://" not in target:
                    self.need((path.parent / target.split("#")[0]).exists(), path, target)
        self.nothing_missing(50)

    def test_files_in_backticks_are_there(self):
        names = {p.name for p in ROOT.rglob("*") if "build" not in p.relative_to(ROOT).parts}
        tops = {p.name for p in ROOT.iterdir() if p.is_dir()} - {"build"}
        for path in DOCUMENTS:
            for token in code(path.read_text()):
                token = re.sub(r":\d+$", "", token).rstrip("/")
                if re.search(r"[\s<>*$|…]|^-|^/|\.\.\.", token):
                    continue
                if any(name in token for name in ELSEWHERE):
                    continue
                is_file = token.endswith(SOURCE_SUFFIXES)
                if not is_file and ("/" not in token or token.split("/")[0] not in tops):
                    continue
                if token.endswith((".log", ".bin", ".mdb", ".seg")):
                    continue
                for one in braces(token):
                    bases = (ROOT, path.parent, ROOT / "include", ROOT / "tests" / "integration")
                    found = any((base / f"{one}{end}").exists() for base in bases
                                for end in ("", ".h", ".cc"))
                    self.need(found or "/" not in one and one in names, path, one)
        self.nothing_missing(100)

    def test_tests_named_in_the_invariants_are_there(self):
        tests = "\n".join(p.read_text(errors="replace") for p in (ROOT / "tests").rglob("*_test.*"))
        tests += (ROOT / "tests" / "crash" / "store_simulation.cc").read_text()
        document = ROOT / "docs" / "invariants.md"
        for line in document.read_text().splitlines():
            if not re.match(r"\| (INV|SRV)-\d+ ", line):
                continue
            named = re.findall(r"`((?:[A-Z]\w*|test_)\w+)`", line.rsplit(" | ", 1)[1])
            self.assertTrue(named or "_test." in line, line[:60])
            for name in named:
                self.need(re.search(rf"\b{name}\b", tests), document, name)
        self.nothing_missing(40)

    def test_commands_and_flags_exist(self):
        helps, seen = {}, set()
        for path in DOCUMENTS:
            for line in command_lines(path.read_text()):
                words = shlex.split(line.replace("...", ""))[1:]
                names = list(itertools.takewhile(
                    lambda word: re.fullmatch(r"[a-z][a-z-]*", word), words))
                flags = {word.split("=")[0].strip("[]") for word in words
                         if word.lstrip("[").startswith("--")}
                command = self.command(names, helps)
                self.need(command is not None, path, line)
                if command is None:
                    continue
                for flag in flags - {"--help", "--version"}:
                    self.need(re.search(rf"{flag}(?![\w-])", helps[command]), path,
                              f"{flag} in {line}")
                seen.add(command)
        self.assertGreater(len(seen), 15)
        self.nothing_missing(60)

    def command(self, names, helps):
        """The longest command that the words begin with; its help goes to `helps`."""
        for count in range(len(names), -1, -1):
            command = tuple(names[:count])
            if command not in helps:
                result = engram(*command, "--help")
                known = not command or f"engram {' '.join(command)}" in result.out
                helps[command] = result.out if result.code == 0 and known else None
            if helps[command] is not None:
                return command if command or not names else None
        return None


if __name__ == "__main__":
    unittest.main()
