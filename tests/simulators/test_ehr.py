"""The stand-in hospital sends what a hospital sends."""

import itertools
from collections import defaultdict

from hcsyncd.simulators.ehr import STORIES, TEST_PATIENT, day, play
from hcsyncd.simulators.receiver import LOOPBACK, MllpReceiver


def fields(message: bytes, segment: str) -> list[str]:
    lines = [line.split("|") for line in message.decode().split("\r") if line.startswith(f"{segment}|")]
    return lines[0] if lines else []


def at(values: list[str], number: int) -> str:
    return values[number] if number < len(values) else ""


def trigger(message: bytes) -> str:
    return fields(message, "MSH")[8].split("^")[1]


def by_visit(messages: list[bytes]) -> dict[str, list[bytes]]:
    found = defaultdict(list)
    for message in messages:
        found[fields(message, "PV1")[19]].append(message)
    return dict(found)


def test_the_same_day_again_is_the_same() -> None:
    assert day(8, seed=3) == day(8, seed=3)
    assert day(8, seed=3) != day(8, seed=4)


def test_messages_are_well_formed_and_numbered_in_order() -> None:
    messages = day(30)
    assert all(message.startswith(b"MSH|^~\\&|EHR|") and message.endswith(b"\r") for message in messages)
    assert not any(b"\n" in message for message in messages)
    control_ids = [fields(message, "MSH")[9] for message in messages]
    assert control_ids == sorted(set(control_ids))
    sent = [fields(message, "MSH")[6] for message in messages]
    assert sent == sorted(sent)


def test_every_patient_lives_through_a_story_in_order() -> None:
    stories = {tuple(trigger(message) for message in messages) for messages in by_visit(day(len(STORIES))).values()}
    assert stories == set(STORIES)


def test_the_feed_has_the_habits_of_real_ones() -> None:
    messages = day(40)
    by_trigger = defaultdict(list)
    for message in messages:
        by_trigger[trigger(message)].append(message)
    assert all(fields(message, "EVN")[6] < fields(message, "EVN")[2] for message in by_trigger["A01"])
    assert all(at(fields(message, "PV1"), 44) == "" for message in by_trigger["A13"])
    assert all(at(fields(message, "PV1"), 45) for message in by_trigger["A03"])
    for visit in by_visit(messages).values():
        for before, after in itertools.pairwise(visit):
            if trigger(after) == "A12":
                assert fields(after, "EVN")[2] < fields(before, "MSH")[6]
                assert fields(after, "PV1")[6] == fields(before, "PV1")[3]
                assert fields(after, "PV1")[3] not in {fields(before, "PV1")[3], fields(before, "PV1")[6]}
    assert any({fields(message, "PV1")[2] for message in visit} == {"E", "I"} for visit in by_visit(messages).values())
    assert any(TEST_PATIENT.encode() in message for message in messages)
    assert any("á" in message.decode() or "ř" in message.decode() or "ó" in message.decode() for message in messages)


async def test_the_player_gets_an_answer_for_each_message() -> None:
    messages = day(6)
    async with MllpReceiver() as receiver:
        answers = [answer async for answer in play(messages, LOOPBACK, receiver.port)]
    assert len(answers) == len(messages)
    sent = [fields(message, "MSH")[9] for message in messages]
    assert receiver.control_ids == sent
    assert [answer.decode().split("\r")[1] for answer in answers] == [f"MSA|AA|{control_id}" for control_id in sent]
