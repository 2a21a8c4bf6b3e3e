"""One step: every kind of result, every kind of failure, and what a failure may say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from hcsyncd.formats.registry import FORMATS
from hcsyncd.plugins.job import Dropped, Failed, Job, Made, MadeOut, Passed, Step, StepResult
from hcsyncd.plugins.loader import Plugins, Sources, load_plugins, unload
from hcsyncd.plugins.step import MAX_TEXT, blotted, run_step
from tests.fakes.jobs import ADMISSION, make_job
from tests.fakes.transforms import write_transforms

HL7 = FORMATS["hl7"].build(FORMATS["hl7"].options())
TABLES = {"wards": {"ICU": "Intensive care"}}

generations = count(2000)


class Bench:
    """Runs one function, given as source, on one message."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: list[int] = []

    def load(self, source: str) -> Plugins:
        self._loaded.append(next(generations))
        return load_plugins(Sources.read(write_transforms(self._folder, t=source)), self._loaded[-1])

    def run(self, body_of_f: str, job: Job | None = None) -> StepResult:
        """``f`` starts at line 2 of transforms/t.py, its own first line is line 4."""
        lines = "\n".join(f"    {line}" for line in body_of_f.splitlines())
        plugins = self.load(f"@transform\ndef f(document: Hl7Document, context: Context):\n{lines}\n")
        job = job or make_job("t.f")
        return run_step(plugins, HL7, job, job.steps[0], TABLES)

    def run_filter(self, returned: str, transform: str = "") -> StepResult:
        plugins = self.load(
            f"@filter\ndef kept(document, context):\n    return {returned}\n"
            "@transform\ndef made(document, context):\n    return Out('made')\n"
        )
        job = make_job(transform, filter="t.kept")
        return run_step(plugins, HL7, job, job.steps[0], TABLES)

    def close(self) -> None:
        for generation in self._loaded:
            unload(generation)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def only_out(result: StepResult) -> MadeOut:
    assert isinstance(result, Made), result
    (out,) = result.outs
    return out


def test_a_changed_document_is_rendered_and_peeked(bench: Bench) -> None:
    out = only_out(bench.run("document['MSH-5'] = 'LAB'\ndocument['MSH-10'] = 'X1'\nreturn Out(document)"))
    assert out.body == ADMISSION.replace(b"HCSYNCD", b"LAB").replace(b"MSG00001", b"X1")
    assert (out.type, out.control_id, out.content_type) == ("ADT^A01", "X1", "")


def test_a_dict_becomes_json(bench: Bench) -> None:
    out = only_out(bench.run("return Out({'name': 'Zoë', 'ward': context.lookup('wards', 'ICU')}, type='admitted')"))
    assert out.body == '{"name":"Zoë","ward":"Intensive care"}'.encode()
    assert (out.content_type, out.type, out.control_id) == ("application/json", "admitted", "")


def test_every_word_about_an_out_is_kept(bench: Bench) -> None:
    out = only_out(
        bench.run("return Out(b'x', content_type='a/b', type='t', to='d', lane='l', name='n', headers={'H': 'v'})")
    )
    assert out == MadeOut(b"x", "a/b", "t", "", "d", "l", "n", {"H": "v"})


def test_several_outs_keep_their_order(bench: Bench) -> None:
    result = bench.run("return [Out('first'), Out('second')]")
    assert isinstance(result, Made)
    assert [out.body for out in result.outs] == [b"first", b"second"]


def test_the_context_says_what_is_known(bench: Bench) -> None:
    out = only_out(
        bench.run(
            "c = context\n"
            "return Out([c.message_id, c.channel, c.route, c.received_at, c.keys.type, c.replay_of, dict(c.facts)])"
        )
    )
    assert out.body == b'[1,"adt_in","route_1",1700000000000000,"ADT^A01",null,{}]'


def test_each_step_reads_a_fresh_document(bench: Bench) -> None:
    plugins = bench.load(
        "@transform\ndef f(document, context):\n    document['PID-3.1'] = 'changed'\n    return Out(document)\n"
        "@filter\ndef spoils(document, context):\n    document['PID-3.1'] = 'spoilt'\n    return True\n"
    )
    job = make_job("t.f", filter="t.spoils")
    first = only_out(run_step(plugins, HL7, job, job.steps[0], TABLES))
    assert first.body == ADMISSION.replace(b"1234567", b"changed")
    passed = make_job(filter="t.spoils")
    assert run_step(plugins, HL7, passed, passed.steps[0], TABLES) == Passed()


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("return Drop('no bed')", Dropped("no bed")),
        ("return []", Dropped("the transform returned an empty list")),
        ("return Reject('unknown ward')", Failed("rejected", "unknown ward", rejected=True)),
        ("raise Reject('unknown ward')", Failed("rejected", "unknown ward", rejected=True)),
    ],
)
def test_what_is_said_on_purpose(bench: Bench, source: str, result: StepResult) -> None:
    assert bench.run(source) == result


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("return None", "returned NoneType; return Out, a list of Out, Drop or Reject"),
        ("return document", "returned Hl7Document; return Out"),
        ("return (Out('x'),)", "returned tuple; return Out"),
        ("return [Out('x'), 'y']", "returned a list of Out, str; return Out"),
        ("return Out", "returned type; return Out"),
    ],
)
def test_a_wrong_result_says_what_is_right(bench: Bench, source: str, said: str) -> None:
    result = bench.run(source)
    assert isinstance(result, Failed)
    assert result.cause == "transform-failed"
    assert result.text.startswith("transforms/t.py:2: ")
    assert said in result.text


@pytest.mark.parametrize(
    ("source", "cause", "text"),
    [
        ("x = 1\nreturn 1 // (x - 1)", "transform-failed", "transforms/t.py:5: ZeroDivisionError"),
        ("return Out({'when': {1}})", "transform-failed", "TypeError"),
        ("return Out('x', lane=7)", "transform-failed", "TypeError"),
        ("return Out('x', headers={'H': 1})", "transform-failed", "TypeError"),
        ("return Out('\\udcff')", "transform-failed", "UnicodeEncodeError"),
        ("return Out('x', lane='\\udcff')", "transform-failed", "UnicodeEncodeError"),
        ("return Out(7)", "transform-failed", "TypeError"),
        ("return Out(None)", "transform-failed", "AttributeError"),
        ("raise SystemExit(3)", "transform-failed", "transforms/t.py:4: tried to end the process"),
        ("raise MemoryError", "transform-memory", "transforms/t.py:4: overran its memory limit"),
        (
            "def deeper(n): return deeper(n + 1)\nreturn deeper(0)",
            "transform-failed",
            "transforms/t.py:4: RecursionError",
        ),
        ("context.lookup('wards', 'XYZ')", "unmapped-code", "transforms/t.py:4: mapping table 'wards' has no entry"),
        ("context.lookup('rooms', 'X')", "unmapped-code", "there is no mapping table 'rooms'; known: wards"),
        ("raise StopIteration('x')", "transform-failed", "StopIteration"),
        ("raise TimeoutError", "transform-failed", "transforms/t.py:4: TimeoutError"),
    ],
)
def test_a_failure_names_its_cause_and_place(bench: Bench, source: str, cause: str, text: str) -> None:
    result = bench.run(source)
    assert isinstance(result, Failed)
    assert result.cause == cause
    assert text in result.text
    assert "transforms/t.py:" in result.text
    assert not result.rejected


def test_an_out_goes_where_its_route_leads(bench: Bench) -> None:
    plugins = bench.load("@transform\ndef f(document, context):\n    return Out('x', to='lab_out')\n")
    job = make_job("t.f")

    def run(*to: str) -> StepResult:
        return run_step(plugins, HL7, job, Step("r", transform="t.f", to=to), TABLES)

    assert only_out(run("lab_out", "events_out")).to == "lab_out"
    assert only_out(run()).to == "lab_out"
    astray = run("events_out", "relay_out")
    assert isinstance(astray, Failed)
    assert astray.cause == "transform-failed"
    assert "an Out goes to 'lab_out'; its route leads to events_out, relay_out" in astray.text


def test_a_bad_path_has_the_formats_own_cause(bench: Bench) -> None:
    result = bench.run("return Out(document['PID-'])")
    assert isinstance(result, Failed)
    assert result.cause not in ("transform-failed", "format")
    assert result.text.startswith("transforms/t.py:4: ")


def test_a_body_that_is_not_its_format_fails_before_the_transform(bench: Bench) -> None:
    result = bench.run("return Out(document['PID-3'] or '')", make_job("t.f", body=b"no HL7 at all"))
    assert isinstance(result, Failed)
    assert result.cause not in ("transform-failed", "format")
    assert "HL7 at all" not in result.text


def test_an_interrupt_passes_through(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.run("raise KeyboardInterrupt")


@pytest.mark.parametrize("returned", ["None", "1", "'yes'", "Drop('x')"])
def test_a_filter_says_true_or_false_and_nothing_else(bench: Bench, returned: str) -> None:
    result = bench.run_filter(returned)
    assert isinstance(result, Failed)
    assert "a filter returns True or False" in result.text


def test_a_filter_decides_before_the_transform(bench: Bench) -> None:
    assert bench.run_filter("False", "t.made") == Dropped("filter t.kept")
    assert bench.run_filter("True") == Passed()
    assert only_out(bench.run_filter("True", "t.made")).body == b"made"


def test_a_function_that_is_not_there_is_a_failure(bench: Bench) -> None:
    result = bench.run("return Out('x')", make_job("t.g"))
    assert isinstance(result, Failed)
    assert result.cause == "plugin"
    assert "there is no transform 't.g'" in result.text


@pytest.mark.parametrize(
    "source",
    [
        "int(document['PID-5.1'])",
        "{}[document['PID-5.1']]",
        "raise ValueError(document['PID-5'])",
        "raise KeyError(document)",
        "raise ValueError(document.to_bytes())",
        "raise ValueError(document.to_bytes().decode() * 100)",
        "assert not document['PID-5.2'], document['PID-5.2']",
        "open('/nowhere/' + document['PID-5.1'])",
    ],
)
def test_a_failure_says_nothing_of_the_body(bench: Bench, source: str) -> None:
    result = bench.run(source)
    assert isinstance(result, Failed)
    for word in ("QUIMBY", "ROSALIND", "1234567", "19620704"):
        assert word not in result.text
    assert len(result.text) <= MAX_TEXT
    assert result.text.startswith("transforms/t.py:4: ")


def test_nothing_of_the_body_is_in_a_repr(bench: Bench) -> None:
    job = make_job("t.f")
    result = bench.run("return Out(document)", job)
    assert "QUIMBY" not in repr(job) + repr(result)


@pytest.mark.parametrize(
    ("text", "body", "left"),
    [
        ("bad name 'SMITH'", b"PID|1||SMITH^J", "bad name '…'"),
        ("no segment PID here", b"MSH|x\rPID|1", "no segment PID here"),
        ("bad 'MÜLLER'", "PID|MÜLLER".encode(), "bad '…'"),
        ("bad 'MÜLLER'", "PID|MÜLLER".encode("latin-1"), "bad '…'"),
        ("win", b"winter", "win"),
        ("", b"", ""),
    ],
)
def test_words_of_the_body_are_blotted_out(text: str, body: bytes, left: str) -> None:
    assert blotted(text, body) == left
