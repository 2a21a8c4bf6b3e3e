"""The control socket: how an operator's command reaches the running daemon.

A Unix stream socket; each request and each answer is one line of JSON::

    {"verb": "messages.show", "args": {"id": 17}}
    {"ok": true, "result": {...}}
    {"ok": false, "code": "control", "error": "there is no message 17", "details": []}

Only the daemon's own user and root may use it: the folder is 0700, the socket 0600, and the kernel's word on who
connected (SO_PEERCRED) is checked for each connection. A path longer than a Unix address may be (107 bytes) is reached
by its folder's file descriptor, ``/proc/self/fd/N/control.sock``: the socket stays in the data folder, however deep.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hcsyncd.errors import CommandRefused, ConfigError, ControlError, DaemonAbsent, HcsyncdError, StoreError
from hcsyncd.events import ControlAsked, ControlFailed, ControlRefused, ControlUsed, Event
from hcsyncd.runtime.verb import Access, Auditor, Caller, Request, Verb, Verbs

MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_ADDRESS_BYTES = 107  # struct sockaddr_un: 108 with the closing NUL
SOCKET_NAME = "control.sock"
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def socket_path(data: Path) -> Path:
    """Where the daemon whose data folder this is listens for commands."""
    return data / SOCKET_NAME


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """An address for ``path`` that fits, good while the context is open. OSError: there is no folder."""
    whole = str(path.absolute())
    if len(os.fsencode(whole)) <= MAX_ADDRESS_BYTES:
        yield whole
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Process id and user id of the other end, as the kernel knows them."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def may_command(user_id: int) -> bool:
    """Whether a user may give commands: ours, and root."""
    return user_id in (0, os.geteuid())


class ControlServer:
    """The daemon's end. Commands of one connection are carried out one after the other, connections side by side."""

    def __init__(
        self,
        path: Path,
        verbs: Verbs,
        emit: Callable[[Event], None],
        *,
        auditor: Auditor | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        permitted: Callable[[int], bool] = may_command,
    ) -> None:
        self._path = path
        self._verbs = verbs
        self._emit = emit
        self._auditor = auditor
        self._max_line_bytes = max_line_bytes
        self._permitted = permitted
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._idle: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Bind. Raises ControlError when another daemon answers at the path, or the folder cannot be used."""
        try:
            listener = self._bind()
        except OSError as error:
            raise ControlError(f"cannot open the control socket {self._path}: {error.strerror or error}") from error
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._converse, sock=listener, limit=self._max_line_bytes)

    async def stop(self, grace_secs: float = 5.0) -> None:
        """Take no more commands; those under way have ``grace_secs`` to end. Safe to call twice."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        for task in self._idle:
            task.cancel()
        tasks = self._idle | self._busy
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_secs)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _bind(self) -> socket.socket:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.parent.chmod(0o700)
        with _address(self._path) as address:
            self._clear(address)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                os.fchmod(listener.fileno(), 0o600)  # before bind, so that the socket is never open to others
                listener.bind(address)
                listener.listen(64)
            except BaseException:
                listener.close()
                raise
        return listener

    def _clear(self, address: str) -> None:
        """Remove a socket that a killed daemon left. One that answers belongs to a daemon that runs."""
        if not self._path.exists():
            return
        if not self._path.is_socket():
            raise ControlError(f"{self._path} is in the way: it is no socket; move it away and start again")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(address)
            except ConnectionRefusedError:
                self._path.unlink()
                return
            pid, _ = _peer(probe)
        raise ControlError(f"another daemon (process {pid}) runs on {self._path.parent}; stop it first")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._idle.add(task)
        try:
            await self._serve(task, reader, writer)
        except asyncio.CancelledError:  # the daemon stops; the streams' own task callback would log it as an error
            pass
        except ConnectionError:  # the operator has gone; what was asked for is done all the same
            pass
        finally:
            self._idle.discard(task)
            self._busy.discard(task)
            writer.close()

    async def _serve(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        process_id, user_id = _peer(writer.get_extra_info("socket"))
        caller = Caller(user_id, process_id)
        if not self._permitted(user_id):
            self._emit(ControlRefused(user_id=user_id))
            writer.write(_refusal("not-permitted", f"user {user_id} may not command this daemon"))
            await writer.drain()
            return
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                writer.write(_refusal("too-large", f"a request may not be over {self._max_line_bytes} bytes"))
                await writer.drain()
                return
            if not line.strip():
                if not line:
                    return
                continue
            self._idle.discard(task)
            self._busy.add(task)
            writer.write(await self._answer(line, caller))
            await writer.drain()
            if self._server is None:
                return
            self._busy.discard(task)
            self._idle.add(task)

    async def _answer(self, line: bytes, caller: Caller) -> bytes:
        try:
            request = json.loads(line)
        except ValueError:  # a UnicodeDecodeError is one too
            return _refusal("bad-request", "the request is not a line of JSON")
        if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
            return _refusal("bad-request", 'a request is an object {"verb": "...", "args": {...}}')
        args = request.get("args", {})
        if not isinstance(args, dict):
            return _refusal("bad-request", '"args" is an object')
        verb = self._verbs.get(request["verb"])
        if verb is None:
            return _refusal("unknown-verb", f"this daemon knows no command {request['verb'][:64]!r}")
        return await self._carry_out(request["verb"], verb, args, caller)

    async def _carry_out(self, name: str, verb: Verb[Any], args: dict[str, Any], caller: Caller) -> bytes:
        entry = 0
        try:
            asked = verb.read(args)
            entry = await self._note(name, verb.access_of(asked), caller, asked)
            answer = _line({"ok": True, "result": await verb.run(asked, caller)})
        except HcsyncdError as error:
            code, text = error.code, str(error)
            findings = error.findings if isinstance(error, ConfigError) else ()
            answer = _refusal(code, text, findings)
        except Exception as error:  # a fault of ours: told to both sides by its place, as its text might hold data
            place = traceback.extract_tb(error.__traceback__)[-1]
            code, text = "internal", f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            answer = _refusal(code, f"the daemon failed on {name}: {text}")
        else:
            if len(answer) <= self._max_line_bytes:
                return answer
            code, text = "too-large", f"the result is over {self._max_line_bytes} bytes; ask for less"
            answer = _refusal(code, text)
        self._emit(ControlFailed(verb=name, user_id=caller.user_id, code=code, text=text))
        if entry and self._auditor:
            with contextlib.suppress(StoreError):  # the store has said so itself, and the command has failed already
                await self._auditor.note_failure(caller, name, code, entry)
        return answer

    async def _note(self, name: str, access: Access, caller: Caller, asked: Request) -> int:
        """Say that a command was given, and keep it in the audit log where it goes further than a look. The number of
        the entry, 0 when there is none."""
        if access is Access.LOOKS:
            self._emit(ControlAsked(verb=name, user_id=caller.user_id))
            return 0
        self._emit(ControlUsed(verb=name, user_id=caller.user_id, access=access))
        return await self._auditor.note(caller, name, access, asked) if self._auditor else 0


def _line(answer: dict[str, Any]) -> bytes:
    """Records and read-only mappings become objects, enums their values, bytes base64, anything else its ``str()``."""
    return msgspec.json.encode(answer, enc_hook=_plain) + b"\n"


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _refusal(code: str, text: str, details: tuple[object, ...] = ()) -> bytes:
    return _line({"ok": False, "code": code, "error": text, "details": details})


def call(path: Path, verb: str, args: Mapping[str, Any] | None = None, timeout: float = 30.0) -> Any:
    """Give one command and wait for its result, decoded from JSON; bytes in ``args`` are sent as base64.

    ``timeout`` is in seconds, for each step of the exchange. Raises DaemonAbsent when nobody answers at ``path``, and
    CommandRefused when the daemon says no or is silent for too long.
    """
    request = _line({"verb": verb, "args": dict(args or {})})
    try:
        with _address(path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(address)
            with contextlib.suppress(BrokenPipeError):  # turned away before it read all: the reason is there to be read
                connection.sendall(request)
            with connection.makefile("rb") as stream:
                line = stream.readline(MAX_LINE_BYTES + 1)
    except TimeoutError as error:
        raise CommandRefused("timeout", f"the daemon has not answered {verb} within {timeout:g} s") from error
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise DaemonAbsent(f"no daemon runs on {path.parent}; start one with `hcsyncd run`") from error
    except PermissionError as error:
        raise DaemonAbsent(f"only its own user and root may talk to the daemon at {path}") from error
    except OSError as error:
        raise CommandRefused("connection", f"lost the daemon at {path}: {error.strerror or error}") from error
    if not line.endswith(b"\n"):
        raise CommandRefused("connection", f"the daemon at {path} ended before it answered {verb}")
    return _result(json.loads(line))


def _result(answer: dict[str, Any]) -> Any:
    if answer["ok"]:
        return answer["result"]
    raise CommandRefused(answer["code"], answer["error"], tuple(answer.get("details") or ()))
