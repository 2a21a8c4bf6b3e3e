"""kill -9 under load, ten times in a run: no acknowledged message lost, no order lost in a lane."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path

import pytest

from tests.fakes.daemon import DaemonProcess, write_site
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.resending import ResendingSender

KILLS = 10
SENDERS = 4


@pytest.mark.timeout(400)
def test_ten_kills_lose_nothing_that_was_acknowledged_and_no_order(tmp_path: Path) -> None:
    receiver = MllpReceiver()
    with socket.socket() as free:  # the daemon must come back on the same port
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = write_site(
        tmp_path,
        {
            "channels/adt_in.yaml": f"source: {{kind: mllp, port: {port}}}\n",
            "channels/relay_out.yaml": f"destination: {{kind: mllp, host: 127.0.0.1, port: {receiver.port}}}\n"
            "retry: {first_secs: 0.05, factor: 1}\n",
            "transforms/relay.py": """\
                from hcsyncd import Context, Hl7Document, Out, transform

                @transform
                def mark(message: Hl7Document, context: Context) -> Out:
                    message["MSH-5"] = "RELAY"
                    return Out(message)
            """,
            "routes.yaml": "routes:\n  - {name: relay, from: adt_in, transform: relay.mark, to: relay_out}\n",
        },
    )
    senders = [ResendingSender(f"S{number}", lambda: ("127.0.0.1", port)) for number in range(SENDERS)]
    daemon = DaemonProcess(site).start()
    for sender in senders:
        sender.start()
    for _ in range(KILLS):
        acked = sum(len(sender.acked) for sender in senders)
        deadline = time.monotonic() + 20
        while sum(len(sender.acked) for sender in senders) < acked + 50:
            assert time.monotonic() < deadline, daemon.log[-3000:]
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        daemon.kill()
        daemon = DaemonProcess(site).start()
    for sender in senders:
        sender.finish()
    acked_ids = [control_id for sender in senders for control_id in sender.acked]
    daemon.until_counts(secs=60, done=len(acked_ids))
    assert daemon.stop() == 0
    receiver.close()

    came = receiver.control_ids
    first_seen = list(dict.fromkeys(came))
    doubled = len(came) - len(first_seen)
    print(
        f"{KILLS} kills: {len(acked_ids)} acknowledged, {len(set(acked_ids) - set(came))} lost, {doubled} sent twice,"
        f" {sum(sender.resent for sender in senders)} tries that got no answer"
    )
    assert not [sender.refused for sender in senders if sender.refused]
    assert set(acked_ids) == set(came)
    for sender in senders:
        mine = [control_id for control_id in first_seen if control_id.startswith(f"{sender.name}-")]
        assert mine == sender.acked
