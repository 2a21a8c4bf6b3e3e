"""`hcsyncd test --record`: a stored message becomes a case beside its channel, without its patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hcsyncd.cli.site import ask
from hcsyncd.config.case_text import case_text, with_case
from hcsyncd.config.cases import Case, load_cases
from hcsyncd.config.channels import CASES_SUFFIX, FOLDER
from hcsyncd.config.model import Site
from hcsyncd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Wish:
    """Which message is to become a case, and what it is to be called."""

    message_id: int
    name: str
    channel: str  # "": the one it came by


def record(site: Site, wish: Wish) -> Case:
    """Ask the daemon for the case, and write it at the end of its test file. Raises ConfigError when the file cannot
    take it; nothing is written then."""
    recorded = ask(site.folder, "cases.record", {"id": wish.message_id, "channel": wish.channel})
    path = site.folder / FOLDER / f"{recorded['channel']}{CASES_SUFFIX}"
    before = _read(path)
    text = with_case(before or "", wish.name, recorded["message"], recorded["outcome"])
    if text is None:
        raise ConfigError(f"{path} is not written with a dash a case; add this by hand:\n{_shown(wish, recorded)}")
    try:
        path.write_text(text, encoding="utf-8")
        return _found(site, recorded["channel"], wish.name)
    except ConfigError:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(before, encoding="utf-8")
        raise
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _found(site: Site, channel: str, name: str) -> Case:
    """The case as it is read again."""
    loaded = load_cases(site)
    file = f"{FOLDER}/{channel}{CASES_SUFFIX}"
    findings = tuple(finding for finding in loaded.findings if finding.file == file)
    found = [case for case in loaded.cases if (case.channel, case.name) == (channel, name)]
    if len(found) != 1 or findings:
        raise ConfigError(f"{file} cannot take the case; nothing was written", findings)
    return found[0]


def _shown(wish: Wish, recorded: dict[str, object]) -> str:
    outcome = recorded["outcome"]
    assert isinstance(outcome, dict)
    return case_text(wish.name, str(recorded["message"]), outcome)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
