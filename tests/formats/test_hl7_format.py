from __future__ import annotations

import pytest
from pydantic import ValidationError

from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Answer, Verdict
from hcsyncd.formats.hl7.format import FORMAT, Hl7Format, Hl7Options
from hcsyncd.formats.hl7.peek import AcknowledgementMode

ANSWER = Answer(Verdict.REJECT, 0, "X", "not HL7", "100")


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ("lf_line_ends", b"MSH|^~\\&|A\nPID|1\n"),
        ("no_final_cr", b"MSH|^~\\&|A\rPID|1"),
        ("leading_blanks", b" MSH|^~\\&|A\rPID|1\r"),
    ],
)
def test_each_fault_is_overlooked_or_refused_as_the_channel_says(fault: str, body: bytes) -> None:
    assert Hl7Format(Hl7Options()).peek(body).tolerated == (fault,)
    tolerate = [name for name in ("lf_line_ends", "no_final_cr", "leading_blanks") if name != fault]
    strict = Hl7Format(Hl7Options(tolerate=tolerate))
    with pytest.raises(FormatError, match=f"does not tolerate that \\({fault}\\)") as caught:
        strict.peek(body)
    assert caught.value.reason == fault.replace("_", "-")
    assert b"\rMSA|AR||" in strict.refusal(body, caught.value, ANSWER)


def test_a_body_without_faults_passes_the_strictest_channel() -> None:
    strict = Hl7Format(Hl7Options(tolerate=()))
    assert strict.peek(b"MSH|^~\\&|A\rPID|1\r").tolerated == ()


def test_a_refusal_goes_to_the_sender_when_it_can_be_made_out() -> None:
    body = b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M1|P|2.5\nPID|1"
    format_ = Hl7Format(Hl7Options(tolerate=()))
    with pytest.raises(FormatError) as caught:
        format_.peek(body)
    assert format_.refusal(body, caught.value, ANSWER).startswith(b"MSH|^~\\&|C|D|A|B|")
    assert b"\rMSA|AR|M1|not HL7\r" in format_.refusal(body, caught.value, ANSWER)


def test_a_refusal_goes_by_the_mode_the_sender_asked_for() -> None:
    body = b"MSH|^~\\&|A|B|C|D|2026||ADT^A01|M1|P|2.5|||AL|NE\r"
    error = FormatError("oversize", "too long")
    assert b"\rMSA|CR|M1" in Hl7Format(Hl7Options()).refusal(body, error, ANSWER)
    original = Hl7Options(acknowledgement_mode=AcknowledgementMode.ORIGINAL)
    assert b"\rMSA|AR|M1" in Hl7Format(original).refusal(body, error, ANSWER)


def test_a_body_that_is_no_hl7_is_refused_all_the_same() -> None:
    format_ = Hl7Format(Hl7Options())
    with pytest.raises(FormatError) as caught:
        format_.peek(b"GET / HTTP/1.1\r\n")
    assert b"\rMSA|AR||not HL7\r" in format_.refusal(b"GET / HTTP/1.1\r\n", caught.value, ANSWER)


def test_the_character_set_of_the_channel_is_used_everywhere() -> None:
    body = "MSH|^~\\&|Иванов|B\r".encode("iso8859-5")
    format_ = Hl7Format(Hl7Options(charset="8859/5"))
    assert format_.peek(body).keys.sender == "Иванов|B"
    assert format_.parse(body)["MSH-3"] == "Иванов"


@pytest.mark.parametrize(
    "options", [{"charset": "KLINGON"}, {"tolerate": ["everything"]}, {"acknowledgement_mode": "x"}]
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FORMAT.options.model_validate(options)


def test_options_as_configuration_writes_them() -> None:
    options = Hl7Options.model_validate({"acknowledgement_mode": "enhanced", "tolerate": ["no_final_cr"]})
    assert options == Hl7Options(acknowledgement_mode=AcknowledgementMode.ENHANCED, tolerate=("no_final_cr",))
