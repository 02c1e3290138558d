import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.bench import checkouts, same_bytes
from tests.bench.differences import LEFT_OUT, difference, figures
from tests.bench.same_bytes_jobs import Job, jobs
from tests.bench.streets import CLASSES, street

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 2] x) => (float[1, 2] z)
<float[2] w = {1, 2}>
{
  [first] y = Add(x, w)
  [second] z = LeakyRelu<alpha: float = 0.1>(y)
}
"""
JOB = Job("qdq", "unet", ("quantize {model} --data {data} --format qdq -o int8.onnx",))


def written(path: Path, text: str = MODEL) -> Path:
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("", "", None),
        ("{1, 2}", "{1, 3}", "graph: initializer[0] 'w': 1 of 2 values, first at 1: 2.0 → 3.0"),
        ("LeakyRelu", "Elu", "graph: node[1] 'second' (LeakyRelu): op_type: 'LeakyRelu' → 'Elu'"),
        ("0.1", "0.2", "graph: node[1] 'second' (LeakyRelu): attribute[0] 'alpha': f: 0.10000000149"),
        ("second", "last", "graph: node[1] 'second' (LeakyRelu): name: 'second' → 'last'"),
        ("(float[1, 2] x)", "(float[1, 2] x, float[1] v)", "graph: input: 1 → 2, first one more 'v'"),
        ("ir_version: 8", "ir_version: 9", "ir_version: 8 → 9"),
        ('"" : 17', '"" : 18', "opset_import[0]: version: 17 → 18"),
    ],
)
def test_models_differ_where_one_was_changed(tmp_path: Path, before: str, after: str, found: str | None) -> None:
    old = written(tmp_path / "old.onnx")
    new = written(tmp_path / "new.onnx", MODEL.replace(before, after))
    told = difference(old, new)
    assert told == found if found is None else told is not None and told.startswith(found)


def test_models_of_equal_values_in_other_bytes_differ(tmp_path: Path) -> None:
    old, new = written(tmp_path / "old.onnx"), tmp_path / "new.onnx"
    model = onnx.load(old)
    weights = model.graph.initializer[0]
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights), weights.name))
    onnx.save(model, new)
    assert difference(old, new) == "graph: initializer[0] 'w': stored in another way"


REPORT = [
    {
        "summary": {"agreement": 0.5, "float_ms": 3.0},
        "latency": [{"name": "int8", "median_ms": 2.0, "file_bytes": 9}],
        "plan": {"notes": ["reworded"], "quantised": {"Conv": 2}},
    }
]


def report(path: Path, **other: Any) -> Path:
    changed = json.loads(json.dumps(REPORT))
    changed[0].update(other)
    path.write_text(json.dumps(changed))
    return path


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({}, None),
        ({"summary": {"agreement": 0.5, "float_ms": 7.0}}, None),
        ({"provenance": {"processor": "Z80"}, "roofline": [1]}, None),
        ({"plan": {"notes": [], "quantised": {"Conv": 2}}}, None),
        ({"summary": {"agreement": 0.25, "float_ms": 3.0}}, "[0].summary.agreement: 0.5 → 0.25"),
        ({"summary": {"agreement": True}}, "[0].summary.agreement: 0.5 → True"),
        ({"latency": [{"name": "int8", "file_bytes": 8}]}, "[0].latency[0].file_bytes: 9 → 8"),
        ({"latency": []}, "[0].latency: 1 → 0 entries"),
        ({"plan": {}}, "[0].plan.quantised: only on the old side"),
        ({"evaluation": {}}, "[0].evaluation: only on the new side"),
    ],
)
def test_figures_differ_but_for_times_and_prose(tmp_path: Path, other: dict[str, Any], found: str | None) -> None:
    assert difference(report(tmp_path / "old.json"), report(tmp_path / "new.json", **other)) == found


def test_keys_of_the_older_side_may_have_new_names(tmp_path: Path) -> None:
    old = report(tmp_path / "old.json")
    new = report(tmp_path / "new.json", summary={"agrees": 0.5, "float_milliseconds": 4.0})
    renamed = {"agreement": "agrees", "float_ms": "float_milliseconds"}
    assert difference(old, new) == "[0].summary.agreement: only on the old side"
    assert difference(old, new, renamed=renamed) is None


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_fields_are_left_out_at_every_depth(name: str) -> None:
    assert figures([{name: 1, "deep": [{name: {"kept": 2}, "kept": 3}]}]) == [{"deep": [{"kept": 3}]}]


def test_what_failed_on_both_sides_is_not_equal(tmp_path: Path) -> None:
    folders = [tmp_path / side for side in ("old", "new")]
    for folder in folders:
        folder.mkdir()
        (folder / same_bytes.FAILED).write_text("error: no images\n")
    (compared,) = same_bytes.compare(JOB, folders)
    assert compared.difference == "old: error: no images; new: error: no images"
    for folder in folders:
        written(folder / "int8.onnx")
    (compared,) = same_bytes.compare(JOB, folders)
    assert compared.difference is None


@pytest.mark.parametrize("quick", [True, False])
def test_jobs_are_told_apart_by_their_names(quick: bool) -> None:
    made = list(jobs(("cells_unet", "unet"), quick=quick))
    assert len({(job.kind, job.name) for job in made}) == len(made)
    assert JOB.name == "unet --format qdq"


def test_streets_hold_every_class_and_equal_seeds_give_equal_ones() -> None:
    image, mask = street(3)
    assert image.shape == (*mask.shape, 3)
    assert {*np.unique(mask)} == {*range(len(CLASSES))}
    assert all(np.array_equal(one, other) for one, other in zip(street(3), (image, mask), strict=True))
    assert not np.array_equal(street(4)[0], image)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A commit of both packages, empty."""
    folder = tmp_path / "repository"
    for package in checkouts.PACKAGES:
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "one")):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def test_a_side_is_a_copy_that_python_runs(repository: Path, tmp_path: Path) -> None:
    clean = checkouts.checkout(str(repository), tmp_path / "clean")
    (repository / "quantseg" / "more.py").touch()
    changed = checkouts.checkout(str(repository), tmp_path / "changed")
    assert str(changed) == f"{clean} + changes"
    assert (changed.tree / "quantseg" / "more.py").exists()
    assert not (clean.tree / "quantseg" / "more.py").exists()
    checkouts.check(clean)


def test_a_side_that_would_run_another_quantseg_is_refused(repository: Path, tmp_path: Path) -> None:
    side = checkouts.checkout(str(repository), tmp_path / "side")
    (side.tree / "quantseg" / "__init__.py").write_text("__file__ = '/elsewhere/quantseg/__init__.py'")
    with pytest.raises(SystemExit, match="imports /elsewhere"):
        checkouts.check(side)
