from __future__ import annotations

from itertools import product

import hl7
import pytest
from hypothesis import given, strategies as st

from hcsyncd.errors import FormatError
from hcsyncd.formats.hl7.document import Encoded, Hl7Document

ADT = (
    b"MSH|^~\\&|PAS|STMARY|HCSYNC|REGION|2026||ADT^A01^ADT_A01|MSG1|P|2.5.1\r"
    b"PID|1||123^^^STMARY&1.2.3&ISO^MR~999^^^NHS^NH||DOE^JOHN\\T\\CO^^^MR||1962|M\r"
    b"OBX|1|TX|A||first~second\r"
    b"OBX|2|TX|B||third\r"
    b"ZPI|x||tail"
)


@pytest.fixture
def document() -> Hl7Document:
    return Hl7Document(ADT)


READINGS = {
    "MSH-1": "|",
    "MSH-2": "^~\\&",
    "MSH-2[1]": "^~\\&",
    "MSH-3": "PAS",
    "MSH-9": "ADT^A01^ADT_A01",
    "MSH-9.2": "A01",
    "MSH-12": "2.5.1",
    "PID-1": "1",
    "PID-3": "123^^^STMARY&1.2.3&ISO^MR~999^^^NHS^NH",
    "PID-3[1]": "123^^^STMARY&1.2.3&ISO^MR",
    "PID-3.1": "123",
    "PID-3[2].1": "999",
    "PID-3.4": "STMARY&1.2.3&ISO",
    "PID-3.4.2": "1.2.3",
    "PID-3[2].4.1": "NHS",
    "PID-5.2": "JOHN&CO",
    "PID-8": "M",
    "PID-8.1": "M",
    "PID-8[1].1.1": "M",
    "OBX-5": "first~second",
    "OBX-5.1": "first",
    "OBX-5[2]": "second",
    "OBX(2)-5": "third",
    "ZPI-3": "tail",
    "ZPI": "ZPI|x||tail",
    "OBX(2)": "OBX|2|TX|B||third",
}
NOTHING = [
    *("PID-2", "PID-3.2", "PID-3[3]", "PID-3[3].1", "PID-3.1.2", "PID-8[2]", "PID-8.2", "PID-40", "OBX(3)-5"),
    *("OBX(3)", "PV1-2", "PV1", "MSH-30", "MSH-1[2]", "MSH-2.2"),
]


@pytest.mark.parametrize("path", READINGS)
def test_reads_every_kind_of_path(document: Hl7Document, path: str) -> None:
    assert document.get(path) == document[path] == READINGS[path]
    assert path in document


@pytest.mark.parametrize("path", NOTHING)
def test_nothing_is_none_or_an_empty_text(document: Hl7Document, path: str) -> None:
    assert document.get(path) is None
    assert document[path] == ""
    assert path not in document
    assert document.all(path) == []


def test_the_explicit_null_of_hl7_is_a_value() -> None:
    assert Hl7Document(b'MSH|^~\\&|""\r').get("MSH-3") == '""'


def test_all_goes_over_segments_and_repetitions(document: Hl7Document) -> None:
    assert document.all("OBX-5") == ["first", "second", "third"]
    assert document.all("OBX(1)-5") == ["first", "second"]
    assert document.all("OBX-3") == ["A", "B"]
    assert document.all("PID-3.1") == ["123", "999"]
    assert document.all("PID-3[2].1") == ["999"]
    assert document.all("PID-3.4.2") == ["1.2.3"]
    assert document.all("MSH-2") == ["^~\\&"]
    assert document.all("OBX") == ["OBX|1|TX|A||first~second", "OBX|2|TX|B||third"]


def test_counts_segments_and_repetitions(document: Hl7Document) -> None:
    assert [document.count(path) for path in ("OBX", "PV1", "PID-3", "PID-8", "PID-2", "PV1-3")] == [2, 0, 2, 1, 0, 0]


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("MSH-5", "LAB", b"MSH|^~\\&|PAS|STMARY|LAB|REGION|2026||ADT^A01^ADT_A01|MSG1|P|2.5.1"),
        ("ZPI-2", "y", b"ZPI|x|y|tail"),
        ("ZPI-5", "y", b"ZPI|x||tail||y"),
        ("ZPI-1.3", "y", b"ZPI|x^^y||tail"),
        ("ZPI-1[3].2", "y", b"ZPI|x~~^y||tail"),
        ("ZPI-1.1.2", "y", b"ZPI|x&y||tail"),
        ("ZPI-1", "a^b&c~d|e\\", b"ZPI|a\\S\\b\\T\\c\\R\\d\\F\\e\\E\\||tail"),
        ("ZPI-1", ["a", "b&", ""], b"ZPI|a^b\\T\\^||tail"),
        ("ZPI-1", ["a", ["b", "c"]], b"ZPI|a^b&c||tail"),
        ("ZPI-1.2", ["a", "b"], b"ZPI|x^a&b||tail"),
        ("ZPI-1", Encoded("a^b~c\\T\\d"), b"ZPI|a^b~c\\T\\d||tail"),
        ("ZPI-1", "", b"ZPI|||tail"),
        ("OBX(2)-5[2]", "4th", b"OBX|2|TX|B||third~4th"),
        ("PID-3[2].1", "7", b"PID|1||123^^^STMARY&1.2.3&ISO^MR~7^^^NHS^NH||DOE^JOHN\\T\\CO^^^MR||1962|M"),
    ],
)
def test_a_change_touches_nothing_else(document: Hl7Document, path: str, value: str, line: bytes) -> None:
    before = ADT.split(b"\r")
    document[path] = value
    after = document.to_bytes().split(b"\r")
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [line]


def test_a_field_with_parts_can_be_copied_as_it_is(document: Hl7Document) -> None:
    document["ZPI-2"] = document["PID-3"]
    document["ZPI-1"] = document["PID-5.2"]
    assert document["ZPI"] == "ZPI|JOHN\\T\\CO|123^^^STMARY&1.2.3&ISO^MR~999^^^NHS^NH|tail"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("PID-8", Encoded("a|b")),
        ("PID-8[1]", Encoded("a~b")),
        ("PID-8.1", Encoded("a^b")),
        ("PID-8.1.1", Encoded("a&b")),
    ],
)
def test_encoded_text_cannot_break_out_of_its_place(document: Hl7Document, path: str, value: str) -> None:
    with pytest.raises(FormatError, match="a delimiter of a level above it") as caught:
        document[path] = value
    assert caught.value.reason == "bad-value"
    assert document.to_bytes() == ADT


@pytest.mark.parametrize("path", ["MSH-1", "MSH-2", "PID", "OBX(2)"])
def test_names_and_delimiters_stay(document: Hl7Document, path: str) -> None:
    with pytest.raises(FormatError) as caught:
        document[path] = "x"
    assert caught.value.reason == "read-only"
    assert document.to_bytes() == ADT


def test_a_missing_segment_is_not_invented(document: Hl7Document) -> None:
    with pytest.raises(FormatError, match='add_segment\\("PV1"\\)') as caught:
        document["PV1-2"] = "I"
    assert caught.value.reason == "no-segment"


def test_only_text_and_lists_of_text_can_be_written(document: Hl7Document) -> None:
    with pytest.raises(TypeError, match="PID-8 takes a text or a list of texts, not int"):
        document["PID-8"] = 7  # type: ignore[assignment]
    with pytest.raises(FormatError, match="has no parts"):
        document["PID-8.1.1"] = ["a", "b"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("PID-3[1]", b"PID|1||999^^^NHS^NH||DOE^JOHN\\T\\CO^^^MR||1962|M"),
        ("PID-3[2]", b"PID|1||123^^^STMARY&1.2.3&ISO^MR||DOE^JOHN\\T\\CO^^^MR||1962|M"),
        ("PID-3", b"PID|1||||DOE^JOHN\\T\\CO^^^MR||1962|M"),
        ("PID-5.2", b"PID|1||123^^^STMARY&1.2.3&ISO^MR~999^^^NHS^NH||DOE^^^^MR||1962|M"),
        ("PID-3.4.2", b"PID|1||123^^^STMARY&&ISO^MR~999^^^NHS^NH||DOE^JOHN\\T\\CO^^^MR||1962|M"),
    ],
)
def test_delete(document: Hl7Document, path: str, line: bytes) -> None:
    del document[path]
    assert document.to_bytes().split(b"\r")[1] == line


@pytest.mark.parametrize("path", ["PID-40", "PID-3[9]", "PID-3.9", "PV1-2", "PV1", "OBX(9)"])
def test_deleting_nothing_changes_nothing(document: Hl7Document, path: str) -> None:
    document.delete(path)
    assert document.to_bytes() == ADT


def test_add_appends_a_repetition(document: Hl7Document) -> None:
    document.add("PID-3", ["7", "", "", "LAB"])
    document.add("ZPI-2", "only")
    document.add("OBX(2)-5", "4th")
    assert document.all("PID-3.1") == ["123", "999", "7"]
    assert document["ZPI"] == "ZPI|x|only|tail"
    assert document.all("OBX(2)-5") == ["third", "4th"]


def test_segments_are_read_and_changed_in_place(document: Hl7Document) -> None:
    for number, obx in enumerate(document.segments("OBX"), 1):
        obx["1"] = str(number * 10)
        obx.set("4.2", "sub")
    assert document.all("OBX-1") == ["10", "20"]
    assert [segment.id for segment in document.segments()] == ["MSH", "PID", "OBX", "OBX", "ZPI"]
    assert document.segments("OBX")[0].all("5") == ["first", "second"]
    assert b"OBX|20|TX|B|^sub|third\r" in document.to_bytes()


def test_segments_can_be_added_and_removed(document: Hl7Document) -> None:
    pv1 = document.add_segment("PV1", ["1", "I", ["ORTHO", "201"]], after=document.segments("PID")[0])
    document.add_segment("ZZZ", ["end"])
    pv1["4"] = "U"
    del document["OBX"]
    document.remove_segment(document.segments("OBX")[0])
    assert document.to_bytes().split(b"\r")[2:] == [b"PV1|1|I|ORTHO^201|U", b"ZPI|x||tail", b"ZZZ|end"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"MSH|^~\\&|A\r", b"MSH|^~\\&|A\rNTE|1\r"),
        (b"MSH|^~\\&|A", b"MSH|^~\\&|A\rNTE|1"),
        (b"MSH|^~\\&|A\nPID|1\n\n", b"MSH|^~\\&|A\nPID|1\nNTE|1\n\n"),
        (b"MSH|^~\\&|A\r\nPID|1", b"MSH|^~\\&|A\r\nPID|1\r\nNTE|1"),
    ],
)
def test_an_added_segment_ends_as_its_neighbours_do(body: bytes, expected: bytes) -> None:
    document = Hl7Document(body)
    document.add_segment("NTE", ["1"])
    assert document.to_bytes() == expected


def test_the_header_stays(document: Hl7Document) -> None:
    with pytest.raises(FormatError) as caught:
        document.delete("MSH")
    assert caught.value.reason == "read-only"


LAYOUTS = [
    b"MSH|^~\\&|A\r",
    b"MSH|^~\\&|A",
    b"MSH|^~\\&|A\r\nPID|1\r\n",
    b"MSH|^~\\&|A\nPID|1\n\n\nOBX|1",
    b"MSH|^~\\&|A\r\r\nPID|1\nOBX|1\n\r",
    b"\xef\xbb\xbf\r\n MSH|^~\\&|A\rPID|1\r",
    b"MSH|^~\\&|A\rjunk line\rPID|1\r\x00\xff\r\r",
    b"MSH|^~\\&|A\rOBX|1|TX|||wrapped\nover lines\nand on\rPID|1\r",
    b"FHS|^~\\&|A\rBHS|^~\\&|A\rMSH|^~\\&|B\rPID|1\rBTS|1\rFTS|1\r",
    b"MSH|^~\\&|A\rPID|1|\xc3\xa9|\xe9|\xff\xfe\r",
    "MSH|^~\\&|A|||||||||||||||ISO IR87\rPID|1||山田^太郎\r".encode("iso2022_jp"),
]


@pytest.mark.parametrize(("body", "touch"), list(product(LAYOUTS, [False, True])))
def test_everything_that_is_not_touched_stays_byte_for_byte(body: bytes, touch: bool) -> None:
    document = Hl7Document(body)
    assert document.to_bytes() == body
    if touch:
        header = document.segments()[0]
        header["3"] = "TOUCHED"
        assert document.to_bytes() == body.replace(b"\\&|A", b"\\&|TOUCHED", 1)


def test_lines_are_told_apart_whatever_ends_them() -> None:
    document = Hl7Document(b"MSH|^~\\&|A\nPID|1\r\nPV1|1|I\rOBX|1|TX|||one\ntwo\nNTE|1\npv2|x\n")
    assert [segment.id for segment in document.segments()] == ["MSH", "PID", "PV1", "OBX", "NTE", "PV2"]
    assert document["PV1-2"] == "I"
    assert document["PV2-1"] == "x"


def test_a_wrapped_text_is_read_whole_where_segments_end_with_cr() -> None:
    document = Hl7Document(b"MSH|^~\\&|A\rOBX|1|TX|||one\ntwo\rNTE|1\r")
    assert document["OBX-5"] == "one\ntwo"
    assert document["NTE-1"] == "1"


def test_other_delimiters_and_missing_ones() -> None:
    document = Hl7Document(b"MSH!*+$%!A!!!!!!ADT*A01\rPID!1!!7*x%y+8\r")
    assert (document["MSH-9.2"], document["PID-3.2.2"], document["PID-3[2]"]) == ("A01", "y", "8")
    document["PID-5"] = "a|b!c"
    assert b"!a|b$F$c\r" in document.to_bytes()
    bare = Hl7Document(b"MSH|^|A\rPID|1||7^x~y&z\r")
    assert bare["PID-3.2"] == "x~y&z"
    bare["PID-3.1"] = "~&"
    assert bare["PID-3.1"] == "~&"
    with pytest.raises(FormatError, match="declares no delimiter"):
        bare["PID-3[2]"] = "x"


def test_values_are_read_and_written_in_the_message_s_own_character_set() -> None:
    latin = Hl7Document("MSH|^~\\&|A|||||||||||||||8859/1\rPID|1||Müller\r".encode("latin-1"))
    assert latin["PID-3"] == "Müller"
    latin["PID-5"] = "Señor & Söhne"
    assert latin.to_bytes().endswith("|Müller||Señor \\T\\ Söhne\r".encode("latin-1"))
    japanese = Hl7Document("MSH|^~\\&|A|||||||||||||||~ISO IR87\rPID|1||山田^太郎\r".encode("iso2022_jp"))
    assert japanese["PID-3.2"] == "太郎"
    japanese["PID-5"] = "能美"
    assert Hl7Document(japanese.to_bytes())["PID-5"] == "能美"


def test_hex_escapes_are_bytes_of_the_character_set() -> None:
    assert Hl7Document(b"MSH|^~\\&|caf\\XC3A9\\\r")["MSH-3"] == "café"
    assert Hl7Document(b"MSH|^~\\&|caf\\XE9\\|||||||||||||||8859/1\r")["MSH-3"] == "café"


def test_without_a_declaration_the_bytes_decide() -> None:
    assert Hl7Document("MSH|^~\\&|Zoë\r".encode())["MSH-3"] == "Zoë"
    latin = Hl7Document("MSH|^~\\&|Zoë\r".encode("latin-1"))
    assert latin["MSH-3"] == "Zoë"
    latin["MSH-4"] = "ñ"
    assert latin.to_bytes() == "MSH|^~\\&|Zoë|ñ\r".encode("latin-1")


def test_a_channel_may_overrule_the_character_set() -> None:
    body = "MSH|^~\\&|Иванов|||||||||||||||8859/1\r".encode("iso8859-5")
    assert Hl7Document(body, "8859/5")["MSH-3"] == "Иванов"


def test_a_new_msh_18_writes_everything_in_that_character_set() -> None:
    document = Hl7Document("MSH|^~\\&|Müller|||||||||||||||8859/1\rPID|1||ñ\rjunk ü\r".encode("latin-1"))
    with pytest.raises(FormatError, match="set MSH-18 to UNICODE UTF-8 first"):
        document["PID-5"] = "Łódź"
    document["MSH-18"] = "UNICODE UTF-8"
    document["PID-5"] = "Łódź"
    text, junk = "MSH|^~\\&|Müller|||||||||||||||UNICODE UTF-8\rPID|1||ñ||Łódź\r", "junk ü\r"
    assert document.to_bytes() == text.encode() + junk.encode("latin-1")
    document["MSH-18"] = "GB 18030-2000"
    assert Hl7Document(document.to_bytes(), "GB 18030-2000")["PID-5"] == "Łódź"


def test_a_segment_alone_cannot_change_its_character_set(document: Hl7Document) -> None:
    with pytest.raises(FormatError, match='write document\\["MSH-18"\\]'):
        document.segments("MSH")[0]["18"] = "8859/1"
    assert document.to_bytes() == ADT


def test_a_character_set_that_cannot_hold_the_message_changes_nothing() -> None:
    body = "MSH|^~\\&|Łódź|||||||||||||||UNICODE UTF-8\r".encode()
    document = Hl7Document(body)
    with pytest.raises(FormatError) as caught:
        document["MSH-18"] = "8859/1"
    assert caught.value.reason == "not-encodable"
    assert document.to_bytes() == body


def test_tree_gives_the_message_of_python_hl7(document: Hl7Document) -> None:
    tree = Hl7Document(ADT.replace(b"\r", b"\n")).tree()
    assert isinstance(tree, hl7.Message)
    assert str(tree.segment("PID")(3)(2)(1)) == "999"
    assert [str(segment[0]) for segment in tree] == ["MSH", "PID", "OBX", "OBX", "ZPI"]


def test_contents_stay_out_of_what_is_logged(document: Hl7Document) -> None:
    assert "DOE" not in repr(document) + repr(document.segments("PID"))


VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PLACES = st.sampled_from(["PID-8", "PID-3.2", "PID-3[4].2.3", "ZPI-9", "OBX(2)-5[2]", "MSH-3.1", "PID-5[1]"])


@given(PLACES, VALUES)
def test_any_text_is_read_as_it_was_written(path: str, value: str) -> None:
    document = Hl7Document(ADT)
    document[path] = value
    assert document[path] == value
    assert not isinstance(document[path], Encoded)
    assert Hl7Document(document.to_bytes())[path] == value


@given(st.binary(max_size=120), st.sampled_from([b"", b"ISO IR87", b"GB 18030-2000", b"8859/5", b"ASCII", b"ISO IR14"]))
def test_any_bytes_behind_a_header_survive(tail: bytes, charset: bytes) -> None:
    body = b"MSH|^~\\&|A|||||||||||||||" + charset + b"\r" + tail
    document = Hl7Document(body)
    segments = document.segments()
    for segment in segments:
        for number in range(1, 5):
            if (value := segment.get(str(number))) is not None:
                value.encode()
            segment.all(f"{number}.1")
    assert document.to_bytes() == body
    segments[0]["3"] = "B"
    assert document.to_bytes() == body.replace(b"\\&|A", b"\\&|B", 1)
