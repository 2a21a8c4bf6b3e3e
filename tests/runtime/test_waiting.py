"""Every row that is not at its end has an answer to why: a test for each."""

from __future__ import annotations

from typing import Any

import pytest

from hcsyncd.flow.lane import LaneFacts
from hcsyncd.message import DeliveryState, Keys, MessageState, ReplyState
from hcsyncd.runtime.live import ChannelStatus, Health
from hcsyncd.runtime.waiting import COUNTED, NOTHING, Queue, Routing, why_delivery, why_message
from hcsyncd.store.ports import DeliveryRow, Hold, HoldKind, MessageRow, Standing


def message(state: MessageState = MessageState.RECEIVED, **fields: Any) -> MessageRow:
    known: dict[str, Any] = {
        "id": 17,
        "channel": "adt_in",
        "received_at": 5,
        "keys": Keys(),
        "reply_state": ReplyState.SENT,
        "cause": "",
        "text": "",
        "bytes": 10,
        "peer": "",
        "trace": 17,
        "parent": None,
        "replay_of": None,
    }
    return MessageRow(state=state, **(known | fields))


def delivery(state: DeliveryState = DeliveryState.READY, **fields: Any) -> DeliveryRow:
    known: dict[str, Any] = {
        "id": 40,
        "message_id": 17,
        "route": "relay",
        "destination": "lab_out",
        "lane": "",
        "attempt": 0,
        "due_at": 0,
        "created_at": 6,
        "settled_at": 0,
        "key": "k",
        "type": "",
        "content_type": "",
        "bytes": 1,
        "made": True,
        "cause": "",
        "text": "",
    }
    return DeliveryRow(state=state, **(known | fields))


def source(**fields: Any) -> ChannelStatus:
    return ChannelStatus("adt_in", "source", "mllp", "hl7", **({"health": Health.UP} | fields))


def destination(**fields: Any) -> ChannelStatus:
    return ChannelStatus("lab_out", "destination", "mllp", "hl7", **({"health": Health.UP} | fields))


NO_LANE = LaneFacts()


def queue(lane: LaneFacts = NO_LANE, standing: Standing | None = None, **fields: Any) -> Queue:
    return Queue(destination(**fields), standing or Standing(40, 0), lane)


@pytest.mark.parametrize(
    ("routing", "code", "said"),
    [
        (Routing(), "no-channel", "adt_in is not in service"),
        (Routing(source(health=Health.OFF)), "no-channel", "when the channel is back"),
        (
            Routing(source(holds=(Hold(HoldKind.ROUTING, "adt_in", "eve", 3, "new codes"),))),
            "held",
            "held by eve: new codes",
        ),
        (
            Routing(source(holds=(Hold(HoldKind.RECEIVING, "adt_in", "eve", 3, "x"),)), under_way=True),
            "under-way",
            "now",
        ),
        (Routing(source(), before=1), "backlog", "behind 1 message of adt_in"),
        (Routing(source(), before=12), "backlog", "behind 12 messages"),
        (Routing(source(), before=COUNTED), "backlog", f"behind at least {COUNTED} messages"),
        (Routing(source()), "next", "workers are busy"),
    ],
)
def test_a_message_that_is_not_routed_yet(routing: Routing, code: str, said: str) -> None:
    why = why_message(message(), routing)
    assert why.code == code
    assert said in why.text


def test_a_hold_says_since_when_and_how_it_ends() -> None:
    why = why_message(message(), Routing(source(holds=(Hold(HoldKind.ROUTING, "adt_in", "eve", 3, "x"),))))
    assert (why.since, why.command) == (3, "hcsyncd resume routing adt_in")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (message(MessageState.ROUTED), "deliveries"),
        (message(MessageState.DEAD, cause="no-msh", text="no MSH"), "dead"),
        (message(MessageState.DEAD), "deliveries"),
        (message(MessageState.DONE), "nothing"),
        (message(MessageState.FILTERED), "nothing"),
        (message(MessageState.UNROUTED), "nothing"),
        (message(MessageState.CLOSED), "nothing"),
        (message(MessageState.DONE, reply_state=ReplyState.OWED), "reply-owed"),
    ],
)
def test_a_message_in_any_other_state(row: MessageRow, code: str) -> None:
    assert why_message(row, Routing(source())).code == code


@pytest.mark.parametrize("state", list(MessageState))
def test_every_state_of_a_message_has_an_answer(state: MessageState) -> None:
    assert why_message(message(state), Routing()).text


@pytest.mark.parametrize("state", list(DeliveryState))
def test_every_state_of_a_delivery_has_an_answer(state: DeliveryState) -> None:
    assert why_delivery(delivery(state), Queue()).text


def test_a_delivery_at_its_end_waits_for_nothing() -> None:
    assert why_delivery(delivery(DeliveryState.SENT), queue()) is NOTHING
    assert why_delivery(delivery(DeliveryState.CLOSED), queue()) is NOTHING


def test_a_destination_out_of_service() -> None:
    for place in (Queue(), Queue(destination(health=Health.OFF), None, LaneFacts()), Queue(destination())):
        assert why_delivery(delivery(), place).code == "no-channel"


def test_a_held_destination() -> None:
    hold = Hold(HoldKind.DELIVERY, "lab_out", "eve", 9, "upgrade")
    why = why_delivery(delivery(DeliveryState.WAITING), queue(LaneFacts(next_try_at=99), holds=(hold,)))
    assert (why.code, why.since, why.command) == ("held", 9, "hcsyncd resume delivery lab_out")
    assert "delivery to lab_out is held by eve: upgrade" in why.text


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (DeliveryState.DEAD, "hcsyncd why --delivery 33"),
        (DeliveryState.UNSURE, "hcsyncd unsure list"),
        (DeliveryState.PARKED, "hcsyncd tasks list"),
    ],
)
def test_a_lane_that_stands_behind_another_delivery(state: DeliveryState, command: str) -> None:
    why = why_delivery(delivery(), queue(LaneFacts(behind=33), Standing(40, 4, 33, state)))
    assert (why.code, why.behind, why.command) == ("lane-held", 33, command)
    assert why.text == f"its lane stands behind delivery 33, which is {state.value}"


def test_a_delivery_behind_others() -> None:
    why = why_delivery(delivery(), queue(standing=Standing(40, 2)))
    assert (why.code, why.text) == ("behind", "it is behind 2 deliveries in its lane")
    why = why_delivery(delivery(), queue(LaneFacts(next_try_at=77), Standing(40, 1), error="refused"))
    assert (why.text, why.next_at) == ("it is behind 1 delivery in its lane; lab_out is down: refused", 77)


def test_a_delivery_that_is_tried_again() -> None:
    row = delivery(DeliveryState.WAITING, attempt=3, due_at=88, cause="connect-refused", text="nobody listens")
    why = why_delivery(row, queue(LaneFacts(next_try_at=87)))
    assert (why.code, why.next_at) == ("retry", 87)
    assert why.text == "lab_out did not take it (3 tries): connect-refused: nobody listens"
    assert why_delivery(row, queue()).next_at == 88


def test_the_head_of_a_lane_whose_destination_is_down() -> None:
    why = why_delivery(delivery(), queue(error="refused", next_try_at=70))
    assert (why.code, why.text, why.next_at) == ("destination-down", "lab_out is down: refused", 70)


def test_the_head_of_a_lane_without_a_slot() -> None:
    why = why_delivery(delivery(), queue(LaneFacts(slots_taken=8)))
    assert (why.code, why.text[:7]) == ("slots-taken", "8 lanes")


def test_the_head_of_a_lane_that_may_go() -> None:
    assert why_delivery(delivery(), queue()).code == "next"


def test_a_delivery_that_is_being_sent() -> None:
    assert why_delivery(delivery(DeliveryState.SENDING), queue()).code == "sending"


def test_what_waits_for_a_person_says_the_command() -> None:
    dead = why_delivery(delivery(DeliveryState.DEAD, cause="ack-AR", text="no"), queue())
    assert (dead.code, dead.text, dead.command) == ("dead", "it was given up: ack-AR: no", "hcsyncd dead show 17")
    assert why_delivery(delivery(DeliveryState.UNSURE), queue()).command == "hcsyncd unsure list"
    parked = why_delivery(delivery(DeliveryState.PARKED, text="no entry"), queue(standing=Standing(40, 0, task=5)))
    assert (parked.task, parked.command) == (5, "hcsyncd tasks show 5")
    assert parked.text == "it waits for task 5: no entry"
