"""An MLLP client that judges its answers by MSA-1 and MSA-2 (HL7 v2.5.1 §2.9.2, §2.9.3)."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import deque

from hcsyncd.cli.sending.deck import Outgoing
from hcsyncd.cli.sending.tally import Answered, Outcome
from hcsyncd.errors import FormatError, Transient
from hcsyncd.formats.mllp import Fault, Frame, Splitter, render

MAX_ANSWER_BYTES = 16 * 1024 * 1024
READ_BYTES = 65_536
_MSA = re.compile(rb"(?:^|[\r\n])MSA(.)([^\r\n]*)", re.DOTALL)
_CODES = {
    "AA": Outcome.ACCEPTED,
    "CA": Outcome.ACCEPTED,
    "AE": Outcome.ERROR,
    "CE": Outcome.ERROR,
    "AR": Outcome.REJECTED,
    "CR": Outcome.REJECTED,
}


class MllpClient:
    """One connection, made when it is first needed and made again when it is lost."""

    def __init__(self, host: str, port: int, timeout_secs: float, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._timeout_secs = timeout_secs
        self._tls = tls
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._splitter = Splitter(MAX_ANSWER_BYTES)
        self._frames: deque[Frame | Fault] = deque()
        self._was_connected = False

    async def exchange(self, outgoing: Outgoing) -> Answered:
        try:
            frame = render(outgoing.body)
        except FormatError as error:
            return Answered(Outcome.UNSENDABLE, str(error))
        await self._connect()
        assert self._writer is not None
        try:
            async with asyncio.timeout(self._timeout_secs):
                self._writer.write(frame)
                await self._writer.drain()
                answered = await self._judge(outgoing)
        except TimeoutError:
            answered = Answered(Outcome.TIMEOUT, f"no answer within {self._timeout_secs:g} s")
        except (OSError, EOFError) as error:
            answered = Answered(Outcome.LOST, str(error) or "the connection was closed before the answer")
        if answered.outcome in (Outcome.TIMEOUT, Outcome.LOST, Outcome.MISMATCHED):
            await self.close()  # a late answer must not be taken for that of the next message
        return answered

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
        self._splitter = Splitter(MAX_ANSWER_BYTES)
        self._frames.clear()

    async def _judge(self, outgoing: Outgoing) -> Answered:
        answered = judge(await self._next_frame(), outgoing.control_id)
        if answered.detail == "CA" and outgoing.wants_application_reply:
            answered = judge(await self._next_frame(), outgoing.control_id)
        return answered

    async def _next_frame(self) -> Frame | Fault:
        assert self._reader is not None
        while not self._frames:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise EOFError
            self._frames += self._splitter.feed(data)
        return self._frames.popleft()

    async def _connect(self) -> None:
        """Raises Transient: at once when there never was a connection, else when it did not come back in time."""
        if self._writer is not None:
            return
        give_up = time.monotonic() + (self._timeout_secs if self._was_connected else 0)
        pause = 0.05
        while True:
            try:
                async with asyncio.timeout(self._timeout_secs):
                    self._reader, self._writer = await asyncio.open_connection(
                        self._host, self._port, ssl=self._tls, limit=READ_BYTES
                    )
            except (OSError, TimeoutError) as error:
                if time.monotonic() + pause > give_up:
                    place = f"{self._host}:{self._port}"
                    reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
                    raise Transient("connect", f"cannot connect to {place}: {reason}") from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, 1.0)
            else:
                self._was_connected = True
                return


def judge(answer: Frame | Fault, control_id: str) -> Answered:
    """What an answer says about the message with this control id."""
    if isinstance(answer, Fault):
        return Answered(Outcome.UNREADABLE, f"the answer is no frame: {answer.kind}")
    found = _MSA.search(answer.payload)
    if found is None:
        return Answered(Outcome.UNREADABLE, "the answer has no MSA segment", answer.payload)
    fields = [text.decode("latin-1") for text in found[2].split(found[1])]
    code, answered_id, text = (*fields, "", "", "")[:3]
    if answered_id != control_id:
        return Answered(Outcome.MISMATCHED, f"{code} for {answered_id!r} instead of {control_id!r}", answer.payload)
    outcome = _CODES.get(code)
    if outcome is None:
        return Answered(Outcome.UNREADABLE, f"the acknowledgement code is {code!r}", answer.payload)
    return Answered(outcome, f"{code} {text}".strip() if outcome is not Outcome.ACCEPTED else code, answer.payload)
