"""A site's ``transforms/`` folder, written for a test."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

HEADER = "from hcsyncd import Context, Drop, Hl7Document, Out, Reject, filter, transform\n"


def write_transforms(folder: Path, **files: str) -> Path:
    """``write_transforms(tmp_path, events="...")`` writes ``transforms/events.py``; ``__`` in a name is a sub-folder.
    Each file begins with one line that imports what a transform's author uses, so its own first line is line 2."""
    transforms = folder / "transforms"
    for name, source in files.items():
        path = transforms / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + dedent(source).lstrip("\n"))
    transforms.mkdir(exist_ok=True)
    return transforms
