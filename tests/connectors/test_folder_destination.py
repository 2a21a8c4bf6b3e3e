from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from hcsyncd.connectors.folder_destination import FolderDestination, FolderDestinationOptions
from hcsyncd.errors import ConfigError, Refused, Transient
from hcsyncd.message import NAME_HEADER, Envelope
from tests.fakes.seats import RecordedEvents, make_seat

FIRST = Envelope(1, 1, b"first", "application/json", "key-1", headers={NAME_HEADER: "census"})
SECOND = replace(FIRST, delivery_id=2, message_id=2, body=b"second", idempotency_key="key-2")

Opener = Callable[..., FolderDestination]


@pytest.fixture
def make(tmp_path: Path) -> Opener:
    def build(**options: object) -> FolderDestination:
        chosen = FolderDestinationOptions.model_validate({"folder": "out", **options})
        return FolderDestination(chosen, make_seat(tmp_path, RecordedEvents()))

    return build


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if not path.name.startswith(".")}


def out_of_the_way(out: Path) -> None:
    out.rename(out.with_name("aside"))


def back_again(out: Path) -> None:
    out.with_name("aside").rename(out)


def hidden(out: Path) -> list[str]:
    return [path.name for path in out.iterdir() if path.name.startswith(".")]


async def test_file_has_the_body_and_a_name_of_its_own(make: Opener, out: Path) -> None:
    destination = make()
    await destination.open()
    sent = await destination.send(FIRST)
    await destination.send(SECOND)
    assert list(files(out).values()) == [b"first", b"second"]
    assert hidden(out) == []
    assert sent.detail in files(out)
    assert sent.detail.startswith("000000000001-")
    assert sent.detail.endswith(".json")
    await destination.close()
    await destination.close()


async def test_repeated_send_makes_no_second_file(make: Opener, out: Path) -> None:
    first, after_crash = make(), make()
    await first.open()
    await first.send(FIRST)
    await after_crash.open()
    await after_crash.send(replace(FIRST, attempt=2))
    assert list(files(out).values()) == [b"first"]


async def test_what_a_crash_left_half_written_is_written_over(make: Opener, out: Path) -> None:
    destination = make()
    await destination.open()
    await destination.send(FIRST)
    (name,) = files(out)
    (out / name).unlink()
    key = name.split("-")[1].split(".")[0]
    (out / f".hcsyncd-{key}.part").write_bytes(b"much longer than the body that will be written")
    await destination.send(FIRST)
    assert files(out) == {name: b"first"}
    assert hidden(out) == []


async def test_name_is_seen_only_when_the_file_is_whole(make: Opener, out: Path) -> None:
    destination = make()
    await destination.open()
    body = b"x" * 5_000_000
    sizes: set[int] = set()
    send = asyncio.create_task(destination.send(replace(FIRST, body=body)))
    while not send.done():
        sizes |= {len(content) for content in files(out).values()}
        await asyncio.sleep(0)
    await send
    assert sizes <= {len(body)}


async def test_replace_is_the_default(make: Opener, out: Path) -> None:
    destination = make(name="{name}.csv")
    await destination.open()
    await destination.send(FIRST)
    await destination.send(SECOND)
    assert files(out) == {"census.csv": b"second"}


async def test_number_keeps_both_and_a_repeat_finds_its_own(make: Opener, out: Path) -> None:
    destination = make(name="{name}.csv", on_exists="number")
    await destination.open()
    await destination.send(FIRST)
    assert (await destination.send(SECOND)).detail == "census.2.csv"
    again = make(name="{name}.csv", on_exists="number")
    await again.open()
    assert (await again.send(FIRST)).detail == "census.csv"
    assert (await again.send(SECOND)).detail == "census.2.csv"
    assert files(out) == {"census.csv": b"first", "census.2.csv": b"second"}
    (out / "census.csv").unlink()  # the reader took it
    assert (await again.send(SECOND)).detail == "census.2.csv"
    assert list(files(out)) == ["census.2.csv"]


async def test_refuse_leaves_the_other_file_alone(make: Opener, out: Path) -> None:
    destination = make(name="{name}.csv", on_exists="refuse")
    await destination.open()
    await destination.send(FIRST)
    for _ in range(2):
        with pytest.raises(Refused, match=r"census\.csv") as caught:
            await destination.send(SECOND)
        assert caught.value.reason == "file-exists"
    await destination.send(replace(FIRST, attempt=2))
    assert files(out) == {"census.csv": b"first"}


async def test_many_lanes_at_once_lose_no_number(make: Opener, out: Path) -> None:
    destination = make(name="{name}.csv", on_exists="number")
    await destination.open()
    envelopes = [replace(FIRST, body=b"%d" % n, idempotency_key=f"k{n}", lane=str(n)) for n in range(20)]
    await asyncio.gather(*(destination.send(envelope) for envelope in envelopes))
    assert sorted(files(out).values(), key=int) == [b"%d" % n for n in range(20)]


async def test_lane_is_in_order(make: Opener, out: Path) -> None:
    destination = make(name="{name}.csv", on_exists="number")
    await destination.open()
    envelopes = [replace(FIRST, body=b"%d" % n, idempotency_key=f"k{n}") for n in range(1, 12)]
    await asyncio.gather(*(destination.send(envelope) for envelope in envelopes))
    numbers = {name.split(".")[1]: int(body) for name, body in files(out).items() if name.count(".") == 2}
    assert numbers == {str(n): n for n in range(2, 12)}


async def test_done_marker_comes_after_the_file(make: Opener, out: Path) -> None:
    destination = make(name="{name}.csv", done_marker="{stem}.ok")
    await destination.open()
    await destination.send(FIRST)
    assert files(out) == {"census.csv": b"first", "census.ok": b""}


async def test_folder_that_goes_away_is_transient(make: Opener, out: Path) -> None:
    destination = make()
    await destination.open()
    out_of_the_way(out)
    with pytest.raises(Transient, match=str(out)) as caught:
        await destination.send(FIRST)
    assert caught.value.reason == "folder-missing"
    with pytest.raises(Transient):
        await destination.probe()
    back_again(out)
    await destination.send(FIRST)
    assert list(files(out).values()) == [b"first"]


DISK_FULL = """
import asyncio, resource, sys
from pathlib import Path
from hcsyncd.connectors.folder_destination import FolderDestination, FolderDestinationOptions
from hcsyncd.errors import Transient
from hcsyncd.message import NAME_HEADER, Envelope
from tests.fakes.seats import RecordedEvents, make_seat

async def main():
    seat = make_seat(Path(sys.argv[1]), RecordedEvents())
    destination = FolderDestination(FolderDestinationOptions(folder="out"), seat)
    await destination.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        await destination.send(Envelope(1, 1, b"x" * 5000, "text/plain", "k"))
    except Transient as error:
        print(error.reason)

asyncio.run(main())
"""


def test_disk_full_is_transient_and_leaves_no_half_file(out: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(out.parent)], capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.stdout, ended.stderr) == ("disk-full\n", "")
    assert (files(out), hidden(out)) == ({}, [])


async def test_probe_leaves_nothing(make: Opener, out: Path) -> None:
    destination = make()
    await destination.open()
    assert "free" in await destination.probe()
    assert (files(out), hidden(out)) == ({}, [])


async def test_missing_folder_is_told_when_opened(make: Opener, out: Path) -> None:
    with pytest.raises(ConfigError, match=str(out)):
        await make(create=False).open()
    (out.parent / "out").write_bytes(b"")
    with pytest.raises(ConfigError, match=str(out)):
        await make().open()


@pytest.mark.parametrize(
    "options",
    [{}, {"folder": "o", "name": "a/b"}, {"folder": "o", "name": "{x}"}, {"folder": "o", "done_marker": "{name}"}],
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FolderDestinationOptions.model_validate(options)


async def test_a_file_is_there_when_one_of_its_name_has_its_content(make: Opener, out: Path) -> None:
    destination = make()
    await destination.open()
    assert await destination.ask(FIRST) is None
    sent = await destination.send(FIRST)
    found = await destination.ask(replace(FIRST, attempt=2))
    assert found is not None
    assert found.detail == sent.detail
    (out / sent.detail).write_bytes(b"somebody else's")
    with pytest.raises(Transient, match="other content"):
        await destination.ask(FIRST)
    out_of_the_way(out)
    with pytest.raises(Transient, match="there is no folder"):
        await destination.ask(FIRST)
    back_again(out)


async def test_a_numbered_file_is_found_under_its_own_name(make: Opener, out: Path) -> None:
    destination = make(name="census.json", on_exists="number")
    await destination.open()
    await destination.send(SECOND)
    sent = await destination.send(FIRST)
    found = await destination.ask(FIRST)
    assert found is not None
    assert found.detail == sent.detail == "census.2.json"
    (out / sent.detail).unlink()
    assert await destination.ask(FIRST) is None


async def test_of_a_folder_that_readers_empty_nothing_can_be_told_but_what_has_no_name_yet(
    make: Opener, out: Path
) -> None:
    destination = make(emptied=True)
    await destination.open()
    sent = await destination.send(FIRST)
    assert await destination.ask(FIRST) is not None
    (out / sent.detail).unlink()
    with pytest.raises(Transient, match="never made, or was taken away"):
        await destination.ask(FIRST)
    key = sent.detail.removesuffix(".json").rpartition("-")[2]
    (out / f".hcsyncd-{key}.part").write_bytes(b"fir")
    assert await destination.ask(FIRST) is None, "it did not get its name before the crash"
