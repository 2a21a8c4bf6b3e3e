"""What a transform's author imports is there, and costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hcsyncd


@pytest.mark.parametrize("name", hcsyncd.__all__)
def test_every_name_is_there_and_listed(name: str) -> None:
    assert getattr(hcsyncd, name).__name__ == name
    assert name in dir(hcsyncd)


def test_what_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="'hcsyncd' has no attribute 'Nonsense'"):
        hcsyncd.Nonsense  # noqa: B018 - the look-up is what is tried


def test_the_package_alone_imports_no_format_and_no_library() -> None:
    code = "import sys, hcsyncd; print([name for name in sys.modules if name.startswith(('hcsyncd.', 'pydantic'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
