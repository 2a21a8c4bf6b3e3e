"""The command as a whole: help, exit codes, what is told where, and how it ends when it is cut short."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hcsyncd import __version__
from hcsyncd.cli import failure
from hcsyncd.cli.main import COMMANDS, cli
from hcsyncd.cli.reference import cli_page
from hcsyncd.config.finding import Finding, Level
from hcsyncd.errors import CommandRefused, ConfigError, DaemonAbsent, StoreError
from tests.fakes.command import COMMAND, ENVIRONMENT, run_command, start_command
from tests.fakes.desk import Desk


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for inner_name, inner in command.commands.items():
                yield f"{name} {inner_name}", inner


def test_every_command_has_help_with_an_example_and_knows_its_name() -> None:
    for path, command in commands():
        help_text = command.help or ""
        assert "Example:" in help_text, path
        assert f"hcsyncd {path.split()[0]}" in help_text, path
        assert command.name == path.split()[-1]


def test_every_option_is_explained() -> None:
    for path, command in commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.name}"


def test_commands_that_print_data_offer_json() -> None:
    silent = {"init", "run", "demo", "schema", "store make-key"}  # schema prints nothing but JSON, make-key a secret
    for path, command in commands():
        if isinstance(command, click.Group):
            continue
        has_json = any("--json" in parameter.opts for parameter in command.params)
        assert has_json is (path not in silent), path


def test_the_commands_are_all_there() -> None:
    assert set(COMMANDS) == {
        *("init", "run", "check", "test", "plan", "reload", "history", "rollback", "shadow"),
        *("status", "channels", "top", "alerts", "find", "messages", "trace", "why", "tap"),
        *("dead", "tasks", "mapping", "unsure", "replays", "hold", "resume"),
        *("store", "retention", "audit", "send", "schema", "bench", "demo", "version"),
    }
    below: dict[str, set[str]] = {}
    for path, _ in commands():
        group, _, name = path.partition(" ")
        if name:
            below.setdefault(group, set()).add(name)
    assert below == {
        "messages": {"list", "show", "diff", "trace", "replay"},
        "dead": {"list", "show", "assign", "replay", "discard"},
        "tasks": {"list", "show", "assign", "retry", "discard"},
        "mapping": {"add"},
        "unsure": {"list", "ask", "settle"},
        "replays": {"list", "show", "apply", "hold", "resume", "cancel"},
        "hold": {"list", "receiving", "routing", "delivery"},
        "history": {"show", "diff"},
        "store": {"status", "backup", "restore", "verify", "export", "compact", "make-key", "rotate-key"},
        "retention": {"status", "plan", "run"},
        "alerts": {"list", "history", "acknowledge", "test"},
        "audit": {"list", "verify", "export"},
    }


def test_the_reference_names_every_command_and_option() -> None:
    page = cli_page()
    for path, command in commands():
        assert f"# hcsyncd {path}\n" in page
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in page


def test_help_loads_no_command() -> None:
    script = (
        "import sys\nfrom hcsyncd.cli.main import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "loaded = [name for name in sys.modules if name.startswith('hcsyncd.cli.')]\n"
        "sys.exit(0 if set(loaded) == {'hcsyncd.cli.main', 'hcsyncd.cli.failure'} else str(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize("flags", [["--version"], ["version"]])
def test_version(tmp_path: Path, flags: list[str]) -> None:
    done = run_command(*flags, cwd=tmp_path)
    assert done.returncode == 0
    assert __version__ in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["nope"], 2, "No such command 'nope'"),
        (["messages", "show", "x"], 2, "not a valid message id"),
        (["messages", "list", "--since", "soon"], 2, "'soon' is no time; write it like 2h"),
        (["messages", "list", "--state", "lost"], 2, "'lost' is not one of"),
        (["status", "--site", "missing"], 2, "there is no folder missing"),
        (["status"], 2, "no site found"),
        (["status", "--site", "."], 3, "no daemon runs on"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(tmp_path: Path, args: list[str], code: int, told: str) -> None:
    done = run_command(*args, cwd=tmp_path)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_site_is_this_folder_or_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "named").mkdir()
    runner = CliRunner(env={"HCSYNCD_SITE": str(tmp_path / "named")})
    monkeypatch.chdir(tmp_path / "here")
    assert f"no daemon runs on {tmp_path / 'named' / 'var'}" in runner.invoke(cli, ["status"]).stderr
    (tmp_path / "here" / "routes.yaml").write_text("routes: []\n")
    assert f"no daemon runs on {tmp_path / 'here' / 'var'}" in runner.invoke(cli, ["status"]).stderr


@pytest.mark.parametrize(
    ("yaml", "data"),
    [("data: elsewhere\n", "elsewhere"), ("data: ${NOT_SET_HERE:-kept}\n", "kept"), ("log:\n  level: debug\n", "var")],
)
def test_the_daemon_is_looked_for_where_the_site_keeps_its_data(tmp_path: Path, yaml: str, data: str) -> None:
    (tmp_path / "hcsyncd.yaml").write_text(yaml)
    done = CliRunner().invoke(cli, ["status", "--site", str(tmp_path)])
    assert done.exit_code == 3
    assert f"no daemon runs on {tmp_path / data};" in done.stderr


def test_a_broken_daemon_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "hcsyncd.yaml").write_text("data: ${NOT_SET_HERE}\n")
    done = CliRunner().invoke(cli, ["status", "--site", str(tmp_path)])
    assert done.exit_code == 2
    assert "hcsyncd.yaml:1:7 error unresolved-reference" in done.stderr


def test_a_refusal_lists_the_daemons_findings(tmp_path: Path) -> None:
    finding = Finding("routes.yaml", 3, 5, Level.ERROR, "unknown-channel", "there is no channel x", "did you mean y?")
    with Desk(tmp_path / "site") as desk:
        desk.live.refusal = ConfigError("the site has 1 error; what was running goes on", (finding,))
        done = CliRunner().invoke(cli, ["reload", "--site", str(desk.site)])
    assert done.exit_code == 4
    assert done.stderr.splitlines() == [
        "hcsyncd: the site has 1 error; what was running goes on",
        "  routes.yaml:3:5 error unknown-channel: there is no channel x (did you mean y?)",
    ]


def test_exit_codes_of_errors() -> None:
    assert failure.exit_code_of(StoreError("full")) == 1
    assert failure.exit_code_of(ConfigError("bad")) == 2
    assert failure.exit_code_of(DaemonAbsent("none")) == 3
    assert failure.exit_code_of(CommandRefused("x", "no")) == 4


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    """Interrupted while it waits for a daemon that is silent."""
    (tmp_path / "var").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "var" / "control.sock"))
        listener.listen()
        process = start_command("status", "--site", str(tmp_path))
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            process.send_signal(signal.SIGINT)
            shown, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (shown, told.strip()) == ("", "")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    with Desk(tmp_path / "site") as desk:
        for number in range(30):
            desk.receive(f"M{number}" + "x" * 150)
        reading, writing = os.pipe()
        os.close(reading)
        command = [*COMMAND, "messages", "list", "--json", "--site", str(desk.site)]
        done = subprocess.run(command, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


def shown_on_a_terminal(columns: int, *args: str) -> bytes:
    reading, writing = os.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    with subprocess.Popen([*COMMAND, *args], env=environment, stdout=writing) as process:
        os.close(writing)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal's end is an error (EIO)
            while chunk := os.read(reading, 65_536):
                shown += chunk
    os.close(reading)
    assert process.returncode == 0
    return shown


def test_on_a_terminal_states_are_coloured_and_nothing_is_cut(tmp_path: Path) -> None:
    with Desk(tmp_path / "site") as desk:
        desk.dead_delivery("C" * 200)
        shown = shown_on_a_terminal(100, "messages", "list", "--site", str(desk.site))
        narrow = shown_on_a_terminal(60, "messages", "list", "--site", str(desk.site))
    assert b"\x1b[1;31mdead" in shown
    assert shown.count(b"C") >= 200
    assert b"C" * 200 in narrow  # no room to fold it into
