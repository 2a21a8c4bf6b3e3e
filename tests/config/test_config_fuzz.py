"""Whatever stands in the files: a site or findings with places inside the file, and never anything raised."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st

from hcsyncd.config.cases import load_cases
from hcsyncd.config.finding import CODES
from tests.fakes.site_folder import DESTINATION, ROUTES, SOURCE, SiteFolder

FILES = (
    "hcsyncd.yaml",
    "channels/adt_in.yaml",
    "channels/events_out.yaml",
    "routes.yaml",
    "mapping/wards.csv",
    "mapping/wards_too.yaml",
)
GOOD_CASES = "cases:\n  - {name: a, message: x, expect: [{to: events_out, fields: {a: b}}]}\n"
GOOD = {
    "hcsyncd.yaml": "workers: {count: 2}\nlog:\n  level: info\n",
    "channels/adt_in.yaml": SOURCE,
    "channels/events_out.yaml": DESTINATION + "retry: {first_secs: 2}\n",
    "routes.yaml": ROUTES + "    when: {type: [ADT^A01], PV1-2: I}\n",
    "mapping/wards.csv": 'code,value\nA,"b ""c"""\n',
    "mapping/wards_too.yaml": "A: B\n",
    "channels/adt_in.test.yaml": GOOD_CASES,
}
WORDS = "a source kind mllp port format routes name from to when yes 0123 1 -1 1e999 .inf null ~ ü"
MARKS = "[ ] { } ' | > &x *x << !t --- # % : ${ ${A} ${A:-b} ${secret:x}"
BLANKS = [": ", "- ", "? ", ", ", "\n", "\n  ", "\n    ", "\t", "\x00", "\ufeff", '"']
TOKENS = st.sampled_from([*WORDS.split(), *MARKS.split(), *BLANKS])
QUIET = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = SiteFolder(Path(made))
        for good, text in GOOD.items():
            folder.write(good, text)
        folder.write(name, content)
        loaded = folder.load(A="1")
        findings = list(loaded.findings)
        if loaded.site is not None:
            findings += load_cases(loaded.site).findings
    assert loaded.site is not None or any(finding.level == "error" for finding in findings)
    lines = content.decode("utf-8", "replace").splitlines() or [""]
    for finding in findings:
        assert finding.code in CODES
        assert finding.text
        assert finding.column >= 1
        assert 1 <= finding.line <= (len(lines) + 1 if finding.file == name else 99)


@QUIET
@given(name=st.sampled_from([*FILES, "channels/adt_in.test.yaml"]), content=st.binary(max_size=200))
def test_any_bytes(name: str, content: bytes) -> None:
    check(name, content)


@QUIET
@given(name=st.sampled_from([*FILES, "channels/adt_in.test.yaml"]), tokens=st.lists(TOKENS, max_size=40))
def test_any_tokens_of_yaml(name: str, tokens: list[str]) -> None:
    check(name, "".join(tokens).encode())


@QUIET
@given(data=st.data(), name=st.sampled_from(sorted(GOOD)))
def test_good_files_with_a_piece_replaced(data: st.DataObject, name: str) -> None:
    text = GOOD[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    check(name, (text[:start] + "".join(data.draw(st.lists(TOKENS, max_size=5))) + text[end:]).encode())


def test_numbers_without_end_take_no_time(folder: SiteFolder) -> None:
    folder.write("channels/adt_in.yaml", f"source: {{kind: mllp, port: {'9' * 100_000}}}\n")
    assert [finding.code for finding in folder.load().findings] == ["bad-value"]
