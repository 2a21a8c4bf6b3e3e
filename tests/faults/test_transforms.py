"""Transforms that do what no transform should, a pool with more slow work than workers, and workers that are killed:
the guilty message is a dead letter, and everything else goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.fakes.fault_table import Row
from tests.fakes.mllp_peer import frame
from tests.fakes.mllp_sender import MllpSender, msa
from tests.fakes.moody_receiver import MllpMoody
from tests.fakes.road import REJECT, always, order
from tests.faults.conftest import Travel

SENDERS = 3
SETTINGS = """\
http: {port: 0}
workers: {count: 1, time_limit_secs: 1, memory_limit_bytes: 100000000}
drain_secs: 5
"""
MISCHIEF = """\
    import os
    import sys
    import time

    from hcsyncd import Context, Hl7Document, Out, transform

    kept = []

    @transform
    def mark(message: Hl7Document, context: Context) -> Out:
        match message["PID-5.1"]:
            case "LOOPS":
                while True:
                    pass
            case "SLEEPS":
                time.sleep(60)
            case "LEAKS":
                while True:
                    kept.append(bytearray(1 << 20))
            case "EXITS":
                sys.exit(3)
            case "DIES":
                os._exit(3)
            case "FORKS":
                os.fork()
            case "RECURS":
                mark(message, context)
            case "DEAF":
                while True:
                    try:
                        while True:
                            pass
                    except BaseException:
                        pass
            case "CLOSES":
                os.closerange(3, 64)
        message["MSH-5"] = "RELAY"
        return Out(message)
"""
CAUSES = {
    "LOOPS": "transform-timeout",
    "SLEEPS": "transform-timeout",
    "LEAKS": "transform-memory",
    "EXITS": "transform-failed",
    "DIES": "worker-lost",
    "FORKS": "transform-failed",
    "RECURS": "transform-failed",
    "DEAF": "transform-timeout",
    "CLOSES": "worker-lost",
}


def test_transforms_that_loop_leak_exit_and_fork(road: Travel, tell: Callable[[Row], None]) -> None:
    way = road(files={"hcsyncd.yaml": SETTINGS, "transforms/relay.py": MISCHIEF})
    way.begin(SENDERS, kind=always, pause_secs=0.01)
    for number, mischief in enumerate(CAUSES):
        way.until_acknowledged(5)
        way.send(f"M-{number}", mischief)
    way.until_acknowledged(20)
    way.until(lambda: way.status()["counts"]["messages"]["dead"] == len(CAUSES), "all of them are dead letters")
    letters = way.daemon.call("dead.list")
    counts = way.finish()
    found = {letter["message"]["keys"]["control_id"]: letter["delivery"]["cause"] for letter in letters}
    if found["M-2"] == CAUSES["LOOPS"]:  # a busy machine may leak too slowly for the memory to end first
        found["M-2"] = CAUSES["LEAKS"]
    assert found == {f"M-{number}": cause for number, cause in enumerate(CAUSES.values())}
    row = way.account(
        counts,
        beside=[f"M-{number}" for number in range(len(CAUSES))],
        place=13,
        fault="transform loops, sleeps, leaks, exits, dies, forks, recurs, will not stop, closes the worker's files",
        made="one message of each kind among others that share its worker",
        word="`route_failed` with the cause and the transform's name; `worker_lost` where it cost its worker",
        recovery="by itself: a new worker; the guilty message is a dead letter, the others of its batch are run again",
        tries=len(CAUSES),
    )
    assert row.dead == len(CAUSES)
    assert row.repeats == 0
    tell(row)


def test_more_slow_work_than_workers(road: Travel, receiver: MllpMoody, tell: Callable[[Row], None]) -> None:
    """Listeners never wait, and what needs no worker does not either."""
    slow = """\
        import time

        from hcsyncd import Context, Hl7Document, Out, transform

        @transform
        def dawdle(message: Hl7Document, context: Context) -> Out:
            time.sleep(0.05)
            return Out(message)
    """
    way = road(files={"transforms/relay.py": slow})
    (way.folder / "channels/slow_in.yaml").write_text("source: {kind: mllp, port: 0}\n")
    (way.folder / "routes.yaml").write_text(
        "routes:\n"
        "  - {name: quick, from: adt_in, to: relay_out}\n"
        "  - {name: slow, from: slow_in, transform: relay.dawdle, to: relay_out}\n"
    )
    way.begin()
    slow_ids = [f"L-{number}" for number in range(150)]
    with MllpSender(way.daemon.address("slow_in")) as line:
        line.socket.sendall(b"".join(frame(order("L", one)) for one in slow_ids))
        assert [msa(line.answer())[1] for _ in slow_ids] == slow_ids, "all are acknowledged"
    way.add(SENDERS, always)
    way.until_acknowledged(150)
    way.until(
        lambda: len([1 for _, one, _ in receiver.took if one.startswith("S")]) >= 150, "the quick ones are through"
    )
    still = int(way.status()["counts"]["messages"]["received"])
    assert still > 0, "the slow ones were through before: nothing was tried"
    row = way.account(
        way.finish(),
        beside=slow_ids,
        place=14,
        fault="full worker pool",
        made="150 messages of a twentieth of a second each on one worker, beside a channel without a transform",
        word="`hcsyncd_batches_waiting`, `hcsyncd_workers_busy`; `status` counts them as received",
        recovery="nothing to recover: listeners and other channels do not wait",
        tries=len(slow_ids),
    )
    took = [one for _, one, _ in receiver.took if one.startswith("L-")]
    assert took == slow_ids
    tell(row)


def test_workers_killed_at_random(road: Travel, tell: Callable[[Row], None], deep: bool) -> None:
    way = road(files={"hcsyncd.yaml": "http: {port: 0}\nworkers: {count: 2}\ndrain_secs: 5\n"})
    way.begin(SENDERS, pause_secs=0.02)
    kills = 0
    wanted = 40 if deep else 12
    while kills < wanted:
        way.until_acknowledged(5)
        time.sleep(random.uniform(0, 0.1))  # the moment of the kill is what is tried
        children = worker_pids(way.daemon.pid)
        if children:
            os.kill(random.choice(children), signal.SIGKILL)
            kills += 1
    way.until_acknowledged(30)
    counts = way.finish()
    row = way.account(
        counts,
        place=18,
        fault="worker processes killed at random",
        made="SIGKILL to one of two workers, under load",
        word="`worker_lost` for each, with `exit`",
        recovery="by itself: a new worker, the batch is run again message by message",
        tries=kills,
    )
    assert way.words("worker_lost")["worker_lost"] >= kills / 2
    rejected = sum(kind == REJECT for sender in way.senders for kind in sender.kinds.values())
    assert row.dead == rejected, "a worker's death was blamed on a message"
    tell(row)


def worker_pids(daemon: int) -> list[int]:
    """The daemon's children."""
    return [int(pid) for pid in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()]
