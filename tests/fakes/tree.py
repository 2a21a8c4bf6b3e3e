"""The project's own tree, for the tests that read it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".ci", "bin", "channels", "docs", "engine", "mapping", "systemd", "tests", "tools", "transforms")
MADE = {"__pycache__", "node_modules", ".import_linter_cache", ".hypothesis"}


def project_files() -> Iterator[Path]:
    """Every file that belongs to the project: nothing that was made by running it."""
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not MADE & set(path.parts):
                yield path


def python_files(*folders: str) -> list[Path]:
    """The Python files of some of the top folders; of all of them by default."""
    wanted = folders or FOLDERS
    return [path for path in project_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in wanted]


def label(path: Path) -> str:
    """How a file is named in a failure."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=label(path))
