import copy
import hashlib
import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantseg import api
from quantseg.calibration import calibrate as calibrating
from quantseg.calibration import file as calibrations
from quantseg.calibration.calibrate import calibrate
from quantseg.calibration.choosing import Choice
from quantseg.calibration.engines import Processes
from quantseg.calibration.file import merge, read, write
from quantseg.calibration.observation import SAMPLE_SIZE, ImageId, Observations
from quantseg.data.sources import opener
from quantseg.errors import CalibrationError, OutputError
from quantseg.quantization.affine import Range, params_from_range
from quantseg.quantization.qtypes import UINT8
from tests.support import candidates, graphs, models
from tests.support.special_files import SPECIAL, pipe

CHOICE = Choice("mse")
IMAGES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small U-Net, another one, and three folders of inputs: all, the first half and the second."""
    root = tmp_path_factory.mktemp("calibration")
    for seed in (0, 1):
        onnx.save(models.unet(base=2, depth=1, classes=2, size=16, seed=seed), root / f"{seed}.onnx")
    for part in ("all", "first", "second"):
        (root / part).mkdir()
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        name = f"{i}.npy"
        np.save(root / "all" / name, rng.normal(size=(1, 3, 16, 16), scale=i).astype(np.float32))
        shutil.copy(root / "all" / name, root / ("first" if i < IMAGES // 2 else "second") / name)
    return root


@pytest.fixture(scope="module")
def model(folder):
    return api.load(folder / "0.onnx")


@pytest.fixture(scope="module")
def data(folder, model):
    return opener(folder / "all")(model.recipe, model.input)


@pytest.fixture(scope="module")
def whole(model, data):
    return calibrate(model, CHOICE, candidates.context(data))


def part(folder, model, name):
    return calibrate(model, CHOICE, candidates.context(opener(folder / name)(model.recipe, model.input)))


def in_bytes(calibration, tmp_path):
    write(calibration, tmp_path / "calibration.json")
    return (tmp_path / "calibration.json").read_bytes()


@dataclass(frozen=True)
class Backwards:
    """A dataset whose files are listed in the other order."""

    data: object

    @property
    def names(self):
        return self.data.names[::-1]

    def load(self, index):
        return self.data.load(len(self.names) - 1 - index)

    def digest(self, index):
        return self.data.digest(len(self.names) - 1 - index)


# The same bytes


def test_a_file_is_read_as_it_was_written(whole, tmp_path):
    written = in_bytes(whole, tmp_path)
    again = read(tmp_path / "calibration.json")
    assert again.table == whole.table
    assert again.observations.histograms == whole.observations.histograms
    assert again.observations.images == whole.observations.images
    for name, channels in whole.observations.channels.items():
        assert np.array_equal(again.observations.channels[name].minima, channels.minima)
        assert np.array_equal(again.observations.channels[name].maxima, channels.maxima)
    assert in_bytes(again, tmp_path) == written


def test_neither_workers_nor_the_order_of_files_change_a_byte(whole, model, data, tmp_path):
    expected = in_bytes(whole, tmp_path)
    assert in_bytes(calibrate(model, CHOICE, candidates.context(Backwards(data))), tmp_path) == expected
    assert in_bytes(calibrate(model, CHOICE, candidates.context(data, engine=Processes(2))), tmp_path) == expected


def test_merging_two_halves_is_calibrating_all(whole, folder, model, tmp_path):
    first, second = part(folder, model, "first"), part(folder, model, "second")
    for a, b in ((first, second), (second, first)):
        assert in_bytes(merge(a, b), tmp_path) == in_bytes(whole, tmp_path)
    # and from files, as the command does
    write(first, tmp_path / "first.json")
    write(second, tmp_path / "second.json")
    merged = merge(read(tmp_path / "first.json"), read(tmp_path / "second.json"))
    assert in_bytes(merged, tmp_path) == in_bytes(whole, tmp_path)


class Killed(Exception):
    """What a test stops a calibration with."""


def killed_after(images):
    def track(items: Iterable, *, total: int, what: str):
        for done, item in enumerate(items):
            if done == images:
                raise Killed
            yield item

    return track


def unfinished(model, data, partial, images):
    """Leaves the file of a calibration that was stopped after so many images."""
    with pytest.raises(Killed):
        calibrate(model, CHOICE, candidates.context(data, track=killed_after(images)), partial=partial)


@pytest.mark.parametrize("images", [1, IMAGES - 1])
def test_continuing_after_a_kill_changes_no_byte(images, whole, model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrating, "SAVE_EVERY_SECONDS", 0)
    partial, totals = tmp_path / "partial", []
    unfinished(model, data, partial, images)

    def track(items, *, total, what):
        totals.append(total)
        return items

    resumed = calibrate(model, CHOICE, candidates.context(data, track=track), partial=partial)
    assert totals == [IMAGES - images]
    assert in_bytes(resumed, tmp_path) == in_bytes(whole, tmp_path)


@pytest.mark.parametrize("stale", ["model", "recipe", "threads", "images", "tensors", "nonsense"])
def test_what_does_not_fit_is_not_continued(stale, whole, folder, model, data, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(calibrating, "SAVE_EVERY_SECONDS", 0)
    partial = tmp_path / "partial"
    unfinished(model, data, partial, 2)
    kept = read(partial)
    if stale == "model":
        write(replace(kept, model="0" * 64), partial)
    elif stale == "recipe":
        write(replace(kept, recipe="[input]\n"), partial)
    elif stale == "threads":
        write(replace(kept, threads=2), partial)
    elif stale == "images":
        images = (ImageId("0.npy", "0" * 64), *kept.observations.images[1:])
        write(replace(kept, observations=replace(kept.observations, images=images)), partial)
    elif stale == "tensors":
        histograms = dict(list(kept.observations.histograms.items())[1:])
        write(replace(kept, observations=replace(kept.observations, histograms=histograms)), partial)
    else:
        partial.write_text("half a fi")
    with caplog.at_level(logging.WARNING):
        result = calibrate(model, CHOICE, candidates.context(data), partial=partial)
    assert f"{partial}: does not fit this calibration; starting from the first image" in caplog.text
    assert in_bytes(result, tmp_path) == in_bytes(whole, tmp_path)


# What the file says


def test_the_file_says_what_was_observed_and_what_follows(whole, folder, tmp_path):
    content = json.loads(in_bytes(whole, tmp_path))
    assert content["model"]["sha256"] == hashlib.sha256((folder / "0.onnx").read_bytes()).hexdigest()
    assert content["counted"]["values_per_tensor_and_image_at_least"] == SAMPLE_SIZE
    assert content["calibrator"] == {"name": "mse", "percent": None, "qtype": "uint8", "symmetric": False}
    assert [image["name"] for image in content["images"]] == [f"{i}.npy" for i in range(IMAGES)]
    digests = [hashlib.sha256((folder / "all" / image["name"]).read_bytes()).hexdigest() for image in content["images"]]
    assert [image["sha256"] for image in content["images"]] == digests
    x = np.concatenate([np.load(folder / "all" / f"{i}.npy") for i in range(IMAGES)])
    tensor = content["tensors"]["x"]
    assert (tensor["minimum"], tensor["maximum"]) == (x.min(), x.max())
    assert tensor["channel_minima"] == x.min(axis=(0, 2, 3)).tolist()
    assert sum(tensor["histogram"]["counts"]) == x.size
    p = params_from_range(Range(*tensor["range"]), UINT8)
    assert (tensor["scale"], tensor["zero_point"]) == (float(p.scale), int(p.zero_point))


def test_the_digest_of_the_data_knows_neither_order_nor_names(whole):
    def renamed(images):
        return replace(whole, observations=replace(whole.observations, images=tuple(images)))

    images = whole.observations.images
    assert renamed(reversed(images)).data_digest == whole.data_digest
    assert renamed(replace(image, name="n") for image in images).data_digest == whole.data_digest
    assert renamed(images[1:]).data_digest != whole.data_digest


def test_names_of_any_letters_survive(whole, tmp_path):
    name = 'ä"\\/\n日本'
    seen = whole.observations
    odd = Observations({name: seen.histograms["x"]}, {name: seen.channels["x"]}, (ImageId(name, "d"),))
    table = replace(whole.table, ranges={name: Range(0, 1)})
    write(replace(whole, observations=odd, table=table), tmp_path / "c")
    again = read(tmp_path / "c")
    assert list(again.observations.histograms) == list(again.table.ranges) == [name]
    assert again.observations.images == odd.images


# What cannot be merged


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "0" * 64}, "are of different models; calibrate both parts with one model"),
        ({"recipe": ""}, "used different preprocessing; calibrate both with one recipe"),
        ({"observations": Observations.empty()}, "watched different tensors; calibrate both"),
        ({}, r"^0\.npy: was observed in both parts and would count twice; leave one out$"),
    ],
)
def test_what_does_not_belong_together_is_not_merged(whole, changes, message):
    with pytest.raises(CalibrationError, match=message):
        merge(whole, replace(whole, **changes))


# What is not a calibration file


def refused(path, content):
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(CalibrationError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"\x08\x07onnx", b"[" * 200_000, b'{"format": ', b"null", b"3", b"[]", b"{}", b'"x"'],
)
def test_garbage_is_refused_in_one_line(content, tmp_path):
    assert "is not a calibration file; make one with quantseg calibrate" in refused(tmp_path / "c", content)


@pytest.fixture
def content(whole, tmp_path):
    return json.loads(in_bytes(whole, tmp_path))


def test_another_version_is_refused(content, tmp_path):
    assert "of another format or version; calibrate again" in refused(tmp_path / "c", {**content, "version": 2})


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("tensors",), []),
        (("images",), {"a": 1}),
        (("images", 0, "name"), "\ud800"),
        (("images", 0, "name"), 1),
        (("images", 0, "sha256"), None),
        (("recipe",), ["[input]"]),
        (("calibrator", "name"), 3),
        (("threads",), float("inf")),
        (("calibrator", "qtype"), "int3"),
        (("calibrator", "percent"), "most"),
        (("tensors", "x", "range"), [0, float("nan")]),
        (("tensors", "x", "range"), [1, 0]),
        (("tensors", "x", "range"), [0, 1, 2]),
        (("tensors", "x", "minimum"), float("nan")),
        (("tensors", "x", "maximum"), float("inf")),
        (("tensors", "x", "maximum"), 1e300),
        (("tensors", "x", "maximum"), -100),
        (("tensors", "x", "channel_minima"), "low"),
        (("tensors", "x", "histogram"), None),
        (("tensors", "x", "histogram", "exponent"), 10**9),
        (("tensors", "x", "histogram", "first_bin"), -(2**40)),
        (("tensors", "x", "histogram", "counts"), []),
        (("tensors", "x", "histogram", "counts"), [0, 0]),
        (("tensors", "x", "histogram", "counts"), [5, -1]),
        (("tensors", "x", "histogram", "counts"), [[1], [2]]),
        (("tensors", "x", "histogram", "counts"), [1, 2**70]),
        (("tensors", "x", "histogram", "counts"), [1] * 5000),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(content, keys, value, tmp_path):
    at = content
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    assert "is not a calibration file" in refused(tmp_path / "c", content)


def places(value, path=()):
    """The path of every entry of nested objects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))


def test_whatever_is_missing_it_is_read_or_refused_in_one_line(content, tmp_path):
    """Entries that tell people something, and nothing to the program, may be missing."""
    content["tensors"] = {"x": content["tensors"]["x"]}
    told_only = {"data", "counted", "scale", "zero_point"}
    for place in places(content):
        broken = at = copy.deepcopy(content)
        for key in place[:-1]:
            at = at[key]
        del at[place[-1]]
        if told_only & set(place) or place == ("tensors", "x"):
            (tmp_path / "c").write_text(json.dumps(broken))
            read(tmp_path / "c")
        else:
            assert "is not a calibration file" in refused(tmp_path / "c", broken)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(CalibrationError, match=rf"cannot be read \({reason}.*\); give a calibration file"):
            read(path)


@pytest.mark.parametrize("kind", SPECIAL)
def test_calibrations_are_read_from_files_alone(kind: str, tmp_path: Path) -> None:
    SPECIAL[kind][0](tmp_path / "c.json")
    with pytest.raises(
        CalibrationError, match=f"cannot be read \\({SPECIAL[kind][1]}, not a file\\); give a calibration"
    ):
        calibrations.read(tmp_path / "c.json")


def test_a_calibration_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "c.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(CalibrationError, match="more than 268,435,456 bytes"):
        calibrations.read(tmp_path / "c.json")


def test_an_unfinished_calibration_is_kept_in_a_file_alone(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr("quantseg.calibration.calibrate.observe", lambda *of, **how: pytest.fail("work began"))
    pipe(tmp_path / "c.partial")
    (tmp_path / "link").symlink_to("elsewhere")
    for name, called in (("c.partial", "a named pipe"), ("link", "a symbolic link")):
        with pytest.raises(OutputError, match=f"is {called}"):
            calibrate(model, CHOICE, candidates.context(data), partial=tmp_path / name)


def test_a_failed_write_leaves_the_file_that_was_there(whole, tmp_path, monkeypatch):
    before = in_bytes(whole, tmp_path)
    monkeypatch.setattr(calibrations, "params_from_range", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(whole, tmp_path / "calibration.json")
    assert (tmp_path / "calibration.json").read_bytes() == before


def test_tensors_without_a_grid_are_kept_in_the_file(tmp_path):
    low = np.array(-np.inf, np.float32)
    model = candidates.float_model(graphs.graph(
        "c = Conv(x, w) s = Add(c, m) h = Add(c, k) p = Softmax(s) q = Softmax(h) z = Add(p, q) y = Conv(z, w)",
        x="float[1,2,6,6]", w=graphs.noise(2, 2, 1, 1), m=np.where(np.eye(6) > 0, low, 0).astype(np.float32),
        k=np.where(np.eye(6) > 0, -1e9, 0).astype(np.float32)))  # fmt: skip
    made = calibrate(model, Choice(), candidates.context(candidates.images(3, (1, 2, 6, 6))))
    assert made.observations.infinite == {"s"}
    assert made.table.unbounded == {"s", "h"}
    write(made, tmp_path / "c.json")
    again = read(tmp_path / "c.json")
    assert (again.observations.infinite, again.table) == (made.observations.infinite, made.table)
    write(again, tmp_path / "d.json")
    assert (tmp_path / "d.json").read_bytes() == (tmp_path / "c.json").read_bytes()
    json.loads((tmp_path / "c.json").read_text(), parse_constant=pytest.fail)
