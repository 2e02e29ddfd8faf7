# SPDX-License-Identifier: MIT
"""Folders have a README, links lead somewhere, and every option that a program offers stands in the documentation."""
import os
import posixpath
import re
import subprocess

from . import policy
from .source import Finding


def readmes(files):
    known = {f.path for f in files}
    folders = {}
    for f in files:
        if f.is_source:
            folders.setdefault(posixpath.dirname(f.path), []).append(f.path)
    for folder, sources in sorted(folders.items()):
        if posixpath.join(folder, "README.md") not in known and not readme_elsewhere(folder, known):
            yield Finding(sources[0], 1, f"{folder or '.'} has no README.md", "a reader starts there",
                          "write ten lines: what it is, what it reads, what it never reads, where to start")
        if len(sources) > policy.FOLDER_SOURCES_WARN:
            yield Finding(folder or ".", 1, f"{len(sources)} source files", f"a folder is read at a glance up to {policy.FOLDER_SOURCES_WARN}",
                          "look whether it is two subjects", warning=True)


def readme_elsewhere(folder, known):
    if folder in policy.README_ELSEWHERE:
        return policy.README_ELSEWHERE[folder] in known
    for prefix in policy.README_ELSEWHERE_PREFIXES:
        if folder.startswith(prefix):
            parent = posixpath.dirname(folder)
            while parent.startswith(prefix.rstrip("/")):
                if posixpath.join(parent, "README.md") in known:
                    return True
                parent = posixpath.dirname(parent)
    return False


def links(files):
    known = {f.path: f for f in files}
    folders = {posixpath.dirname(p) for p in known}
    folders |= {posixpath.dirname(d) for d in folders}
    for f in files:
        if not f.path.endswith(".md"):
            continue
        for number, line in prose(f.lines):
            for target in re.findall(r"\]\(([^()\s]+(?:\([^()]*\))?)\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                where, _, anchor = target.partition("#")
                path = posixpath.normpath(posixpath.join(posixpath.dirname(f.path), where)) if where else f.path
                if path not in known and path not in folders:
                    yield Finding(f.path, number, f"link to {target}", "there is no such file", "correct the link, or write the file")
                elif anchor and path.endswith(".md") and anchor not in anchors(known[path].lines):
                    yield Finding(f.path, number, f"link to {target}", "there is no such heading", "correct the anchor")


def prose(lines):
    """Lines outside of fenced blocks, without `code`."""
    fenced = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "", line)


def anchors(lines):
    fenced = False
    found = set()
    for line in lines:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        heading = None if fenced else re.match(r"#+\s+(.*)", line)
        if heading:
            text = re.sub(r"[^\w\- ]", "", heading.group(1).lower())
            found.add(text.strip().replace(" ", "-"))
    return found


def help_options(program):
    """The long options that a program's --help names, or None when it has no --help."""
    try:
        run = subprocess.run([program, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if run.returncode != 0:
        return None
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", run.stdout.decode(errors="replace")))


def documented(files, programs):
    """Each program and each of its options is named in a man page or another document."""
    text = "\n".join(f.text.replace("\\-", "-") for f in files if f.path.endswith(".md") or f.path.startswith("docs/"))
    words = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    for program in programs:
        name = os.path.basename(program)
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            yield Finding(name, 1, "named in no document", "a user cannot find it", "add docs/man or a line in a README")
        options = help_options(program)
        if options is None:
            yield Finding(name, 1, "--help fails", "it is the first thing a user tries", "print the usage and exit with 0")
            continue
        for option in sorted(options - words - {"--help", "--version"}):
            yield Finding(name, 1, f"option {option} stands in no document", "help and documents say the same", "document it in docs/man or docs/")
