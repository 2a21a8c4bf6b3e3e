"""The commands on a site's files: init, check, test, schema, and run where it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hcsyncd.cli.check import exit_code
from hcsyncd.cli.main import cli
from hcsyncd.config.finding import Finding, Level
from hcsyncd.config.schema import SCHEMA_NAMES

CHANNEL_IN = "source:\n  kind: mllp\n  port: 0\n"
CHANNEL_OUT = "destination:\n  kind: mllp\n  host: 127.0.0.1\n  port: 2576\n"
ROUTES = "routes:\n  - name: relay\n    from: adt_in\n    to: relay_out\n"
CASES = """cases:
  - name: passes on
    message: |
      MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5
    expect:
      - to: relay_out
        contains: ADT^A01
  - name: expects too much
    message: |
      MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5
    expect:
      - to: relay_out
        contains: ADT^A99
"""


def hcsyncd(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def write(site: Path, **files: str) -> None:
    known = {"channels/adt_in.yaml": CHANNEL_IN, "channels/relay_out.yaml": CHANNEL_OUT, "routes.yaml": ROUTES}
    for name, text in {**known, **files}.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)


def test_init_writes_a_site_that_is_clean_and_passes_its_cases(tmp_path: Path) -> None:
    site = tmp_path / "mysite"
    made = hcsyncd("init", site)
    assert made.exit_code == 0, made.output
    assert f"hcsyncd check --site {site}" in made.stdout
    for name in ("routes.yaml", "hcsyncd.yaml", "channels", "transforms", "mapping", "systemd/hcsyncd.service"):
        assert (site / name).exists(), name
    assert not list(site.rglob("__pycache__"))
    assert "var/" in (site / ".gitignore").read_text()
    checked = hcsyncd("check", "--site", site, "--strict")
    assert (checked.exit_code, checked.stdout) == (0, f"{site}: clean\n")
    tested = hcsyncd("test", "--site", site)
    assert tested.exit_code == 0, tested.output
    assert " 0 failed" in tested.stdout


def test_init_writes_over_nothing_without_force(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("mine")
    refused = hcsyncd("init", tmp_path)
    assert refused.exit_code == 2
    assert "routes.yaml already; nothing was written" in refused.stderr
    assert (tmp_path / "routes.yaml").read_text() == "mine"
    assert not (tmp_path / "channels").exists()
    assert hcsyncd("init", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "routes.yaml").read_text() != "mine"


def test_init_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = hcsyncd("init", tmp_path / "file" / "site")
    assert refused.exit_code == 2
    assert "cannot write" in refused.stderr


def test_check_lists_all_findings_with_their_places(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "channels/adt_in.yaml": "source:\n  kind: mllp\n  port: 0\n  tiemout: 3\n",
            "routes.yaml": ROUTES.replace("to: relay_out", "to: relay_uot"),
        },
    )
    checked = hcsyncd("check", "--site", tmp_path)
    assert checked.exit_code == 1
    lines = checked.stdout.splitlines()
    assert any(line.startswith("channels/adt_in.yaml:4:3 error unknown-option: tiemout") for line in lines)
    assert any(
        line.startswith("routes.yaml:4:9 error unknown-channel") and "did you mean relay_out?" in line for line in lines
    )
    assert lines[-1].startswith(f"{tmp_path}: 2 errors")
    listed: dict[str, Any] = json.loads(hcsyncd("check", "--site", tmp_path, "--json").stdout)
    assert (listed["errors"], len(listed["findings"])) == (2, 2 + listed["warnings"])
    assert {"file", "line", "column", "level", "code", "text", "hint"} == set(listed["findings"][0])


def test_warnings_fail_only_when_strict(tmp_path: Path) -> None:
    write(tmp_path, **{"channels/spare_out.yaml": CHANNEL_OUT})
    assert hcsyncd("check", "--site", tmp_path).exit_code == 0
    strict = hcsyncd("check", "--site", tmp_path, "--strict")
    assert strict.exit_code == 1
    assert "warning unused-channel" in strict.stdout
    assert strict.stdout.endswith(": 1 warning\n")


def test_a_file_that_cannot_be_read_exits_2(tmp_path: Path) -> None:
    write(tmp_path, **{"routes.yaml": "routes: [\n"})
    assert hcsyncd("check", "--site", tmp_path).exit_code == 2
    (tmp_path / "routes.yaml").unlink()
    assert hcsyncd("check", "--site", tmp_path).exit_code == 2


@pytest.mark.parametrize(
    ("found", "strict", "code"),
    [
        ([], True, 0),
        ([(Level.WARNING, "unreadable")], False, 0),
        ([(Level.WARNING, "unused-channel")], True, 1),
        ([(Level.ERROR, "bad-value")], False, 1),
        ([(Level.ERROR, "bad-value"), (Level.ERROR, "not-utf8")], False, 2),
    ],
)
def test_exit_codes_of_findings(found: list[tuple[Level, str]], strict: bool, code: int) -> None:
    findings = [Finding("x", 1, 1, level, name, "text") for level, name in found]
    assert exit_code(findings, strict=strict) == code


def test_cases_pass_and_fail_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, **{"channels/adt_in.test.yaml": CASES})
    tested = hcsyncd("test", "--site", tmp_path)
    assert tested.exit_code == 1
    assert "channels/adt_in.test.yaml:2 passed  passes on\n" in tested.stdout
    assert "channels/adt_in.test.yaml:8 failed  expects too much\n    " in tested.stdout
    assert tested.stdout.endswith("1 passed, 1 failed\n")
    narrowed = hcsyncd("test", "adt_in", "-k", "Passes*", "--json", "--site", tmp_path)
    assert narrowed.exit_code == 0
    (case,) = json.loads(narrowed.stdout)
    assert (case["case"], case["passed"], case["problems"]) == ("passes on", True, [])


def test_cases_that_cannot_be_run(tmp_path: Path) -> None:
    write(tmp_path, **{"channels/adt_in.test.yaml": "cases:\n  - name: says nothing\n    message: MSH\n"})
    unreadable = hcsyncd("test", "--site", tmp_path)
    assert unreadable.exit_code == 2
    assert "channels/adt_in.test.yaml:2:" in unreadable.stderr
    checked = hcsyncd("check", "--site", tmp_path)
    assert (checked.exit_code, "channels/adt_in.test.yaml:2:" in checked.stdout) == (1, True)
    write(tmp_path, **{"channels/adt_in.test.yaml": "cases: []\n"})
    assert hcsyncd("test", "--site", tmp_path).stdout == "no cases\n"
    assert hcsyncd("test", "nope", "--site", tmp_path).exit_code == 2
    write(tmp_path, **{"routes.yaml": "routes: [\n"})
    broken = hcsyncd("test", "--site", tmp_path)
    assert (broken.exit_code, "no case was run" in broken.stderr) == (2, True)


def test_a_file_that_cannot_be_loaded_casts_no_doubt_on_the_others(tmp_path: Path) -> None:
    transforms = {
        "transforms/good.py": "from hcsyncd import transform\n\n@transform\ndef f(document, context): ...\n",
        "transforms/bad.py": "def f(:\n",
    }
    routes = "".join(
        f"  - {{name: {module}, from: adt_in, to: relay_out, transform: {module}.f}}\n"
        for module in ("good", "bad", "gone")
    )
    write(tmp_path, **transforms, **{"routes.yaml": f"routes:\n{routes}"})
    findings = json.loads(hcsyncd("check", "--site", tmp_path, "--json").stdout)["findings"]
    assert [(finding["file"], finding["line"], finding["code"]) for finding in findings] == [
        ("routes.yaml", 4, "unknown-function"),
        ("transforms/bad.py", 1, "plugin-syntax"),
    ]


def test_run_refuses_a_site_with_errors_and_says_all_of_them(tmp_path: Path) -> None:
    write(tmp_path, **{"routes.yaml": ROUTES.replace("adt_in", "adt_on")})
    refused = hcsyncd("run", "--site", tmp_path)
    assert refused.exit_code == 2
    assert "has errors; nothing was started" in refused.stderr
    assert "routes.yaml:3:11 error unknown-channel" in refused.stderr
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_schema_prints_each_schema(name: str) -> None:
    shown = hcsyncd("schema", name)
    assert shown.exit_code == 0
    schema = json.loads(shown.stdout)
    assert (schema["$schema"], schema["type"]) == ("https://json-schema.org/draft/2020-12/schema", "object")
