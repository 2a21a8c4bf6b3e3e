"""Looking at a site's ``transforms/`` without trusting them: they are imported in a process of its own, under bounds.

``python -m hcsyncd.plugins.inspection FOLDER`` is that process. It writes a line before each file that it is about to
import, and a last one with what was found; what the files themselves print goes nowhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from hcsyncd.errors import PluginError
from hcsyncd.plugins.bounds import bound_memory, child_environment
from hcsyncd.plugins.loader import Fault, FaultyPlugins, Sources, load_plugins

TIME_LIMIT_SECS = 20.0  # for all files of a site together
MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024


class Inspection(Struct, frozen=True):
    """What ``transforms/`` offers, and what is wrong with it."""

    functions: dict[str, str]  # name -> "transform" or "filter"; empty when there are faults
    faults: list[Fault]


class _Importing(Struct, frozen=True, tag="importing"):
    file: str


class _Found(Struct, frozen=True, tag="found"):
    inspection: Inspection


_decoder = msgspec.json.Decoder(_Importing | _Found)


def inspect_plugins(folder: Path, time_limit_secs: float = TIME_LIMIT_SECS) -> Inspection:
    """Import every file of ``folder`` in a child process and say what is in them. A file that loops, ends its process
    or takes all memory when it is imported is a fault like any other. Blocks: from an event loop, call it in a
    thread."""
    command = [sys.executable, "-P", "-m", "hcsyncd.plugins.inspection", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=time_limit_secs,
            env=child_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        text = f"importing it takes longer than {time_limit_secs:g} s"
        return _cut_short(expired.stdout or b"", folder, "plugin-timeout", text)
    lines = [_decoder.decode(line) for line in done.stdout.splitlines()]
    if lines and isinstance(lines[-1], _Found):
        return lines[-1].inspection
    ended = f"by signal {-done.returncode}" if done.returncode < 0 else f"with status {done.returncode}"
    return _cut_short(done.stdout, folder, "plugin-exit", f"importing it ends the process {ended}")


def _cut_short(output: bytes, folder: Path, code: str, text: str) -> Inspection:
    """Blame the file that was being imported; the folder when it did not come to one."""
    whole_lines = output.rpartition(b"\n")[0].splitlines()
    last = _decoder.decode(whole_lines[-1]) if whole_lines else None
    file = last.file if isinstance(last, _Importing) else f"{folder.name}/"
    return Inspection({}, [Fault(file, 1, 1, code, text)])


def main(arguments: list[str]) -> int:
    """The child process: import, and write what is found to the standard output that it was started with."""
    folder = Path(arguments[0])
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def write(line: _Importing | _Found) -> None:
        output.write(msgspec.json.encode(line) + b"\n")
        output.flush()

    bound_memory(MEMORY_LIMIT_BYTES)
    try:
        plugins = load_plugins(Sources.read(folder), 0, before=lambda file: write(_Importing(file)))
    except FaultyPlugins as error:
        write(_Found(Inspection({}, list(error.faults))))
    except PluginError as error:
        write(_Found(Inspection({}, [Fault(f"{folder.name}/", 1, 1, error.code, str(error))])))
    else:
        write(_Found(Inspection(plugins.names(), [])))
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # threads that a file has started must not hold the process back
