"""No body and no secret in a log, an error or an answer that did not ask for one, whatever fails."""

from __future__ import annotations

import json
import socket

from tests.fakes.mllp_peer import adt
from tests.fakes.mllp_receiver import MllpReceiver
from tests.fakes.mllp_sender import MllpSender
from tests.flows.conftest import Start, relay

MARK = "QXMARKEDBODYQX"
SECRET = "QXMARKEDSECRETQX"
STORE_KEY = b"QXMARKEDSTOREKEYQX--------------"

WATCHED = """\
http: {port: 0}
workers: {count: 1}
log: {level: debug}
alerts:
  look_secs: 0.05
  for_secs: 0
  webhook: {url: "${WEBHOOK}", secret: "${SIGNATURE}", headers: {X-Key: "${SIGNATURE}"}}
  email:
    {host: 127.0.0.1, port: 1, user: hub, password: "${MAIL_PASSWORD}", from: a@b.example, to: [c@d.example]}
"""

TRANSFORM = """\
    from hcsyncd import Context, Hl7Document, Out, transform

    @transform
    def fails(message: Hl7Document, context: Context) -> Out:
        if message["PID-5.2"] == "RAISE":
            raise ValueError("cannot use " + (message["PID-5.1"] or ""))
        if message["PID-5.2"] == "KEY":
            return Out({}[message["PID-5.1"]])
        if message["PID-5.2"] == "TYPE":
            return message["PID-5.1"]
        return Out(message)
"""


def test_marked_bodies_and_secrets_go_through_every_failure_unseen(start: Start, receiver: MllpReceiver) -> None:
    receiver.judge = lambda payload: "AE" if b"|REFUSED|" in payload else "AA"
    daemon = start(
        {
            "hcsyncd.yaml": WATCHED,
            "channels/adt_in.yaml": "source: {kind: mllp, port: 0, max_frame_bytes: 2000}\n",
            "channels/relay_out.yaml": f"destination: {{kind: mllp, host: 127.0.0.1, port: {receiver.port}}}\n",
            "channels/web_out.yaml": "destination:\n  kind: http\n  url: http://127.0.0.1:1/x\n"
            "  basic: {user: hub, password: '${WEB_PASSWORD}'}\nformat: hl7\nretry: {attempts: 1}\n",
            "transforms/adt.py": TRANSFORM,
            "routes.yaml": "routes:\n  - {name: relay, from: adt_in, transform: adt.fails, to: [relay_out, web_out]}\n",
        },
        WEB_PASSWORD=SECRET,
        WEBHOOK=f"http://127.0.0.1:1/{SECRET}",
        SIGNATURE=SECRET,
        MAIL_PASSWORD=SECRET,
    )
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("OK", f"{MARK}^JANE"))
        sender.send(adt("OK", f"{MARK}^OTHER"))  # the same control id with other content
        sender.send(adt("REFUSED", f"{MARK}^JANE"))
        for kind in ("RAISE", "KEY", "TYPE"):
            sender.send(adt(kind, f"{MARK}^{kind}"))
        sender.send(f"{MARK} is no message".encode())
        sender.send(b"MSH|" + MARK.encode())
        sender.send(adt("LONG", MARK * 400))
        sender.send(adt("CUT", MARK)[:-1])
        sender.socket.sendall(b"\x0b" + MARK.encode())
        sender.socket.shutdown(socket.SHUT_WR)  # gone in the middle of a frame
        while sender.socket.recv(4096):
            pass
    daemon.until_counts(dead=11)
    answers = [
        daemon.call("status"),
        daemon.call("channels"),
        daemon.call("messages.list"),
        daemon.call("dead.list"),
        *(daemon.call("messages.show", id=number) for number in range(1, 12)),
        daemon.call("messages.trace", id=1),
        daemon.call("alerts.test"),
        daemon.call("alerts.list"),
        daemon.call("alerts.history"),
        daemon.call("audit.list", keys=[("mrn", MARK)]),
        daemon.call("audit.list"),
    ]
    commands = (("dead", "list"), ("messages", "list"), ("status",), ("alerts", "test"), ("audit", "list"))
    shown = "".join(daemon.hcsyncd(*command).stdout for command in commands)
    daemon.stop()
    said = json.dumps([{**answer, "replies": None} if isinstance(answer, dict) else answer for answer in answers])
    for where, text in (("log", daemon.log), ("answers", said), ("commands", shown)):
        assert MARK not in text, f"{where}: {text[max(0, text.index(MARK) - 300) : text.index(MARK) + 100]}"
        assert SECRET not in text, where
    assert "notice_failed" in daemon.log, "the webhook and the mail server did fail"
    store = (daemon.site / "var" / "store.db").read_bytes()
    assert MARK.encode() in store
    assert SECRET.encode() not in store


def test_the_stores_key_is_seen_nowhere(start: Start, receiver: MllpReceiver) -> None:
    daemon = start(
        {
            **relay(receiver.port),
            "hcsyncd.yaml": "http: {port: 0}\nworkers: {count: 1}\nlog: {level: debug}\n"
            "encryption: {key: '${STORE_KEY}'}\n",
        },
        STORE_KEY=STORE_KEY.hex(),
    )
    with MllpSender(daemon.address("adt_in")) as sender:
        sender.send(adt("OK", f"{MARK}^JANE"))
    daemon.until_counts(done=1)
    daemon.call("messages.show", id=1, body=True)
    said = json.dumps([daemon.call("status"), daemon.call("store.status"), daemon.call("audit.list")])
    shown = daemon.hcsyncd("store", "status").stdout + daemon.hcsyncd("audit", "verify").stdout
    daemon.stop()
    for text in (daemon.log, said, shown):
        assert STORE_KEY.hex() not in text
        assert STORE_KEY.decode() not in text
    for file in (daemon.site / "var").rglob("*"):
        if file.is_file():
            kept = file.read_bytes()
            assert STORE_KEY not in kept, file.name
            assert STORE_KEY.hex().encode() not in kept, file.name
            assert MARK.encode() not in kept, file.name
    assert daemon.hcsyncd("audit", "verify").returncode == 0, "a sealed store is read with the key of the site"
