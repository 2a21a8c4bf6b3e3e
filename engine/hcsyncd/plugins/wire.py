"""What the daemon and a worker process say to each other: msgpack frames behind a 4-byte length, big-endian."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from hcsyncd.plugins.job import Job, StepResult
from hcsyncd.plugins.loader import Fault, Sources

LENGTH_BYTES = 4

EXIT_TIMEOUT = 81  # a transform went on after it was told that its time was over
EXIT_MEMORY = 82  # memory ran out where no transform was to blame for sure

FLUSH_SECS = 0.02  # results are held back no longer than this before the next step starts


class Load(Struct, frozen=True, array_like=True, tag="load"):
    """Import the plug-ins of a generation. ``formats``: channel -> kind and options of the format of its bodies."""

    generation: int
    sources: Sources
    tables: dict[str, dict[str, str]]
    formats: dict[str, tuple[str, dict[str, Any]]]


class Run(Struct, frozen=True, array_like=True, tag="run", gc=False):
    """Run jobs, in order."""

    generation: int
    jobs: list[Job]


class Forget(Struct, frozen=True, array_like=True, tag="forget"):
    """Unload a generation."""

    generation: int


class Loaded(Struct, frozen=True, array_like=True, tag="loaded"):
    """The answer to `Load`, and for generation 0 the first word of a worker that is up. With faults, or with text,
    nothing was loaded."""

    generation: int
    faults: list[Fault]
    text: str = ""


class Results(Struct, frozen=True, array_like=True, tag="results", gc=False):
    """The next results of the oldest `Run` that is not answered in full."""

    results: list[tuple[StepResult, ...]]


Command = Load | Run | Forget
Answer = Loaded | Results

command_decoder = Decoder(Command)
answer_decoder = Decoder(Answer)
_encoder = Encoder()


def frame(content: Command | Answer) -> bytearray:
    """The bytes of one frame. Raises OverflowError above 4 GiB."""
    payload = bytearray(LENGTH_BYTES)
    _encoder.encode_into(content, payload, LENGTH_BYTES)
    payload[:LENGTH_BYTES] = (len(payload) - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
    return payload
