"""One more line in a table: everything else in the file stays as a person left it."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from hcsyncd.config.finding import Report
from hcsyncd.config.site_files import SiteFiles
from hcsyncd.config.table_edit import enter, with_entry
from hcsyncd.config.tables import read_tables
from hcsyncd.errors import ConfigError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0", exclude_categories=["Cc", "Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"code,value\nA,1\n", b"code,value\nA,1\nN,new\n"),
        (b"code,value\r\nA,1\r\n", b"code,value\r\nA,1\r\nN,new\r\n"),
        (b"code,value\nA,1", b"code,value\nA,1\nN,new\n"),
        (b"code,value", b"code,value\nN,new\n"),
        (b"\xef\xbb\xbfcode,value\nA,1\n", b"\xef\xbb\xbfcode,value\nA,1\nN,new\n"),
        (b"code, value,note\nA,1,\xc3\xa4\n\n", b"code, value,note\nA,1,\xc3\xa4\n\nN,new,\n"),
        (b'code,value\n"A","x, y"\n', b'code,value\n"A","x, y"\nN,new\n'),
    ],
)
def test_a_line_is_added_in_the_form_of_the_file(before: bytes, after: bytes) -> None:
    assert with_entry(before, "N", "new") == after


def test_what_needs_quotes_gets_them() -> None:
    assert with_entry(b"code,value\n", 'a,"b', " x ") == b'code,value\n"a,""b", x \n'


def test_a_code_that_is_there_is_replaced_in_its_line_when_it_is_said() -> None:
    before = b'code,value,note\nA,1,"two\nlines"\nB,2,\n'
    with pytest.raises(ConfigError, match="stands there already"):
        with_entry(before, "A", "3")
    assert with_entry(before, "A", "3", replace=True) == b'code,value,note\nA,3,"two\nlines"\nB,2,\n'
    assert with_entry(before, "B", "2") is before


@pytest.mark.parametrize(("code", "value"), [("", "x"), ("a\nb", "x"), ("a", "x\r"), ("a\0", "x")])
def test_what_is_no_code_is_refused(code: str, value: str) -> None:
    with pytest.raises(ConfigError, match="one line"):
        with_entry(b"code,value\n", code, value)


@given(st.dictionaries(CELLS.filter(bool), CELLS, max_size=6), CELLS.filter(bool), CELLS)
def test_what_was_entered_is_read_again_and_nothing_else_has_changed(
    known: dict[str, str], code: str, value: str
) -> None:
    content = b"code,value\n"
    for one, other in known.items():
        content = with_entry(content, one, other)
    changed = with_entry(content, code, value, replace=True)
    assert entries(changed) == {**known, code: value}
    if code not in known:
        assert changed.startswith(content)


def entries(content: bytes) -> dict[str, str]:
    """As the site's own reader has them."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "mapping" / "t.csv"
        table.parent.mkdir()
        table.write_bytes(content)
        report = Report()
        found = read_tables(SiteFiles(Path(folder), report), report)["t"]
        assert report.findings() == ()
        return found


def test_the_file_keeps_its_rights_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    table = tmp_path / "mapping" / "wards.csv"
    table.parent.mkdir()
    table.write_bytes(b"code,value\n")
    table.chmod(0o640)
    assert enter(tmp_path, "wards", "N", "new") == (table, b"code,value\n")
    assert table.read_bytes() == b"code,value\nN,new\n"
    assert stat.S_IMODE(table.stat().st_mode) == 0o640
    assert [path.name for path in table.parent.iterdir()] == ["wards.csv"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"kode;value\n", "the first line must be code,value"),
        (b'code,value\n"a', "cannot be read"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_left_alone(tmp_path: Path, content: bytes, text: str) -> None:
    table = tmp_path / "mapping" / "wards.csv"
    table.parent.mkdir()
    table.write_bytes(content)
    with pytest.raises(ConfigError, match=text):
        enter(tmp_path, "wards", "N", "new")
    assert table.read_bytes() == content


def test_a_table_of_another_kind_is_not_touched(tmp_path: Path) -> None:
    table = tmp_path / "mapping" / "wards.yaml"
    table.parent.mkdir()
    table.write_text("A: 1\n")
    with pytest.raises(ConfigError, match="edited by hand"):
        enter(tmp_path, "wards", "N", "new")
    with pytest.raises(ConfigError, match="there is no mapping table wrads; known: none"):
        enter(tmp_path, "wrads", "N", "new")
