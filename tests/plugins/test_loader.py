"""Loading a site's transforms: names, generations side by side, and everything that can be wrong, all at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from hcsyncd.errors import PluginError
from hcsyncd.plugins.loader import PACKAGE, Fault, FaultyPlugins, Plugins, Sources, load_plugins, unload
from tests.fakes.transforms import write_transforms

generations = count(1000)

ECHO = """
@transform
def echo(document: Hl7Document, context: Context) -> Out:
    return Out(document)
"""


@pytest.fixture(autouse=True)
def nothing_stays_loaded() -> Iterator[None]:
    yield
    for name in list(sys.modules):
        if name.startswith(PACKAGE):
            unload(int(name.removeprefix(PACKAGE).split(".")[0]))


def load(folder: Path) -> Plugins:
    return load_plugins(Sources.read(folder), next(generations))


def faults_of(folder: Path) -> tuple[Fault, ...]:
    with pytest.raises(FaultyPlugins) as caught:
        load(folder)
    return caught.value.faults


def test_marked_functions_are_named_by_file_and_function(tmp_path: Path) -> None:
    plugins = load(
        write_transforms(
            tmp_path,
            events=ECHO + "\ndef not_marked(document, context): ...\n",
            wards="@filter\ndef known(document, context):\n    return True\n",
            supply__orders="@transform\ndef made(document, context):\n    return Drop('x')\n",
        )
    )
    assert plugins.names() == {
        "events.echo": "transform",
        "supply.orders.made": "transform",
        "wards.known": "filter",
    }
    assert plugins.filter("wards.known")(None, None) is True


@pytest.mark.parametrize("name", ["events.ecco", "events", "", "events.not_marked", "events.kept"])
def test_a_name_that_is_not_there_lists_those_that_are(tmp_path: Path, name: str) -> None:
    plugins = load(write_transforms(tmp_path, events=ECHO + "\n@filter\ndef kept(document, context): ...\n"))
    with pytest.raises(PluginError, match=r"there is no transform .* known: events\.echo"):
        plugins.transform(name)
    with pytest.raises(PluginError, match=r"there is no filter .* known: events\.kept"):
        plugins.filter("events.echo")


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert load(tmp_path / "transforms").names() == {}


def test_files_import_one_another_relatively(tmp_path: Path) -> None:
    plugins = load(
        write_transforms(
            tmp_path,
            events="from .names import ward\n@transform\ndef place(document, context):\n    return ward('ICU')\n",
            names="def ward(code):\n    return code.lower()\n",
            supply__orders="from ..names import ward\n@transform\ndef place(document, _):\n    return ward('OR')\n",
        )
    )
    assert plugins.transform("events.place")(None, None) == "icu"
    assert plugins.transform("supply.orders.place")(None, None) == "or"


def test_nothing_is_found_through_the_path_or_left_on_disk(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, events=ECHO)
    path_before = list(sys.path)
    load(folder)
    assert sys.path == path_before
    assert "events" not in sys.modules
    assert [path.name for path in folder.rglob("*")] == ["events.py"]


def test_two_generations_live_side_by_side(tmp_path: Path) -> None:
    source = "from .names import answer\n@transform\ndef say(document, context):\n    return answer()\n"
    folder = write_transforms(tmp_path, events=source, names="def answer():\n    return 'old'\n")
    old = load(folder)
    write_transforms(tmp_path, names="def answer():\n    return 'new'\n")
    new = load(folder)
    assert (old.transform("events.say")(None, None), new.transform("events.say")(None, None)) == ("old", "new")


def test_sources_that_were_read_stay_what_they_were(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, events="@transform\ndef say(document, context):\n    return 'read'\n")
    sources = Sources.read(folder)
    write_transforms(tmp_path, events="@transform\ndef say(document, context):\n    return 'changed'\n")
    again = load_plugins(sources, next(generations))
    assert again.transform("events.say")(None, None) == "read"


def test_unloading_drops_modules_and_leaves_other_generations(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, events=ECHO)
    first, second = next(generations), next(generations)
    finders = len(sys.meta_path)
    held = load_plugins(Sources.read(folder), first).transform("events.echo")
    load_plugins(Sources.read(folder), second)
    unload(first)
    names = {name for name in sys.modules if name.startswith(PACKAGE)}
    assert names == {f"{PACKAGE}{second}", f"{PACKAGE}{second}.events"}
    assert held.__module__ == f"{PACKAGE}{first}.events"
    unload(second)
    assert len(sys.meta_path) == finders


def test_a_number_is_part_of_a_generation_and_not_its_beginning(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, events=ECHO)
    load_plugins(Sources.read(folder), 90001)
    load_plugins(Sources.read(folder), 900010)
    unload(90001)
    assert f"{PACKAGE}900010.events" in sys.modules


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    folder = write_transforms(
        tmp_path,
        a_syntax="def broken(:\n    pass\n",
        b_missing="import no_such_library_anywhere\n",
        c_raises="def inner():\n    raise ValueError('at import')\n\n\ninner()\n",
        d_exits="import sys\nsys.exit(3)\n",
        e_signature="@transform\ndef narrow(document):\n    return None\n",
        f_async="@filter\nasync def later(document, context):\n    return True\n",
        g_good=ECHO,
    )
    faults = faults_of(folder)
    assert [(fault.file, fault.line, fault.code) for fault in faults] == [
        ("transforms/a_syntax.py", 2, "plugin-syntax"),
        ("transforms/b_missing.py", 2, "plugin-import"),
        ("transforms/c_raises.py", 3, "plugin-import"),
        ("transforms/d_exits.py", 3, "plugin-exit"),
        ("transforms/e_signature.py", 2, "plugin-signature"),
        ("transforms/f_async.py", 2, "plugin-signature"),
    ]
    assert faults[0].column == 12
    assert "no_such_library_anywhere" in faults[1].text
    assert "ValueError: at import" in faults[2].text
    assert "(document, context)" in faults[4].text
    assert str(faults[0]).startswith("transforms/a_syntax.py:2:12 error plugin-syntax: ")
    assert not any(name.startswith(PACKAGE) for name in sys.modules)


def test_a_fault_in_a_shared_file_is_told_once(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, a="from .names import x\n", b="from .names import x\n", names="x = 1 / 0\n")
    assert [(fault.file, fault.line) for fault in faults_of(folder)] == [("transforms/names.py", 2)]


def test_an_absolute_import_of_a_neighbour_gets_the_relative_form(tmp_path: Path) -> None:
    (fault,) = faults_of(write_transforms(tmp_path, events="from names import ward\n", names="def ward(): ...\n"))
    assert "from .names import ..." in fault.hint


@pytest.mark.parametrize("content", [b"x = 1\0\n", b"\xff\xfe\x00", b"# coding: no-such-codec\n", b"x = '\xe9'\n"])
def test_a_file_that_is_no_python_text_is_a_fault(tmp_path: Path, content: bytes) -> None:
    folder = write_transforms(tmp_path)
    (folder / "odd.py").write_bytes(content)
    assert [fault.file for fault in faults_of(folder)] == ["transforms/odd.py"]


def test_links_that_lead_nowhere_are_no_files(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path)
    (folder / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert load(folder).names() == {}
    (folder / "loop.py").symlink_to("loop.py")
    assert load(folder).names() == {}
