"""Where the reference site is, which `init` copies and `demo` plays."""

from __future__ import annotations

from pathlib import Path

import hcsyncd
from hcsyncd.errors import ConfigError


def starter() -> Path:
    """Inside an installed package, or at the top of the checkout."""
    package = Path(hcsyncd.__file__).parent
    for folder in (package / "starter", package.parents[1]):
        if (folder / "routes.yaml").is_file():
            return folder
    raise ConfigError(f"this installation has no starter site beside {package}; install hcsyncd again")
