"""A shell whose output goes to a terminal, as that of a user: programs print with their colours."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from common import Failure, die_with_parent

COLUMNS = 104
END = "\x1e"  # printed by the shell after each command
PATIENCE = 60  # seconds


def on_the_terminal():
    """In the child: all that the shell starts hears of it when the terminal closes, even if this script is killed."""
    die_with_parent()
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)


class Shell:
    """`/bin/sh` in a folder. Ended with everything that it has started."""

    def __init__(self, folder, programs):
        self.screen, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        self.shell = subprocess.Popen(
            ["/bin/sh"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=on_the_terminal,
        )
        os.close(other)

    def run(self, command, until=None):
        """Run a command; what it prints up to its end, and up to the last line that has `until` in it."""
        self.shell.stdin.write(f"{command}\nprintf '{END}'\n".encode())
        self.shell.stdin.flush()
        seen, deadline = "", time.monotonic() + PATIENCE
        while END not in seen or (until and not re.search(f"{re.escape(until)}.*\n", seen)):
            if not select.select([self.screen], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Failure(f"`{command}` does not end, or does not print {until!r}: {seen[-400:]!r}", 1)
            seen += os.read(self.screen, 65536).decode(errors="replace")
        return seen.replace(END, "").replace("\r\n", "\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.shell.pid, 15)
        self.shell.wait()
        with contextlib.suppress(OSError):  # that is the end: no process has the terminal any more
            while os.read(self.screen, 65536):
                pass
        os.close(self.screen)
