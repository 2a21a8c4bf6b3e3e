"""One step of one message: filter, transform, and what came of them as a value. Pure, and the same in a worker process
and in the cases that stand beside a channel."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hcsyncd.errors import (
    FormatError,
    HcsyncdError,
    PluginError,
    Reject,
    TransformError,
    TransformMemory,
    TransformTimeout,
    UnmappedCode,
)
from hcsyncd.formats.format import Format
from hcsyncd.formats.registry import FORMATS
from hcsyncd.message import Keys
from hcsyncd.plugins.api import Context, Drop, Out
from hcsyncd.plugins.job import Dropped, Failed, Job, Made, MadeOut, Passed, Step, StepResult
from hcsyncd.plugins.loader import Plugin, Plugins, Sources, innermost_frame

Tables = Mapping[str, Mapping[str, str]]

MAX_TEXT = 400  # characters of a failure's text
MAX_CODE = 100  # what is longer is no code, and nobody will enter it
JSON_TYPE = "application/json"
WANTED = "return Out, a list of Out, Drop or Reject"

_HL7 = FORMATS["hl7"].build(FORMATS["hl7"].options())


class Overrun(BaseException):
    """The time bound has passed. No Exception, so that a transform's own ``except Exception`` does not swallow it."""


def run_step(plugins: Plugins, source_format: Format, job: Job, step: Step, tables: Tables) -> StepResult:
    """Run a filter and a transform, each on a fresh document. Whatever they raise becomes a `Failed`, but for what
    ends a step from outside: KeyboardInterrupt and `Overrun` pass through."""
    function: Plugin | None = None
    try:
        context = Context(
            job.message_id, job.channel, step.route, job.received_at, job.keys, job.replay_of, job.facts, tables
        )
        if step.filter:
            function = plugins.filter(step.filter)
            kept = function(source_format.parse(job.body), context)
            if kept is False:
                return Dropped(f"filter {step.filter}")
            if kept is not True:
                return _wrong_result(kept, function, plugins.sources, "a filter returns True or False")
        if not step.transform:
            return Passed()
        function = plugins.transform(step.transform)
        return _result(function(source_format.parse(job.body), context), function, plugins.sources, step.to)
    except (Exception, SystemExit) as error:  # whatever a transform raises is its message's failure
        return failure(error, plugins.sources, function, job.body)


def _result(returned: object, function: Plugin, sources: Sources, to: tuple[str, ...]) -> StepResult:
    match returned:
        case Out():
            return Made((_made(returned, to),))
        case Drop(reason):
            return Dropped(_cut(str(reason)))
        case Reject():
            return Failed(Reject.code, _cut(str(returned)), rejected=True)
        case []:
            return Dropped("the transform returned an empty list")
        case list() if all(isinstance(out, Out) for out in returned):
            return Made(tuple(_made(out, to) for out in returned))
        case list():
            kinds = ", ".join(sorted({type(item).__name__ for item in returned}))
            return _wrong_result(returned, function, sources, WANTED, f"a list of {kinds}")
        case _:
            return _wrong_result(returned, function, sources, WANTED)


def _made(out: Out, to: tuple[str, ...]) -> MadeOut:
    body = out.to_bytes()
    if not isinstance(body, bytes) or isinstance(out.body, int):  # an int has a to_bytes of its own
        raise TypeError("the body of an Out is a document, bytes, str, dict or list")
    if out.to and to and out.to not in to:
        raise TransformError(f"an Out goes to {out.to!r}; its route leads to {', '.join(to)}")
    headers = dict(out.headers) if out.headers else {}
    texts = (out.content_type, out.type, out.to, out.lane, out.name, *headers, *headers.values())
    "".join(texts).encode()  # raises for what is no text, or cannot be written as UTF-8
    content_type = out.content_type or (JSON_TYPE if isinstance(out.body, (dict, list)) else "")
    keys = _peek(body)
    return MadeOut(body, content_type, out.type or keys.type, keys.control_id, out.to, out.lane, out.name, headers)


_NO_KEYS = Keys()


def _peek(body: bytes) -> Keys:
    if not body.startswith(b"MSH"):
        return _NO_KEYS
    try:
        return _HL7.peek(body).keys
    except FormatError:
        return _NO_KEYS


def _wrong_result(returned: object, function: Plugin, sources: Sources, wanted: str, kind: str = "") -> Failed:
    place = _first_line(function, sources)
    return Failed(TransformError.code, f"{place}: returned {kind or type(returned).__name__}; {wanted}")


def failure(error: BaseException, sources: Sources, function: Plugin | None, body: bytes) -> Failed:
    """What an error means: its cause, and a text that names file, line and error, the body's own words blotted out."""
    if isinstance(error, Reject):
        return Failed(Reject.code, _cut(str(error)), rejected=True)
    frame = innermost_frame(error, sources)
    place = f"{frame[0]}:{frame[1]}" if frame else _first_line(function, sources)
    match error:
        case Overrun():
            return Failed(TransformTimeout.code, f"{place}: overran its time limit")
        case MemoryError():
            return Failed(TransformMemory.code, f"{place}: overran its memory limit")
        case SystemExit():
            return Failed(TransformError.code, f"{place}: tried to end the process (SystemExit)")
        case FormatError():
            return Failed(error.reason, _cut(f"{place}: {error}"))
        case PluginError():
            return Failed(error.code, _cut(str(error)))
        case UnmappedCode(table=str(table), missing=str(missing)) if table and _is_code(missing):
            return Failed(error.code, _cut(f"{place}: {error}"), table=table, missing=missing)
        case HcsyncdError():
            return Failed(error.code, _cut(f"{place}: {error}"))
    said = blotted(str(error)[:MAX_TEXT], body)
    return Failed(TransformError.code, _cut(f"{place}: {type(error).__name__}" + (f": {said}" if said else "")))


def _is_code(text: str) -> bool:
    """Whether a person could enter it into a table."""
    return 0 < len(text) <= MAX_CODE and text.isprintable()


def _first_line(function: Plugin | None, sources: Sources) -> str:
    code = getattr(function, "__code__", None)
    if code is None:
        return sources.label("")
    return f"{sources.label(code.co_filename.removeprefix(sources.folder).lstrip('/'))}:{code.co_firstlineno}"


_WORD = re.compile(r"\w{3,}")
_ESCAPED_BREAK = re.compile(r"\\[nrt]")


def blotted(text: str, body: bytes) -> str:
    """``text`` without the words that the body holds too, so that an error such as ``invalid literal for int():
    'SMITH'`` tells no one a patient's name. Words that begin a line of the body are segment ids and stay."""

    def blot(found: re.Match[str]) -> str:
        spellings = {found[0].encode(), found[0].encode("latin-1", "replace")}
        word = b"(?:" + b"|".join(map(re.escape, spellings)) + b")"
        if not re.search(rb"(?<![0-9A-Za-z])" + word + rb"(?![0-9A-Za-z])", body):
            return found[0]
        return found[0] if re.search(rb"(?:\A|[\r\n])" + word + rb"\W", body) else "…"

    return _WORD.sub(blot, _ESCAPED_BREAK.sub(" ", text))


def _cut(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()  # undecodable bytes of a body travel as surrogates
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
