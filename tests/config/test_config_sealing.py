"""The master key in hcsyncd.yaml: read where it is one, told where it is none, shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcsyncd.config.model import DaemonOptions
from hcsyncd.config.sealing import read_key, write_key
from tests.fakes.site_folder import SiteFolder

KEY = bytes(range(32))


@pytest.mark.parametrize("text", [KEY.hex(), KEY.hex().upper(), write_key(KEY), f" {write_key(KEY)}\n"])
def test_a_key_is_read_in_both_ways_of_writing(text: str) -> None:
    assert read_key(text) == KEY


@pytest.mark.parametrize("text", [KEY.hex()[:-2], write_key(KEY)[:-4], "x" * 64, "secret", "\N{SNOWMAN}" * 8, "=" * 44])
def test_what_is_no_key_is_told_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="is not 32 bytes in base64 or hexadecimal") as caught:
        read_key(text)
    assert text not in str(caught.value)


def test_a_site_names_its_key_by_a_reference(tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path)
    folder.write("hcsyncd.yaml", "encryption: {key: '${secret:store_key}'}\n")
    folder.write("secrets/store_key", write_key(KEY))
    (tmp_path / "secrets" / "store_key").chmod(0o600)
    site = folder.site()
    assert site.daemon.encryption.secret == KEY
    for shown in (repr(site), site.daemon.model_dump_json(), str(site.daemon)):
        assert write_key(KEY) not in shown
    folder.write("hcsyncd.yaml", "encryption: {key: '${STORE_KEY}'}\n")
    assert folder.site(STORE_KEY=KEY.hex()).daemon.encryption.secret == KEY


def test_a_key_that_is_none_is_a_finding_at_its_place(tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path).write("hcsyncd.yaml", "encryption:\n  key: '${STORE_KEY}'\n")
    (finding,) = folder.findings(STORE_KEY="hunter2hunter2")
    assert finding.startswith("hcsyncd.yaml:2:8 error ")
    assert "32 bytes in base64 or hexadecimal: `hcsyncd store make-key` writes one" in finding
    assert "hunter2" not in finding


def test_without_a_key_the_store_is_clear() -> None:
    assert DaemonOptions().encryption.secret is None
