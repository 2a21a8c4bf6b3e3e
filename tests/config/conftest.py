"""A site in a folder of the test's own."""

from pathlib import Path

import pytest

from tests.fakes.site_folder import SiteFolder


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path / "site")
