"""Our reading against python-hl7's, on generated messages."""

from __future__ import annotations

import hl7
from hypothesis import given, strategies as st

from hcsyncd.formats.hl7.document import Encoded, Hl7Document

TEXTS = [
    "a",
    "Doe",
    "7.5",
    "(x)",
    " ",
    "Ward 3",
    '""',
    "\\F\\",
    "\\S\\",
    "\\T\\",
    "\\R\\",
    "\\E\\",
    "\\X41\\",
    "\\X7C\\",
]
SEGMENTS = ["\rPID|", "\rPV1|", "\rOBX|", "\rZPI|"]

# Flat, not nested: cheap to generate, and every nesting of delimiters comes up.
fields = st.lists(st.sampled_from([*TEXTS, "~", "^", "&"]), max_size=12).map("".join)
messages = st.lists(st.sampled_from([*TEXTS, "~", "^", "^", "&", "|", "|", "|", *SEGMENTS]), max_size=60).map(
    lambda parts: "MSH|^~\\&|APP|FAC||||2026||ADT^A01|1|P|2.5\rPID|" + "".join(parts) + "\rNTE|1\r"
)


def oracle(tree: hl7.Message, name: str, occurrence: int, place: tuple[int, int, int, int]) -> str:
    """python-hl7's text of one sub-component, unescaped; "" when nothing is there."""
    node: object = [segment for segment in tree if str(segment[0]) == name][occurrence - 1]
    field, repetition, component, subcomponent = place
    for number in (field, repetition - 1, component - 1, subcomponent - 1):
        if isinstance(node, str):
            if number:
                return ""
            continue
        assert isinstance(node, hl7.Container)
        if number >= len(node):
            return ""
        node = node[number]
    return str(tree.unescape(str(node)))


@given(messages, st.data())
def test_every_element_reads_as_python_hl7_reads_it(text: str, data: st.DataObject) -> None:
    document = Hl7Document(text.encode())
    tree = hl7.parse(text)
    names = [str(segment[0]) for segment in tree]
    assert [segment.id for segment in document.segments()] == names
    for name in set(names) - {"MSH"}:
        for occurrence in range(1, names.count(name) + 1):
            place = data.draw(st.tuples(*(st.integers(1, 7 if level == 0 else 4) for level in range(4))))
            path = f"{name}({occurrence})-{place[0]}[{place[1]}].{place[2]}.{place[3]}"
            assert document[path] == oracle(tree, name, occurrence, place)


@given(messages)
def test_whole_fields_read_as_python_hl7_writes_them(text: str) -> None:
    document = Hl7Document(text.encode())
    for ours, theirs in zip(document.segments(), hl7.parse(text), strict=True):
        assert str(ours.get("9") or "") == (str(theirs(9)) if len(theirs) > 9 else "")
        for number in range(3, len(theirs)):
            value = ours[str(number)]
            if isinstance(value, Encoded):
                assert value == str(theirs(number))


@given(messages, fields)
def test_what_we_write_python_hl7_reads(text: str, value: str) -> None:
    document = Hl7Document(text.encode())
    segment = document.add_segment("ZZZ", ["", Encoded(value)])
    segment["5.2"] = "a|b^c~d\\e&f"
    tree = hl7.parse(document.to_bytes().decode())
    assert str(tree.segment("ZZZ")(2)) == value
    assert tree.unescape(str(tree.segment("ZZZ")(5)(1)(2))) == "a|b^c~d\\e&f"


@given(messages)
def test_tree_is_the_message(text: str) -> None:
    assert str(Hl7Document(text.encode()).tree()) == str(hl7.parse(text))
