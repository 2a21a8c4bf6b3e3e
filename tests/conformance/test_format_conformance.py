"""What every format promises, tried on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Answer, Format, Verdict
from hcsyncd.formats.registry import FORMATS, build_format
from hcsyncd.options import Options

ANSWER = Answer(Verdict.REJECT, 1_767_225_600_000_000, "ACK1", "cannot be read", "100")


@dataclass(frozen=True)
class Sample:
    """A body of a format with a path into it, the value there, and a path that is none."""

    body: bytes
    path: str
    value: str
    bad_path: str
    options: Mapping[str, object] = field(default_factory=dict)
    not_of_the_format: bytes = b"\xff\xfe"
    key_options: Mapping[str, object] = field(default_factory=dict)


COLUMNS = {"columns": [{"name": "item", "start": 1, "length": 2}]}
SAMPLES = {
    "hl7": Sample(b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M1|P|2.5\rPID|1||7\r", "PID-3", "7", "PID.3"),
    "json": Sample(b'{ "id": "7" }', "id", "7", "id[", key_options={"control_id_path": "id"}),
    "xml": Sample(b"<a ><id>7</id></a>", "a/id", "7", "a//id", key_options={"control_id_path": "a/id"}),
    "delimited": Sample(b'id,"x"\r\n7,"y"\r\n', "row[1].id", "7", "row", key_options={"control_id_path": "row.id"}),
    "fixed": Sample(b"7 x\r\n", "row[1].item", "7", "row", COLUMNS, key_options={"control_id_path": "row.item"}),
    "text": Sample(b"7\r\n", "line[1]", "7", "line[", key_options={"control_id_path": "line"}),
}
KINDS = sorted(FORMATS)


def build(kind: str, extra: Mapping[str, object] | None = None) -> Format:
    options: Options = FORMATS[kind].options.model_validate({**SAMPLES[kind].options, **(extra or {})})
    return build_format(kind, options)


def test_every_format_has_a_sample() -> None:
    assert sorted(SAMPLES) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_is_described(kind: str) -> None:
    descriptor, format_ = FORMATS[kind], build(kind)
    assert descriptor.kind == format_.name == kind
    assert descriptor.summary
    assert "/" in format_.content_type
    undocumented = [name for name, info in descriptor.options.model_fields.items() if not info.description]
    assert undocumented == []


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_come_back_from_a_document_that_was_read(kind: str) -> None:
    sample = SAMPLES[kind]
    document = build(kind).parse(sample.body)
    assert document.get(sample.path) == sample.value
    assert document.all(sample.path) == [sample.value]
    assert document.to_bytes() == sample.body


@pytest.mark.parametrize("kind", KINDS)
def test_paths_are_checked_without_a_message(kind: str) -> None:
    sample, format_ = SAMPLES[kind], build(kind)
    format_.check_path(sample.path)
    with pytest.raises(FormatError) as caught:
        format_.check_path(sample.bad_path)
    assert caught.value.reason == "bad-path"
    with pytest.raises(FormatError):
        format_.parse(sample.body).get(sample.bad_path)


@pytest.mark.parametrize("kind", KINDS)
def test_peek_names_the_message(kind: str) -> None:
    sample = SAMPLES[kind]
    peek = build(kind, sample.key_options).peek(sample.body)
    assert peek.keys.control_id == ("M1" if kind == "hl7" else sample.value)
    assert peek.tolerated == ()
    replied = b"MSA|AR|M1" in peek.application_reply(ANSWER)
    assert replied == (kind == "hl7")
    assert peek.accept_reply(ANSWER) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_of_the_format_is_refused_with_a_reason(kind: str) -> None:
    sample, format_ = SAMPLES[kind], build(kind)
    with pytest.raises(FormatError) as caught:
        format_.peek(sample.not_of_the_format)
    assert caught.value.reason
    refusal = format_.refusal(sample.not_of_the_format, caught.value, ANSWER)
    assert bool(refusal) == (kind == "hl7")


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_one_message_is_that_message(kind: str, chunk: int) -> None:
    body = SAMPLES[kind].body
    assert list(build(kind).split(body[i : i + chunk] for i in range(0, len(body), chunk))) == [body]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_over_the_cap_is_refused(kind: str) -> None:
    format_ = build(kind, {"max_bytes": 1024})
    with pytest.raises(FormatError) as caught:
        list(format_.split([SAMPLES[kind].body, b"x" * 2000]))
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_any_bytes_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    sample, format_ = SAMPLES[kind], build(kind)
    cut = data.draw(st.integers(0, len(sample.body)))
    body = sample.body[:cut] + data.draw(st.binary(max_size=30)) + data.draw(st.sampled_from([b"", sample.body[cut:]]))
    try:
        peek = format_.peek(body)
    except FormatError as error:
        format_.refusal(body, error, ANSWER)
        return
    assert isinstance(peek.keys.type, str)
    try:
        document = format_.parse(body)
        document.all(sample.path)
    except FormatError:
        return
    assert document.to_bytes() == body
