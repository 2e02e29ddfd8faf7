# SPDX-License-Identifier: MIT
"""The tree as the rules see it: tracked files, their lines, their code without comments and strings, their functions."""
import ast
import os
import re
import subprocess
from dataclasses import dataclass

C_SUFFIXES = (".c", ".h", ".cc", ".cpp", ".hpp")
SOURCE_SUFFIXES = C_SUFFIXES + (".py", ".sh", ".proto")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    what: str
    why: str
    todo: str
    warning: bool = False

    def __str__(self):
        kind = "warning: " if self.warning else ""
        return f"{self.path}:{self.line}: {kind}{self.what}; {self.why}; {self.todo}"


class File:
    def __init__(self, root, path):
        self.path = path
        self.full = os.path.join(root, path)
        with open(self.full, "rb") as f:
            data = f.read()
        self.binary = b"\0" in data[:8192]
        self.text = "" if self.binary else data.decode("utf-8", errors="replace")
        self.lines = self.text.splitlines()
        self._code = None

    @property
    def is_c(self):
        return self.path.endswith(C_SUFFIXES)

    @property
    def is_python(self):
        return self.path.endswith(".py") or self._shebang("python")

    @property
    def is_shell(self):
        return self.path.endswith(".sh") or self._shebang("sh")

    @property
    def is_source(self):
        return self.path.endswith(SOURCE_SUFFIXES) or self.is_python or self.is_shell

    def _shebang(self, word):
        return bool(self.lines) and self.lines[0].startswith("#!") and word in os.path.basename(self.lines[0].split()[-1])

    @property
    def code(self):
        """C and C++: the text with comments and literals blanked out, line numbers kept."""
        if self._code is None:
            self._code = strip_c(self.text)
        return self._code

    def functions(self):
        """(name, first line, length) of each function."""
        if self.is_c:
            return list(c_functions(self.code))
        if self.is_python:
            return list(python_functions(self.text))
        if self.is_shell:
            return list(shell_functions(self.lines))
        return []


def tree(root):
    """The files of a git tree (tracked, or new and not ignored); outside git every file below root."""
    try:
        listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"], check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names]
    paths = sorted({p for p in listed if p and os.path.isfile(os.path.join(root, p)) and not os.path.islink(os.path.join(root, p))})
    return [File(root, p) for p in paths]


_TOKEN = re.compile(
    r'//(?:\\\n|[^\n])*|/\*.*?\*/|R"([^()\\\s]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)


def strip_c(text):
    def blank(match):
        token = match.group(0)
        # "" keeps a literal visible as one, so that an include line stays an include line
        keep = token if _is_include(text, match.start()) else ('""' if token[0] in "\"R" else "0" if token[0] == "'" else " ")
        return keep + "\n" * (token.count("\n") - keep.count("\n"))
    return _TOKEN.sub(blank, text)


def _is_include(text, at):
    start = text.rfind("\n", 0, at) + 1
    return re.match(r"\s*#\s*include\s*$", text[start:at]) is not None


_SCOPE = re.compile(r"\b(namespace|class|struct|union|enum)\b[^()=]*$|\bextern\s*\"\"\s*$")
_CONTROL = re.compile(r"^\s*(if|for|while|switch|do|else|return)\b")


def plain_c(code):
    """Code without directives and attributes, line numbers kept."""
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: "\n" * m.group(0).count("\n"), code, flags=re.M)
    return re.sub(r"\b(__attribute__\s*\(\(.*?\)\)|alignas\s*\([^()]*(\([^()]*\))?[^()]*\))|\[\[[^\]]*\]\]",
                  lambda m: "\n" * m.group(0).count("\n"), code, flags=re.S)


def c_functions(code):
    """A brace whose statement holds a parameter list, opened at namespace or class level, starts a function."""
    stack, statement, statement_line, line = [], "", 1, 1
    for char in plain_c(code):
        if char == "\n":
            line += 1
        if char == "{":
            kind, name = _brace_kind(stack, statement)
            stack.append((kind, name, statement_line))
            if kind != "initialiser":
                statement = ""
        elif char == "}":
            kind, name, first = stack.pop() if stack else ("scope", "", 1)
            if kind == "function":
                yield name, first, line - first + 1
            if kind != "initialiser":
                statement = ""
        elif char == ";":
            statement = ""
        else:
            if not statement.strip():
                statement_line = line
            statement += char


def _brace_kind(stack, statement):
    if stack and stack[-1][0] in ("function", "body", "initialiser"):
        return ("body", "") if stack[-1][0] != "initialiser" else ("initialiser", "")
    if _SCOPE.search(statement):
        return "scope", ""
    name = re.search(r"(operator\s*\S+|~?\w+)\s*\(", statement)
    if not name or _CONTROL.match(statement):
        return "initialiser", ""
    if re.search(r"\)\s*:\s", statement) and re.search(r"[\w>]\s*$", statement) and not re.search(r"\b(const|noexcept|override)\s*$", statement):
        return "initialiser", ""  # a member initialised with braces
    name = name.group(1)
    if name in ("TEST", "TEST_F", "TEST_P", "TYPED_TEST", "RC_GTEST_PROP", "RC_GTEST_FIXTURE_PROP"):
        case = re.search(r"\(\s*(\w+)\s*,\s*(\w+)", statement)
        name = f"{case.group(1)}.{case.group(2)}" if case else name
    return "function", name


_CLASS = re.compile(r"(?<!enum )\b(class|struct|union)\s+\w[\w:]*\s*(?:final\s*)?(?::[^:][^()]*)?$")
_ACCESS = re.compile(r"\s*(public|protected|private)\s*:")
_MEMBER = re.compile(r"(?!\s*(?:using|friend|typedef|static|enum|class|struct|union|template)\b)[^()]*[\w>*&]\s*[\s*&]\w[^()]*")
_MEMBER_NAME = re.compile(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:,|$)")


def private_members(code):
    """(line, name) of each data member that only its class may touch: its statement has a type, a name, and no parameter list."""
    stack, statement, line, first = [""], "", 1, 1  # of each open brace: who may touch what is declared there; "": no class
    for char in plain_c(code):
        line += char == "\n"
        if char == "{":
            head = _CLASS.search(statement)
            stack.append("" if not head else "private" if head.group(1) == "class" else "public")
            statement = statement + "{" if stack[-2] and not head else ""
        elif char == "}":
            was_class = len(stack) > 1 and stack.pop() != ""
            declared = _declared(statement)
            if was_class or not declared.strip() or "(" in declared:
                statement = ""
        elif char == ";":
            declared = _declared(statement)
            if stack[-1] == "private" and _MEMBER.fullmatch(declared):
                yield from ((first, name) for name in _MEMBER_NAME.findall(declared))
            statement = ""
        else:
            first = first if statement.strip() else line
            statement += char
            if stack[-1] and _ACCESS.fullmatch(statement):
                stack[-1], statement = statement.strip(" \n:"), ""


def _declared(statement):
    """A declaration without its initialiser, its width in bits and the arguments of its templates."""
    text = re.split(r"=|\{|(?<!:):(?!:)", statement)[0]
    while (without := re.sub(r"<[^<>]*>", "*", text)) != text:
        text = without
    return text


def python_functions(text):
    try:
        nodes = ast.walk(ast.parse(text))
    except SyntaxError as error:
        yield f"unreadable: {error.msg}", error.lineno or 1, 10**6
        return
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


def shell_functions(lines):
    name, first = None, 0
    for number, line in enumerate(lines, 1):
        start = re.match(r"(?:function\s+)?([\w-]+)\s*\(\)\s*[{(]\s*(#.*)?$", line)
        if start and name is None:
            name, first = start.group(1), number
        elif name and re.match(r"[})]", line):
            yield name, first, number - first + 1
            name = None
