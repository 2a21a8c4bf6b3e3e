"""An older configuration becomes a site again, as long as it can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hcsyncd.errors import ControlError
from hcsyncd.runtime.activation import files_of
from hcsyncd.runtime.configurations import Configurations
from hcsyncd.runtime.site import check_site, transform_sources
from hcsyncd.store.ports import NewConfiguration
from hcsyncd.store.store import Store
from tests.fakes.clock import FakeClock
from tests.fakes.daemon import write_site
from tests.fakes.events import RecordedEvents

FILES = {
    "channels/adt_in.yaml": "source: {kind: mllp, port: 2575}\n",
    "channels/adt_in.test.yaml": "cases:\n  - name: n\n    message: {file: samples/a.hl7}\n    unrouted: true\n",
    "channels/samples/a.hl7": "MSH|^~\\&|A|||||||X^Y|1\n",
    "channels/out.yaml": (
        "destination: {kind: http, url: 'http://127.0.0.1/x', bearer_token: '${secret:token}'}\nformat: json\n"
    ),
    "routes.yaml": "routes:\n  - {name: events, from: adt_in, transform: t.f, to: out}\n",
    "transforms/t.py": (
        "from hcsyncd import Out, transform\n\n\n@transform\ndef f(document, context):\n    return Out({})\n"
    ),
    "secrets/token": "S3CRET",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    site = write_site(tmp_path / "site", FILES)
    (site / "secrets/token").chmod(0o600)
    return site


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "var", RecordedEvents(), FakeClock())
    yield opened
    await opened.close()


async def keep(store: Store, folder: Path) -> int:
    site = check_site(folder).site
    assert site is not None
    return await store.configurations.add(NewConfiguration(site.digest, "ada", "", files_of(site)))


async def test_a_generation_is_a_site_again_however_the_files_have_changed(store: Store, folder: Path) -> None:
    number = await keep(store, folder)
    (folder / "transforms/t.py").write_text("changed = True\n")
    (folder / "routes.yaml").unlink()
    configurations = Configurations(store.configurations, folder, folder / "var" / "configurations")
    async with configurations.site_of(number) as site:
        assert transform_sources(site).files == {"t.py": FILES["transforms/t.py"].encode()}
        assert [route.name for route in site.routes] == ["events"]
        place = site.folder
        assert (place.stat().st_mode & 0o777, (place / "routes.yaml").stat().st_mode & 0o777) == (0o700, 0o600)
    assert not place.exists()


async def test_no_secret_is_kept(store: Store, folder: Path) -> None:
    number = await keep(store, folder)
    files = await store.configurations.files(number)
    assert sorted(files) == [
        "channels/adt_in.test.yaml",
        "channels/adt_in.yaml",
        "channels/out.yaml",
        "channels/samples/a.hl7",
        "hcsyncd.yaml",
        "routes.yaml",
        "transforms/t.py",
    ]
    assert b"S3CRET" not in b"".join(files.values())


async def test_one_that_cannot_be_used_any_more_says_why(store: Store, folder: Path) -> None:
    number = await keep(store, folder)
    (folder / "secrets/token").unlink()
    configurations = Configurations(store.configurations, folder, folder / "var" / "configurations")
    with pytest.raises(ControlError, match=r"generation 1 can no longer be used: channels/out.yaml:.*secret token"):
        async with configurations.site_of(number):
            pass
    with pytest.raises(ControlError, match="there is no generation 9"):
        async with configurations.site_of(9):
            pass
    assert list((folder / "var" / "configurations").iterdir()) == []


async def test_what_a_killed_daemon_left_is_cleared_away(store: Store, folder: Path) -> None:
    left = folder / "var" / "configurations" / "left"
    left.mkdir(parents=True)
    Configurations(store.configurations, folder, left.parent)
    assert not left.parent.exists()
