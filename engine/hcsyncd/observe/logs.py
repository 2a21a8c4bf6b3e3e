"""The log: one line an event, on standard error. Text for a person at a terminal, JSON for machines."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from re import sub
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import Processor

from hcsyncd.events import Event

MAX_TEXT = 500  # characters of one field

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

Write = Callable[..., Any]


class EventLog:
    """Writes events at or above a level. Its `log_event` is a subscriber of the bus, which wants what `wants`
    says."""

    def __init__(
        self,
        level: str = "info",
        form: Literal["auto", "text", "json"] = "auto",
        stream: TextIO | None = None,
    ) -> None:
        stream = stream or sys.stderr
        self.level = LEVELS[level]
        self._written = frozenset(name for name, number in LEVELS.items() if number >= self.level)
        as_text = form == "text" or (form == "auto" and stream.isatty())
        logger = structlog.wrap_logger(
            structlog.PrintLogger(stream),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                *(_text_processors(stream) if as_text else _json_processors()),
            ],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
        )
        self._write: Write = logger.msg

    def log_event(self, event: Event) -> None:
        """Write one event: its name in snake case, and every field."""
        if event.level not in self._written:
            return
        name, field_names = _shape(type(event))
        self._write(name, level=event.level, **{field: _bounded(getattr(event, field)) for field in field_names})

    def wants(self, kind: type[Event]) -> bool:
        """Whether events of this kind are written: those at or above the level."""
        return kind.level in self._written

    def adopt(self, logger: logging.Logger) -> None:
        """Write what a library says through the standard library's logging in the same form, from `warning` up."""
        logger.handlers[:] = [_Adopted(self._write)]
        logger.setLevel(max(self.level, logging.WARNING))


class _Adopted(logging.Handler):
    """Hands a library's records on: its text cut short, an exception by type and place alone, since its own text may
    hold what was being worked on."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write_line = write

    def emit(self, record: logging.LogRecord) -> None:
        extra: dict[str, object] = {}
        if record.exc_info and record.exc_info[0] is not None:
            extra["error"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            while trace is not None:
                extra["place"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
                trace = trace.tb_next
        level = record.levelname.lower()
        text = record.getMessage().partition("\n")[0]
        self._write_line("library_message", level=level, library=record.name, text=_bounded(text), **extra)


def event_name(kind: type[Event]) -> str:
    """``MessageReceived`` is written ``message_received``."""
    return sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


_shapes: dict[type[Event], tuple[str, tuple[str, ...]]] = {}


def _shape(kind: type[Event]) -> tuple[str, tuple[str, ...]]:
    """An event's name and field names, worked out once for each kind."""
    shape = _shapes.get(kind)
    if shape is None:
        shape = _shapes[kind] = (event_name(kind), kind.__struct_fields__)
    return shape


def _bounded(value: object) -> object:
    if not isinstance(value, str):
        return value
    if len(value) > MAX_TEXT:
        value = value[: MAX_TEXT - 1] + "…"
    # A line break inside a field would let a sender write log lines of its own.
    return value if value.isprintable() else value.encode("unicode_escape").decode()


def _text_processors(stream: TextIO) -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="at", sort_keys=False)]


def _json_processors() -> list[Processor]:
    def dumps(line: object, **_ignored: object) -> str:
        return msgspec.json.encode(line).decode()

    return [structlog.processors.JSONRenderer(serializer=dumps)]
