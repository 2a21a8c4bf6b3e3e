"""`${...}`: where values come from, and that secrets stay out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.config.finding import Place, Report
from hcsyncd.config.references import References
from hcsyncd.config.yaml_tree import Scalar

PLACE = Place("x.yaml", 3, 4)


def resolve(text: str, site: Path, **environment: str) -> tuple[str, list[str]]:
    report = Report()
    found = References(site, environment, report).resolve(Scalar(PLACE, text, text))
    return found.text, [str(finding) for finding in report.findings()]


def secret(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${HOST}", "erp.example"),
        ("https://${HOST}:${PORT:-443}/x", "https://erp.example:443/x"),
        ("${EMPTY}", ""),
        ("${EMPTY:-full}", "full"),
        ("${NONE:-}", ""),
        ("${HOST:-other}", "erp.example"),
        ("$${HOST}", "${HOST}"),
        ("$HOST $$ {x} }", "$HOST $$ {x} }"),
        ("${NESTED}", "${HOST}"),
        ("${NONE:-a:-b c}", "a:-b c"),
    ],
)
def test_variables(tmp_path: Path, text: str, expected: str) -> None:
    assert resolve(text, tmp_path, HOST="erp.example", EMPTY="", NESTED="${HOST}") == (expected, [])


@pytest.mark.parametrize(
    "text", ["${}", "${1A}", "${A B}", "${A-b}", "${secret:}", "${secret:a/b}", "${secret:.x}", "${A", "a ${{A}}"]
)
def test_what_is_no_reference(tmp_path: Path, text: str) -> None:
    _, (finding,) = resolve(text, tmp_path, A="1")
    assert finding.startswith("x.yaml:3:4 error bad-reference: ")


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    _, (finding,) = resolve("${EPR_HOST}", tmp_path, ERP_HOST="x", EPR_HOSTS="y")
    assert (
        finding
        == "x.yaml:3:4 error unresolved-reference: environment variable EPR_HOST is not set (did you mean EPR_HOSTS?)"
    )


@pytest.mark.parametrize(
    ("content", "expected"), [(b"word\n", "word"), (b"word\r\n", "word"), (b" a b \n\n", " a b \n")]
)
def test_a_secret_loses_one_line_end(tmp_path: Path, content: bytes, expected: str) -> None:
    secret(tmp_path / "secrets/erp", content)
    assert resolve("${secret:erp}", tmp_path) == (expected, [])


def test_credentials_of_the_service_come_first(tmp_path: Path) -> None:
    secret(tmp_path / "secrets/erp", b"from the site")
    secret(tmp_path / "credentials/erp", b"from systemd")
    secret(tmp_path / "secrets/only", b"site alone")
    credentials = str(tmp_path / "credentials")
    assert (
        resolve("${secret:erp} ${secret:only}", tmp_path, CREDENTIALS_DIRECTORY=credentials)[0]
        == "from systemd site alone"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\n", "is empty"), (b"\xff\xfe", "is not UTF-8 text"), (b"x" * 65_537, "is larger than 65536 bytes")],
)
def test_secrets_that_cannot_be_used(tmp_path: Path, content: bytes, expected: str) -> None:
    secret(tmp_path / "secrets/erp", content)
    _, (finding,) = resolve("${secret:erp}", tmp_path)
    assert f"secret erp {expected}" in finding


def test_a_secret_that_everybody_can_read(tmp_path: Path) -> None:
    secret(tmp_path / "secrets/erp", b"word", mode=0o644)
    text, findings = resolve("${secret:erp}", tmp_path)
    assert text == "word"
    assert findings == [
        "x.yaml:3:4 warning exposed-secret: secret erp is in a file that every user may read (chmod o= secrets/erp)"
    ]


def test_secrets_are_kept_out_of_findings(tmp_path: Path) -> None:
    secret(tmp_path / "secrets/erp", b"hunter2")
    report = Report()
    references = References(tmp_path, {}, report)
    found = references.resolve(Scalar(PLACE, "${secret:erp}", "${secret:erp}"))
    report.error(PLACE, "bad-value", "hunter2 is too short", "not hunter2")
    assert (found.has_secret, found.is_literal) == (True, False)
    assert [str(finding) for finding in report.findings()] == ["x.yaml:3:4 error bad-value: *** is too short (not ***)"]
    assert "hunter2" not in repr(found)


def test_what_stood_for_what_is_remembered(tmp_path: Path) -> None:
    secret(tmp_path / "secrets/erp", b"word")
    references = References(tmp_path, {"A": "1"}, Report())
    references.resolve(Scalar(PLACE, "${A} ${B:-2} ${secret:erp}", ""))
    assert references.used == {"A": "1", "B": "2", "secret:erp": "word"}
