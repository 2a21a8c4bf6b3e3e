"""Which routes want a message: every kind of condition, lanes, and replays narrowed to one way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hcsyncd.config.model import Channel, ChannelOptions, Part, Route
from hcsyncd.errors import FormatError
from hcsyncd.flow.route import Routes, Subject
from hcsyncd.formats.registry import FORMATS, build_format
from hcsyncd.message import Keys, Message
from hcsyncd.options import Options
from tests.fakes.routing import route

HL7 = build_format("hl7", FORMATS["hl7"].options())
BODY = (
    b"MSH|^~\\&|PAS|HOSP|ENGINE|HOSP|20260101120000||ADT^A01^ADT_A01|7|P|2.5\r"
    b"PID|1||4711^^^HOSP^MR~9^^^NHS^NH||DOE^JANE\rPV1|1|I|W1^R1^B1\rZPI|x\r"
)


def message(body: bytes = BODY, **fields: Any) -> Message:
    known: dict[str, Any] = {
        "id": 1,
        "channel": "adt_in",
        "received_at": 0,
        "keys": HL7.peek(body).keys if body.startswith(b"MSH") else Keys(),
        "body": body,
        "trace": 1,
    }
    return Message(**(known | fields))


def channel(name: str, lane: str = "") -> Channel:
    part = Part("x", Options())
    return Channel(name, Path(f"channels/{name}.yaml"), part, ChannelOptions(lane=lane), destination=part)


def matching(routes: list[Route], of: Message) -> list[str]:
    return [found.name for found in Routes(routes, {}).matching(Subject(of, HL7.parse))]


@pytest.mark.parametrize(
    ("when", "wanted"),
    [
        ({}, True),
        ({"type": "ADT^A01"}, True),
        ({"type": "ADT^A0?"}, True),
        ({"type": "ADT^*"}, True),
        ({"type": "adt^a01"}, False),
        ({"type": ["SIU^S12", "ADT^A01"]}, True),
        ({"type": ["SIU^S12", "ADT^A02"]}, False),
        ({"sender": "PAS|HOSP", "receiver": "ENGINE|*", "control_id": "7"}, True),
        ({"sender": "PAS|HOSP", "control_id": "8"}, False),
        ({"PV1-2": "I"}, True),
        ({"PV1-2": "O"}, False),
        ({"PV1-3.1": ["W1", "W2"]}, True),
        ({"PID-3.1": "9"}, True),  # any repetition
        ({"PID-3[1].1": "9"}, False),
        ({"ZPI-1": True}, True),
        ({"ZPI-2": True}, False),
        ({"ZPI-2": False}, True),
        ({"PV1-2": False}, False),
        ({"wire.file": "*.hl7"}, True),
        ({"wire.file": False}, False),
        ({"wire.tls_client": True}, False),
    ],
)
def test_each_kind_of_condition(when: dict[str, Any], wanted: bool) -> None:
    assert matching([route(when=when)], message(facts={"file": "a.hl7"})) == (["r"] if wanted else [])


def test_routes_are_asked_in_their_order_and_only_for_their_sources() -> None:
    routes = [route("b"), route("a"), route("other", **{"from": "siu_in"}), route("off", enabled=False)]
    assert matching(routes, message()) == ["b", "a"]


def test_a_message_that_no_condition_looks_into_is_never_parsed() -> None:
    def parse(_body: bytes) -> Any:
        raise AssertionError("parsed")

    found = Routes([route(when={"type": "ADT^*"})], {}).matching(Subject(message(), parse))
    assert [one.name for one in found] == ["r"]


def test_a_body_that_cannot_be_parsed_is_an_error_when_a_route_must_look_inside() -> None:
    form = build_format("json", FORMATS["json"].options())
    with pytest.raises(FormatError):
        Routes([route(when={"a.b": "1"})], {}).matching(Subject(message(b"{"), form.parse))


def test_a_replay_is_narrowed_to_its_route_and_destination() -> None:
    routes = Routes([route("a", to=["x", "y"]), route("b")], {})
    narrowed = message(only_route="a", only_destination="y")
    found = routes.matching(Subject(narrowed, HL7.parse))
    assert [one.name for one in found] == ["a"]
    assert list(routes.destinations(found[0], narrowed)) == ["y"]
    assert list(routes.destinations(found[0], message())) == ["x", "y"]


def test_the_lane_comes_from_the_route_or_else_from_the_destination() -> None:
    channels = {"out": channel("out", "PID-3.1"), "whole": channel("whole")}
    subject = Subject(message(), HL7.parse)

    def lane(destination: str, **options: Any) -> str:
        one = route(to=[destination], **options)
        return Routes([one], channels).lane(one, destination, subject)

    assert lane("out") == "4711"
    assert lane("whole") == ""
    assert lane("out", lane="") == ""
    assert lane("whole", lane="PV1-3.1") == "W1"
    assert lane("whole", lane="OBX-3") == ""
