"""The way in on a real store: acknowledgements by mode, duplicates, reused control ids, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hcsyncd.clock import SystemClock
from hcsyncd.config.model import Acknowledge, Channel, ChannelOptions, Part
from hcsyncd.errors import StoreError
from hcsyncd.events import (
    ControlIdReused,
    FaultTolerated,
    IntakeRefused,
    MessageDuplicated,
    MessageRejected,
    MessageUnrouted,
    ReplyLost,
)
from hcsyncd.flow.intake import ChannelIntake, ControlIds, Gate, IntakeShared, Rules
from hcsyncd.flow.respond import Responder
from hcsyncd.flow.route import Routes
from hcsyncd.formats.registry import FORMATS, build_format
from hcsyncd.message import Arrival, Message, MessageState, Receipt, ReceiptOutcome, ReplyState
from hcsyncd.store.ports import Bound, Data, Handoff
from hcsyncd.store.store import Store
from tests.fakes.events import RecordedEvents
from tests.fakes.mllp_peer import adt
from tests.fakes.routing import route
from tests.fakes.waiting import until

HL7_OPTIONS = FORMATS["hl7"].options()
HL7 = build_format("hl7", HL7_OPTIONS)


class Desk:
    """An intake with its responder, and what it handed to processing."""

    def __init__(self, store: Store, events: RecordedEvents, *, routed: bool = True, **options: Any) -> None:
        self.store = store
        self.gate = Gate()
        self.stored: list[Message] = []
        clock = SystemClock()
        self.responder = Responder(store.inbox, clock, ControlIds(clock.now()))
        channel = Channel(
            "adt_in",
            Path("channels/adt_in.yaml"),
            Part("hl7", HL7_OPTIONS),
            ChannelOptions(**options),
            source=Part("mllp", HL7_OPTIONS),
        )
        shared = IntakeShared(self.gate, ControlIds(clock.now()), events, clock)
        routes = Routes([route(), route("none", when={"type": "SIU^*"})] if routed else [], {})
        self.intake = ChannelIntake(
            Rules(channel, HL7, routes), store.inbox, self.responder, shared, self.stored.append
        )

    def accept(self, body: bytes, key: str = "") -> asyncio.Future[Receipt]:
        return self.intake.accept(Arrival("adt_in", body, "10.0.0.1:5", SystemClock().now(), key))

    async def reply_state(self, message_id: int) -> ReplyState:
        row = await self.store.history.message(message_id)
        assert row is not None
        return row.reply_state

    async def state(self, message_id: int) -> MessageState:
        row = await self.store.history.message(message_id)
        assert row is not None
        return row.state


Make = Callable[..., Desk]


@pytest.fixture
def make(store: Store, events: RecordedEvents) -> Make:
    return lambda **options: Desk(store, events, **options)


def msa(reply: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    line = next(segment for segment in reply.split(b"\r") if segment.startswith(b"MSA"))
    return line.split(b"|")[1].decode(), line.split(b"|")[2].decode()


async def test_a_message_is_on_disk_when_its_receipt_is_there(make: Make) -> None:
    desk = make()
    receipt = await desk.accept(adt("A1"))
    assert receipt.outcome is ReceiptOutcome.ACCEPTED
    assert msa(receipt.reply) == ("AA", "A1")
    assert await desk.store.history.body(receipt.message_id) == adt("A1")
    assert [message.id for message in desk.stored] == [receipt.message_id]


async def test_a_duplicate_gets_the_original_bytes_and_is_not_processed(make: Make, events: RecordedEvents) -> None:
    desk = make()
    first = await desk.accept(adt("A1"))
    again = await desk.accept(adt("A1"))
    assert again == Receipt(ReceiptOutcome.DUPLICATE, first.message_id, first.reply)
    assert len(desk.stored) == 1
    assert len(events.of(MessageDuplicated)) == 1


async def test_two_at_once_are_one_message(make: Make) -> None:
    desk = make()
    receipts = await asyncio.gather(*(desk.accept(adt("A1")) for _ in range(20)))
    assert len({(receipt.message_id, receipt.reply) for receipt in receipts}) == 1
    assert len(desk.stored) == 1


async def test_the_same_control_id_with_other_content_is_refused_and_kept(make: Make, events: RecordedEvents) -> None:
    desk = make()
    first = await desk.accept(adt("A1"))
    other = await desk.accept(adt("A1", "DOE^JOHN"))
    assert other.outcome is ReceiptOutcome.REJECTED
    assert msa(other.reply) == ("AR", "A1")
    assert await desk.state(other.message_id) is MessageState.DEAD
    assert [(event.original_id, event.refused) for event in events.of(ControlIdReused)] == [(first.message_id, True)]
    assert len(desk.stored) == 1


async def test_or_accepted_as_set(make: Make, events: RecordedEvents) -> None:
    desk = make(duplicates={"changed_content": "accept"})
    await desk.accept(adt("A1"))
    other = await desk.accept(adt("A1", "DOE^JOHN"))
    assert msa(other.reply) == ("AA", "A1")
    assert [event.refused for event in events.of(ControlIdReused)] == [False]
    assert len(desk.stored) == 2


async def test_other_senders_and_switched_off_rules_know_no_duplicates(make: Make) -> None:
    desk = make()
    await desk.accept(adt("A1"))
    await desk.accept(adt("A1").replace(b"|PAS|", b"|LAB|"))
    assert len(desk.stored) == 2
    careless = make(duplicates={"same_content": "process"})
    await careless.accept(adt("A1"))
    await careless.accept(adt("A1"))
    assert len(careless.stored) == 2


async def test_an_arrival_whose_key_was_taken_is_a_duplicate_whatever_it_holds(make: Make) -> None:
    desk = make(duplicates={"same_content": "process"})
    first = await desk.accept(adt("A1"), key="file-1")
    again = await desk.accept(adt("A2"), key="file-1")
    assert (again.outcome, again.message_id) == (ReceiptOutcome.DUPLICATE, first.message_id)


@pytest.mark.parametrize("body", [b"", b"hello", b"\x00\xff" * 50, b"PID|1||4711\r", b"MSH"])
async def test_what_is_no_message_is_a_dead_letter_and_answered_no(
    make: Make, events: RecordedEvents, body: bytes
) -> None:
    desk = make()
    receipt = await desk.accept(body)
    assert receipt.outcome is ReceiptOutcome.REJECTED
    assert msa(receipt.reply)[0] in ("AE", "AR")
    assert await desk.state(receipt.message_id) is MessageState.DEAD
    assert await desk.store.history.body(receipt.message_id) == body
    assert events.of(MessageRejected)[0].cause == receipt.cause != ""
    assert desk.stored == []


async def test_each_sender_fault_that_is_overlooked_is_told(make: Make, events: RecordedEvents) -> None:
    desk = make()
    bodies = (adt("A1").replace(b"\r", b"\n"), adt("A2").rstrip(b"\r"), b"\r\n" + adt("A3"), adt("A4"))
    receipts = [await desk.accept(body) for body in bodies]
    assert [msa(receipt.reply) for receipt in receipts] == [("AA", f"A{number}") for number in (1, 2, 3, 4)]
    told = [(event.channel, event.switch) for event in events.of(FaultTolerated)]
    assert told[0] == ("adt_in", "lf_line_ends")
    assert [switch for _, switch in told] == ["lf_line_ends", "no_final_cr", "leading_blanks", "lf_line_ends"]
    assert [await desk.store.history.body(receipt.message_id) for receipt in receipts] == list(bodies)


async def test_bytes_that_broke_the_transports_rules_are_a_dead_letter_too(make: Make) -> None:
    desk = make()
    arrival = Arrival("adt_in", adt("A1")[:40], "peer", 1)
    receipt = await desk.intake.unreadable(arrival, "unfinished", "the frame had no end")
    row = await desk.store.history.message(receipt.message_id)
    assert row is not None
    assert (row.state, row.cause) == (MessageState.DEAD, "unfinished")


async def test_a_message_that_was_answered_no_is_no_duplicate_when_it_comes_again(make: Make) -> None:
    desk = make(acknowledge=Acknowledge.PROCESSED)
    waiting = desk.accept(adt("A1"))
    await until(lambda: desk.stored)
    desk.responder.processed(desk.stored[0].id, MessageState.DEAD, "transform failed")
    assert msa((await waiting).reply) == ("AE", "A1")
    again = desk.accept(adt("A1"))
    await until(lambda: len(desk.stored) == 2)
    desk.responder.processed(desk.stored[1].id, MessageState.ROUTED)
    assert msa((await again).reply) == ("AA", "A1")


async def test_processed_waits_for_the_routes_and_its_duplicate_waits_with_it(make: Make) -> None:
    desk = make(acknowledge=Acknowledge.PROCESSED)
    waiting, again = desk.accept(adt("A1")), desk.accept(adt("A1"))
    await until(lambda: desk.stored)
    assert not waiting.done()
    desk.responder.processed(desk.stored[0].id, MessageState.ROUTED)
    first, second = await waiting, await again
    assert msa(first.reply) == ("AA", "A1")
    assert second.reply == first.reply
    assert (await desk.accept(adt("A1"))).reply == first.reply


async def test_a_duplicate_that_comes_while_the_decision_is_being_stored_gets_it_too(make: Make) -> None:
    desk = make(acknowledge=Acknowledge.PROCESSED)
    waiting = desk.accept(adt("A1"))
    await until(lambda: desk.stored)
    again = desk.accept(adt("A1"))  # found open in the commit before the one that keeps the decision
    await asyncio.sleep(0)
    desk.responder.processed(desk.stored[0].id, MessageState.ROUTED)
    first, second = await asyncio.wait_for(asyncio.gather(waiting, again), 5)
    assert first.reply == second.reply
    assert desk.responder.waiting == 0


async def test_delivered_waits_for_every_destination(make: Make) -> None:
    desk = make(acknowledge=Acknowledge.DELIVERED)
    waiting = desk.accept(adt("A1"))
    await until(lambda: desk.stored)
    message_id = desk.stored[0].id
    desk.responder.processed(message_id, MessageState.ROUTED)
    desk.responder.settled(message_id, MessageState.ROUTED)
    await asyncio.sleep(0.02)
    assert not waiting.done()
    desk.responder.settled(message_id, MessageState.DONE)
    assert msa((await waiting).reply) == ("AA", "A1")


async def test_enhanced_mode_commits_at_once_and_accepts_later(make: Make) -> None:
    desk = make(acknowledge=Acknowledge.PROCESSED)
    receipt = await desk.accept(adt("A1", accept="AL", application="AL"))
    assert msa(receipt.reply) == ("CA", "A1")
    assert receipt.later is not None
    desk.responder.processed(receipt.message_id, MessageState.ROUTED)
    assert msa(await receipt.later) == ("AA", "A1")
    again = await desk.accept(adt("A1", accept="AL", application="AL"))
    assert again.later is not None
    assert (again.reply, await again.later) == (receipt.reply, receipt.later.result())


async def test_enhanced_mode_of_a_sender_that_wants_the_commit_alone(make: Make) -> None:
    receipt = await make().accept(adt("A1", accept="AL", application="NE"))
    assert msa(receipt.reply) == ("CA", "A1")
    assert receipt.later is None
    silent = await make().accept(adt("A2", accept="NE", application="NE"))
    assert (silent.outcome, silent.reply) == (ReceiptOutcome.ACCEPTED, b"")


async def test_what_no_route_can_want_is_unrouted_from_the_start(make: Make, events: RecordedEvents) -> None:
    desk = make(routed=False)
    receipt = await desk.accept(adt("A1"))
    assert msa(receipt.reply) == ("AA", "A1")
    assert await desk.state(receipt.message_id) is MessageState.UNROUTED
    assert desk.stored == []
    assert [event.type for event in events.of(MessageUnrouted)] == ["ADT^A01"]
    waiting = make(routed=False, acknowledge=Acknowledge.DELIVERED)
    assert msa((await waiting.accept(adt("A2"))).reply) == ("AA", "A2")


async def test_a_closed_gate_refuses_and_stores_nothing(make: Make, events: RecordedEvents) -> None:
    desk = make()
    desk.gate.close("disk-low")
    receipt = await desk.accept(adt("A1"))
    assert (receipt.outcome, receipt.message_id, receipt.cause) == (ReceiptOutcome.REFUSED, 0, "disk-low")
    assert msa(receipt.reply) == ("AR", "A1")
    assert receipt.retry_after
    assert (await desk.accept(b"junk")).outcome is ReceiptOutcome.REFUSED
    assert {event.reason for event in events.of(IntakeRefused)} == {"disk-low"}
    assert IntakeRefused.level == "debug", "a full disk does not fill up with a line for each arrival"
    assert not any((await desk.store.history.counts())["messages"].values())
    desk.gate.open()
    assert (await desk.accept(adt("A1"))).outcome is ReceiptOutcome.ACCEPTED


async def test_a_lost_reply_is_noted(make: Make, events: RecordedEvents, tmp_path: Path) -> None:
    desk = make()
    receipt = await desk.accept(adt("A1"))
    desk.intake.answered(receipt, ReplyState.LOST)
    await desk.store.close()  # the note rides in a later commit; a close is one
    again = await Store.open(tmp_path / "store", events, SystemClock())
    desk.store = again
    assert await desk.reply_state(receipt.message_id) is ReplyState.LOST
    await again.close()
    assert len(events.of(ReplyLost)) == 1


async def test_a_store_that_cannot_take_it_is_told_to_the_source(make: Make, events: RecordedEvents) -> None:
    desk = make()
    await desk.store.close()
    with pytest.raises(StoreError):
        await desk.accept(adt("A1"))
    assert [event.reason for event in events.of(IntakeRefused)] == ["store-failed"]


def test_acknowledgements_have_ids_of_their_own_that_fit_the_field() -> None:
    make_id = ControlIds(SystemClock().now())
    ids = [make_id() for _ in range(5000)]
    assert len(set(ids)) == 5000
    assert max(map(len, ids)) <= 20


async def test_a_resend_is_answered_after_retention_took_the_reply(make: Make, store: Store) -> None:
    desk = make()
    first = await desk.accept(adt("1"))
    await desk.accept(adt("2"))
    await store.outbox.hand_on([Handoff(first.message_id, MessageState.FILTERED)])
    removed = await store.retention.remove(Bound("adt_in", Data.ANSWERS, before=1 << 60), [first.message_id])
    assert removed.messages == 1
    again = await desk.accept(adt("1"))
    assert (again.outcome, again.message_id) == (ReceiptOutcome.DUPLICATE, first.message_id)
    assert b"MSA|AA|1" in again.reply
