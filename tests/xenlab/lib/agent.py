# SPDX-License-Identifier: MIT
"""This machine's end of the agent's protocol (agent/agent.c describes the lines).

An Agent owns no connection: it is given a function to send with and is fed what arrives. So dom0's agent hangs on a serial port
and a guest's agent on a relay process that dom0's agent runs. All agents of one machine share its condition variable; feed() is
called with it held, by the machine's reader thread alone, and never sends.
"""

import re
import shlex
import time

from .base import PATIENCE, LabError

TAIL_LINES = 25
_LINE = re.compile(rb"^@(\d+) ([oOeExkr]) (.*)$")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def escape(data):
    return b"".join(b"\\x%02x" % byte if byte < 32 or byte > 126 or byte in b"@\\" else bytes([byte]) for byte in data)


def unescape(data):
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data)


class Result:
    """What a command did: exit code (128 + signal when killed), standard output, standard error."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self):
        return self.out.splitlines()


class Process:
    """A command under an agent. Its output grows as it arrives."""

    def __init__(self, agent, number, command, on_output=None, on_exit=None):
        self._agent, self._number, self.command = agent, number, command
        self._on_output, self._on_exit = on_output, on_exit
        self._streams = {"o": bytearray(), "e": bytearray()}
        self.code = None

    def receive(self, kind, payload):
        data = unescape(payload) + (b"\n" if kind in "oe" else b"")
        if kind == "x":
            self.code = int(payload)
            if self._on_exit:
                self._on_exit(self)
        elif self.relayed(kind):
            self._on_output(data)
        else:
            self._streams[kind.lower()] += data

    def relayed(self, kind):
        return self._on_output is not None and kind in "oO"

    @property
    def out(self):
        return self._streams["o"].decode(errors="replace")

    @property
    def err(self):
        return self._streams["e"].decode(errors="replace")

    def write(self, data):
        """Sends bytes (or text) to the command's standard input."""
        data = data.encode() if isinstance(data, str) else data
        for start in range(0, len(data), 2048):
            self._agent.command("in", self._number, escape(data[start:start + 2048]))

    def close_input(self):
        self._agent.command("eof", self._number)

    def kill(self, signal=9):
        """Signals the command and all it started."""
        self._agent.command("kill", self._number, str(signal).encode())

    def wait(self, timeout=PATIENCE, check=True):
        """The Result once the command has ended; a code other than 0 fails the scenario unless check is False."""
        self._agent.wait_for(lambda: self.code is not None, timeout, f"`{self.command}` to end")
        if check and self.code != 0:
            raise LabError(f"{self._agent.name}: `{self.command}` ended with {self.code}: {(self.err or self.out).strip()[-1000:]}")
        return Result(self.code, self.out, self.err)

    def wait_line(self, pattern, timeout=PATIENCE):
        """Waits until the output has a line matching the pattern; returns the match."""
        found = []

        def look():
            found[:] = [match for match in re.finditer(pattern, self.out, re.MULTILINE)]
            return found or self.code is not None

        self._agent.wait_for(look, timeout, f"a line matching /{pattern}/ from `{self.command}`")
        if not found:
            raise LabError(f"{self._agent.name}: `{self.command}` ended with {self.code} and no line matching /{pattern}/:\n{self.out}{self.err}")
        return found[0]


class Agent:
    """Runs commands where the agent is, and keeps the console text that comes from there."""

    def __init__(self, name, changed, log_path):
        self.name = name
        self._changed = changed
        self._log = open(log_path, "a", encoding="utf-8", errors="replace")  # pylint: disable=consider-using-with
        self._send = None
        self._rest = b""
        self._processes, self._last = {}, 0
        self._answered = False
        self.broken = "not connected yet"
        self.console = ""

    def connect(self, send):
        """A new connection (after boot, reboot, restore); what was under way on the old one is given up."""
        self._send, self._rest, self._answered, self.broken = send, b"", False, None

    def disconnect(self, reason):
        self.broken = self.broken or reason
        self._changed.notify_all()

    def feed(self, data):
        *lines, self._rest = (self._rest + data.replace(b"\r", b"")).split(b"\n")
        for line in lines:
            start = line.rfind(b"@")
            match = _LINE.match(line[start:]) if start >= 0 else None
            if match is None or start > 0:
                self._note(line[:start] if match else line)
            if match:
                self._receive(int(match[1]), match[2].decode(), match[3])
        self._changed.notify_all()

    def _receive(self, number, kind, payload):
        process = self._processes.get(number)
        if kind == "r":
            self._answered = True
        elif kind == "k":
            self._note(unescape(payload))
        elif process:
            process.receive(kind, payload)
            if not process.relayed(kind):
                self._note(unescape(payload), f"{number}{kind} ")
            if kind == "x":
                del self._processes[number]

    def _note(self, line, prefix=""):
        text = f"{prefix}{line.decode(errors='replace')}\n"
        self.console += text
        self._log.write(text)
        self._log.flush()

    def command(self, word, number, payload=b""):
        if self.broken:
            raise LabError(f"{self.name}: {self.broken}")
        self._send(b"%s %d %s\n" % (word.encode(), number, payload))

    def wait_for(self, condition, timeout, what):
        """Waits for the condition; fails with what was waited for and the last console lines."""
        with self._changed:
            if self._changed.wait_for(lambda: condition() or self.broken, timeout) and condition():
                return
            why = self.broken or f"waited {timeout} s for {what}"
            if self.broken:
                why += f" (while waiting for {what})"
            raise LabError(f"{self.name}: {why}\n{self.tail()}")

    def wait_console(self, pattern, timeout=PATIENCE, start=0):
        """Waits for a console line matching the pattern, from position `start` of the console's text on."""
        self.wait_for(lambda: re.search(pattern, self.console[start:], re.MULTILINE), timeout, f"a console line matching /{pattern}/")
        return re.search(pattern, self.console[start:], re.MULTILINE)

    def wait_ready(self, timeout=PATIENCE):
        """Waits until the agent answers. Pings repeat, as one sent while nobody listens is lost."""
        end = time.monotonic() + timeout
        while not self._answered:
            with self._changed:
                self._changed.wait_for(lambda: self._answered or self.broken, 2)
            if self.broken or time.monotonic() > end:
                self.wait_for(lambda: self._answered, 0, f"its agent for {timeout} s")
            elif not self._answered:
                self._send(b"\nping 1\n")

    def tail(self):
        return "\n".join(f"    | {line}" for line in self.console.splitlines()[-TAIL_LINES:]) or "    | (nothing on its console)"

    def write_file(self, path, text):
        self.run(f"mkdir -p $(dirname {shlex.quote(path)}) && cat > {shlex.quote(path)}", stdin=text)

    def start(self, command, on_output=None, on_exit=None):
        """Starts a shell command and returns at once; the Process can be written to, waited for, killed.

        on_output takes its standard output instead of the Process; on_exit is told of its end. Both are called while feeding.
        """
        with self._changed:
            self._last += 1
            process = self._processes[self._last] = Process(self, self._last, command, on_output, on_exit)
            self._note(command.encode(), f"{time.strftime('%H:%M:%S')} {self._last}$ ")
        self.command("run", process._number, escape(command.encode()))
        return process

    def run(self, command, timeout=PATIENCE, check=True, stdin=None):
        """Runs a shell command to its end."""
        process = self.start(command)
        if stdin is not None:
            process.write(stdin)
        process.close_input()
        return process.wait(timeout, check)
