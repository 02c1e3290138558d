"""Every target, shortly, from fixed seeds; and the fuzzer itself: what is wrong is found, and found again."""

from pathlib import Path

import pytest

from tests.fuzz import faulty
from tests.fuzz.attempt import ACCEPTED, FINDING, REFUSED, Outcome, attempt
from tests.fuzz.campaign import Bounds, Tally, fuzz
from tests.fuzz.confinement import Confinement
from tests.fuzz.table import markdown, to_json
from tests.fuzz.target import chance
from tests.fuzz.targets import TARGETS

INPUTS = {
    "model": 20, "int8": 12, "tflite": 10, "recipe": 30, "calibration": 8, "sums": 8, "run": 20, "image": 120,
    "mask": 80, "coco": 50, "lists": 60, "tree": 40, "arrays": 200, "costs": 50, "report": 80,
}  # fmt: skip
"""How many inputs of each target take less than two seconds, with what they need first."""


@pytest.mark.parametrize("name", TARGETS)
def test_odd_files_are_accepted_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    place = Confinement(tmp_path)
    outcomes = [attempt(name, TARGETS[name], seed, place) for seed in range(INPUTS[name])]
    found = [f"--target {name} --seed {one.seed}: {one.text}\n{one.details}" for one in outcomes if one.kind == FINDING]
    assert found == []
    assert any(one.kind == ACCEPTED for one in outcomes)


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_seed_gives_the_same_input(name: str, tmp_path: Path) -> None:
    def made(seed: int, place: Path) -> dict[str, bytes]:
        folder = Confinement(place).folder
        TARGETS[name].make(chance(name, seed), folder)
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    first = made(3, tmp_path / "a")
    assert made(3, tmp_path / "b") == first
    assert made(4, tmp_path / "c") != first


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bug", "KeyError in faulty.py"),
        ("no memory", "out of memory"),
        ("reads", "outside its folder: reads"),
        ("writes", "outside its folder: writes"),
        ("leaks", "lands in out.bin"),
        ("starts", "outside its folder: os.system"),
        ("leaves", "refused, and yet it writes .out.tmp"),
        ("lines", "a message of several lines"),
        ("long", "a message that is too long"),
        ("unprintable", "a message that cannot be printed"),
        ("empty", "an empty message"),
    ],
)
def test_what_a_reader_must_not_do_is_found(name: str, text: str, tmp_path: Path) -> None:
    found = attempt(name, faulty.FAULTY[name], 0, Confinement(tmp_path))
    assert found.kind == FINDING
    assert text in found.text


def test_what_is_right_is_no_finding(tmp_path: Path) -> None:
    place = Confinement(tmp_path)
    kinds = {attempt("right", faulty.FAULTY["right"], seed, place).kind for seed in range(20)}
    assert kinds == {ACCEPTED, REFUSED}


def tried(name: str, inputs: int, **bounds: float) -> Tally:
    """A campaign of a faulty target in worker processes."""
    return fuzz(name, Bounds(inputs, 120.0, **bounds), worker="tests.fuzz.faulty")


@pytest.mark.slow
def test_a_crash_is_seen_and_the_inputs_behind_it_are_tried() -> None:
    tally = tried("crash", 2)
    assert [one.seed for one in tally.findings] == [0, 1]
    assert {one.text for one in tally.findings} == {"the process ends: SIGSEGV"}
    assert "Segmentation fault" in tally.findings[0].details


@pytest.mark.slow
def test_what_hangs_is_ended() -> None:
    tally = tried("hang", 1, patience=10.0)
    assert [one.text for one in tally.findings] == ["took too long, and was ended"]


def test_memory_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.attempt.MOST_BYTES", 1 << 26)
    found = attempt("memory", faulty.FAULTY["memory"], 0, Confinement(tmp_path))
    assert (found.kind, found.bytes > 90 << 20) == (FINDING, True)


@pytest.mark.slow
def test_a_campaign_counts_what_it_tries() -> None:
    tally = tried("right", 30)
    assert (tally.inputs, len(tally.findings)) == (30, 0)
    assert tally.accepted + tally.refused == 30
    assert min(tally.accepted, tally.refused) > 0


def test_the_table_names_the_first_seed_of_each_kind_of_finding() -> None:
    tally = Tally("arrays")
    for seed, kind, text in ((7, ACCEPTED, ""), (8, FINDING, "bad"), (9, REFUSED, "no"), (10, FINDING, "bad")):
        tally.add(Outcome(seed, kind, text, seconds=float(seed), bytes=seed << 20))
    lines = markdown([tally]).splitlines()
    assert lines[2] == "| arrays | model inputs (.npy, .npz) | 4 | 1 | 1 | 2 | 10.0 s | 10 MiB |"
    assert lines[-1] == "- arrays, 2 times, first with --seed 8: bad"
    assert [one["seed"] for one in to_json([tally])[0]["findings"]] == [8, 10]
