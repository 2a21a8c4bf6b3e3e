"""The log: names, fields, levels, both forms, and nothing that a sender could forge."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from hcsyncd.events import (
    ConnectionRefused,
    DaemonStarted,
    DeliveryDied,
    Event,
    FileRefused,
    MessageReceived,
    SourceStopped,
)
from hcsyncd.observe.logs import MAX_TEXT, EventLog, event_name

RECEIVED = MessageReceived("adt_in", 7, "ADT^A01", 1091, 0.002)
DIED = DeliveryDied("events_out", "events", 3, 7, 1, "http-422", "422 Unprocessable Entity")


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_holds_name_level_time_and_every_field() -> None:
    stream = io.StringIO()
    EventLog("debug", "json", stream).log_event(RECEIVED)
    (line,) = lines_of(stream)
    moment = line.pop("at")
    assert moment.endswith("Z")
    assert line == {
        "event": "message_received",
        "level": "debug",
        "channel": "adt_in",
        "message_id": 7,
        "type": "ADT^A01",
        "bytes": 1091,
        "seconds": 0.002,
    }


@pytest.mark.parametrize(
    ("level", "names"),
    [
        ("debug", ["message_received", "source_stopped", "delivery_died"]),
        ("info", ["source_stopped", "delivery_died"]),
        ("warning", ["delivery_died"]),
        ("error", ["delivery_died"]),
    ],
)
def test_events_below_the_level_are_left_out(level: str, names: list[str]) -> None:
    stream = io.StringIO()
    log = EventLog(level, "json", stream)
    events = (RECEIVED, SourceStopped("adt_in"), DIED)
    for event in events:
        log.log_event(event)
    assert [line["event"] for line in lines_of(stream)] == names
    assert [event_name(type(event)) for event in events if log.wants(type(event))] == names


def test_auto_is_json_where_nobody_looks() -> None:
    stream = io.StringIO()
    EventLog("info", "auto", stream).log_event(DIED)
    assert lines_of(stream)[0]["cause"] == "http-422"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_auto_is_text_at_a_terminal() -> None:
    stream = Terminal()
    EventLog("info", "auto", stream).log_event(DIED)
    assert "delivery_died" in stream.getvalue()
    assert "http-422" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_sender_cannot_write_lines_of_its_own(form: str) -> None:
    stream = io.StringIO()
    event = ConnectionRefused("adt_in", "evil\n2026-01-01 [info] all is well\x1b[2J", "tls")
    EventLog("info", "json" if form == "json" else "text", stream).log_event(event)
    assert stream.getvalue().count("\n") == 1
    assert "\x1b[2J" not in stream.getvalue()


def test_a_field_is_bounded() -> None:
    stream = io.StringIO()
    EventLog("info", "json", stream).log_event(FileRefused("files_in", "x" * 10_000, "unreadable", "bad/"))
    assert len(lines_of(stream)[0]["file"]) == MAX_TEXT


def test_libraries_speak_in_the_same_form_without_their_error_texts() -> None:
    stream = io.StringIO()
    log = EventLog("info", "json", stream)
    logger = logging.getLogger("some.library")
    log.adopt(logger)
    logger.info("not heard")
    try:
        int("PATIENT^NAME")
    except ValueError:
        logger.exception("went wrong with %s\nsecond line", "it")
    (line,) = lines_of(stream)
    assert line["event"] == "library_message"
    assert line["level"] == "error"
    assert line["library"] == "some.library"
    assert line["text"] == "went wrong with it"
    assert line["error"] == "ValueError"
    assert "test_logs.py" in line["place"]
    assert "PATIENT" not in stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "name"), [(DaemonStarted, "daemon_started"), (MessageReceived, "message_received"), (Event, "event")]
)
def test_names_are_snake_case(kind: type[Event], name: str) -> None:
    assert event_name(kind) == name
