"""Training of the reference models: reproducible, resumable, and its bad input is one line."""

import json
import shlex
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from PIL import Image

from quantseg.data.recipe import METADATA_KEY, recipe_from_toml
from quantseg.errors import DataError
from quantseg.evaluation.reference_models import DATA_KEY

torch = pytest.importorskip("torch")
pytest.importorskip("kornia")

from quantseg.data.preprocess import to_tensor  # noqa: E402
from reference_models import __main__ as command_line  # noqa: E402
from reference_models import checkpoint  # noqa: E402
from reference_models.images import open_images  # noqa: E402
from reference_models.losses import IGNORED  # noqa: E402
from reference_models.making import make  # noqa: E402
from reference_models.masks import MaskTask  # noqa: E402
from reference_models.wanted import Wanted  # noqa: E402
from reference_models.zoo import CELLS, WHITE_CELLS, ZOO  # noqa: E402

QUICK = {"epochs": 2, "batch": 4, "crop": "32x32", "precision": "float32"}


def draw(folder, count, *, ids=3, size=(40, 36)):
    """Discs with a nucleus, as images/ and masks/."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: size[0], : size[1]]
    for index in range(count):
        distance = np.hypot(y - rng.uniform(10, 30), x - rng.uniform(10, 26))
        mask = ((distance < 12).astype(np.uint8) + (distance < 6)) % ids
        image = np.stack([255 - 90 * mask, 240 - 60 * mask, 230 - 20 * mask], axis=-1)
        Image.fromarray((image - rng.integers(0, 20, image.shape)).clip(0, 255).astype(np.uint8)).save(
            folder / "images" / f"{index:02d}.png"
        )
        Image.fromarray(mask).save(folder / "masks" / f"{index:02d}.png")
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """White blood cells at 32x32, so that an epoch takes a moment."""
    row = ZOO["wbc_unet"]
    data = replace(WHITE_CELLS, input=replace(WHITE_CELLS.input, size=(32, 32)))
    monkeypatch.setitem(ZOO, "wbc_unet", replace(row, data=data))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("wbc"), 15)


def losses(path):
    progress = torch.load(path, weights_only=True)
    return [(epoch["loss"], epoch["score"]) for epoch in progress["epochs"]]


def test_the_same_seed_trains_to_the_same_losses_and_another_does_not(folder, tmp_path):
    for output, seed in (("a", 0), ("b", 0), ("c", 1)):
        make("wbc_unet", folder, tmp_path / output, Wanted(QUICK, seed=seed))
    a, b, c = (losses(tmp_path / output / "wbc_unet.pt") for output in "abc")
    assert a == b
    assert a[0] != c[0]
    files = [tmp_path / output / "wbc_unet.onnx" for output in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(folder, tmp_path):
    make("wbc_unet", folder, tmp_path / "whole", Wanted(QUICK))

    class Interrupted(Exception):
        pass

    def stop(*_, **__):
        raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reference_models.making.draw_curve", stop)  # after the checkpoint of epoch 1
        with pytest.raises(Interrupted):
            make("wbc_unet", folder, tmp_path / "parts", Wanted(QUICK))
    assert len(losses(tmp_path / "parts" / "wbc_unet.pt")) == 1
    make("wbc_unet", folder, tmp_path / "parts", Wanted(QUICK, resume=True))
    whole, parts = (tmp_path / name / "wbc_unet" for name in ("whole", "parts"))
    assert losses(whole.with_suffix(".pt")) == losses(parts.with_suffix(".pt"))
    assert whole.with_suffix(".onnx").read_bytes() == parts.with_suffix(".onnx").read_bytes()


def test_the_card_says_what_was_done_and_the_model_carries_its_recipe(folder, tmp_path):
    card = make("wbc_unet", folder, tmp_path, Wanted({**QUICK, "schedule": "poly", "loss": "bce+dice"}, seed=3))
    assert json.loads((tmp_path / "wbc_unet.json").read_text()) == json.loads(json.dumps(card))
    assert card["command"] == (
        "python -m reference_models train wbc_unet --data wbc --epochs 2 --batch 4 --crop 32x32 "
        "--precision float32 --schedule poly --loss bce+dice --seed 3"
    )
    assert 0 <= card["validation_mean_iou"] <= 1
    assert card["settings"]["crop"] == (32, 32)
    assert 0 < card["onnx_difference"] < 1e-4
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "wbc_unet.onnx").metadata_props}
    assert metadata[DATA_KEY] == "wbc"
    recipe = recipe_from_toml(metadata[METADATA_KEY], source="test")
    assert recipe.output.classes == WHITE_CELLS.classes
    with Image.open(tmp_path / "wbc_unet.png") as curve:
        assert curve.width > 500


def test_every_fifth_image_is_held_out_and_never_trained_on(folder):
    images = open_images(ZOO["wbc_unet"].data, folder, crop=None, batch=2)
    assert (len(images), sum(1 for _ in images.validation())) == (12, 3)
    trained = {image.tobytes() for batch, _ in images.epoch(0, batch=2, seed=0) for image in batch}
    assert len(trained) == 12
    assert not trained & {image.tobytes() for batch, _ in images.validation() for image in batch}


def test_epochs_shuffle_and_the_same_epoch_is_the_same(folder):
    images = open_images(ZOO["wbc_unet"].data, folder, crop=None, batch=4)

    def order(number, seed):
        return b"".join(batch.tobytes() for batch, _ in images.epoch(number, batch=4, seed=seed))

    assert order(0, 0) == order(0, 0)
    assert len({order(0, 0), order(1, 0), order(0, 1)}) == 3


@pytest.mark.parametrize("name", ["wbc_unet", "cells_unet"])
def test_training_images_are_prepared_as_the_recipe_prepares_them(name, folder):
    row = ZOO[name]
    images = open_images(row.data, folder, crop=row.settings.crop, batch=2)
    task = MaskTask(images, row.data.input, row.settings, 0, torch.device("cpu"))
    batch = next(images.validation())
    images, target = task.tensors(batch, None)
    expected = to_tensor(Image.fromarray(batch[0][0]), row.data.input, "float32")
    np.testing.assert_allclose(images.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(target.numpy(), batch[1])


def test_the_ignored_id_reaches_the_loss_as_ignored(folder):
    row = ZOO["wbc_unet"]
    images = replace(open_images(row.data, folder, crop=None, batch=2), ignore_index=2)
    task = MaskTask(images, row.data.input, row.settings, 0, torch.device("cpu"))
    batch = next(images.validation())
    _, target = task.tensors(batch, None)
    assert np.array_equal(target.numpy() == IGNORED, batch[1] == 2)
    assert (batch[1] == 2).any()


def test_data_of_ones_own_in_another_layout(tmp_path):
    for split, count in (("train", 6), ("val", 3)):
        drawn = draw(tmp_path / "mine" / split, count)
        (drawn / "masks").rename(tmp_path / "mine" / f"{split}annot")
        for path in (drawn / "images").iterdir():
            path.rename(drawn / path.name)
        (drawn / "images").rmdir()
    own = {"dataset": "camvid", "size": "64x32", "classes": "nothing, cell ,nucleus", "ignore_index": 9}
    card = make("fpn", tmp_path / "mine", tmp_path / "out", Wanted({**QUICK, "epochs": 1, "crop": "64x32"}, own=own))
    assert card["data"] == "own mine"
    assert list(card["validation_iou"]) == ["nothing", "cell", "nucleus"]
    assert "--data mine --dataset camvid --size 64x32 --classes" in card["command"]
    model = onnx.load(tmp_path / "out" / "fpn.onnx")
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:] == [3, 64, 32]


def test_the_models_own_classes_hold_at_another_size(folder, tmp_path):
    given = {**QUICK, "epochs": 1, "crop": "16x16"}
    card = make("wbc_unet", folder, tmp_path, Wanted(given, own={"size": "16x24"}))
    assert tuple(card["validation_iou"]) == WHITE_CELLS.classes


def test_another_model_learns_the_cells(tmp_path, monkeypatch):
    monkeypatch.setattr("reference_models.images._DRAWN_PER_EPOCH", 8)
    monkeypatch.setattr("reference_models.images._DRAWN_FOR_VALIDATION", 2)
    card = make("fpn", None, tmp_path, Wanted({**QUICK, "epochs": 1}, own={"dataset": "cells", "size": "32"}))
    assert card["data"] == "cells"
    assert tuple(card["validation_iou"]) == CELLS.classes
    assert "--data" not in card["command"].split()


def test_the_command_of_a_card_is_read_by_a_shell_as_it_was_given(folder, tmp_path):
    own = {"dataset": "images", "classes": "back ground,b;c,it's", "ignore_index": -1}
    card = make("wbc_unet", folder, tmp_path, Wanted({**QUICK, "epochs": 1}, own=own, threads=2))
    words = shlex.split(card["command"])
    assert words[words.index("--classes") + 1] == own["classes"]
    assert words[-2:] == ["--threads", "2"]


def test_without_augmentation_whole_images_are_seen_and_the_card_says_so(folder, tmp_path):
    given = {"epochs": 1, "batch": 4, "precision": "float32", "augment": False}
    row = ZOO["wbc_unet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ZOO, "wbc_unet", replace(row, settings=replace(row.settings, crop=(16, 16))))
        card = make("wbc_unet", folder, tmp_path, Wanted(given))
    assert card["settings"]["crop"] is None


def test_an_id_beyond_16_bits_is_ignored_as_any_other(tmp_path):
    mine = draw(tmp_path / "mine", 10)
    for path in (mine / "masks").iterdir():
        mask = np.asarray(Image.open(path)).astype(np.int32)
        path.unlink()
        np.save(path.with_suffix(".npy"), np.where(mask == 2, 99_999, mask))
    data = replace(ZOO["wbc_unet"].data, classes=("a", "b"), ignore_index=99_999)
    images = open_images(data, mine, crop=None, batch=2)
    batch = next(images.validation())
    assert set(np.unique(batch[1])) == {0, 1, 99_999}
    task = MaskTask(images, data.input, ZOO["wbc_unet"].settings, 0, torch.device("cpu"))
    assert set(np.unique(task.tensors(batch, None)[1].numpy())) == {0, 1, IGNORED}
    assert images.class_pixels().shape == (2,)


def test_ignored_pixels_weigh_for_no_class(folder):
    data = ZOO["wbc_unet"].data
    counted, ignoring = (
        open_images(replace(data, ignore_index=ignored), folder, crop=None, batch=2).class_pixels()
        for ignored in (None, 0)
    )
    assert ignoring.tolist() == [0, *counted.tolist()[1:]]


def test_vocs_trainval_is_no_split_to_train_on_beside_val(tmp_path):
    voc = tmp_path / "voc"
    drawn = draw(tmp_path / "drawn", 10)
    (voc / "ImageSets" / "Segmentation").mkdir(parents=True)
    (drawn / "images").rename(voc / "JPEGImages")
    (drawn / "masks").rename(voc / "SegmentationClass")

    def lists(**names):
        for split, numbers in names.items():
            text = "".join(f"{number:02d}\n" for number in numbers)
            (voc / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(text)
        return open_images(replace(ZOO["wbc_unet"].data, layout="voc", classes=()), voc, crop=None, batch=2)

    with pytest.raises(DataError, match="holds the splits trainval, val; choose one"):
        lists(trainval=range(10), val=range(7, 10))
    images = lists(train=range(7))
    assert (len(images), sum(1 for _ in images.validation())) == (7, 3)


def test_cells_are_drawn_at_the_crop_and_judged_at_the_models_size():
    images = open_images(CELLS, None, crop=(96, 96), batch=2)
    batch, masks = next(iter(images.epoch(0, batch=2, seed=0)))
    assert batch.shape == (2, 96, 96, 3)
    assert masks.shape == (2, 96, 96)
    assert next(images.validation())[0].shape == (1, 192, 192, 3)


def refused(capsys, monkeypatch, *arguments):
    """The one line on standard error of a command that ends with 2."""
    monkeypatch.setattr(sys, "argv", ["reference_models", "train", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    return shown


def test_bad_input_is_one_line_and_nothing_is_left(folder, tmp_path, capsys, monkeypatch):
    def say(*arguments):
        return refused(capsys, monkeypatch, *arguments, "-o", tmp_path / "out")

    quick = ("--epochs", 1, "--batch", 4, "--precision", "float32")
    assert "unknown model" in say("vnet", "--data", folder)
    assert "give the folder of wbc with --data" in say("wbc_unet")
    assert "12 images to train on and 3 to validate on, for a batch of 13; add images or lower --batch" in say(
        "wbc_unet", "--data", folder, "--batch", 13
    )
    assert "loss 'focal': unknown" in say("wbc_unet", "--data", folder, "--loss", "focal")
    assert "schedule 'cosine': unknown" in say("wbc_unet", "--data", folder, "--schedule", "cosine")
    assert "precision 'int8': unknown" in say("wbc_unet", "--data", folder, "--precision", "int8")
    assert "size 36x32: wbc_unet takes multiples of 8" in say("wbc_unet", "--data", folder, "--size", "36x32")
    assert "crop 30x32: wbc_unet takes multiples of 8" in say("wbc_unet", "--data", folder, "--crop", "30x32")
    assert "crop 0x0: wbc_unet takes multiples of 8" in say("wbc_unet", "--data", folder, "--crop", "0")
    assert "size 96x96: pspnet takes multiples of 64" in say("pspnet", "--data", folder, "--size", "96")
    assert "crop 40x32: larger than images of 32x32" in say("wbc_unet", "--data", folder, "--crop", "40x32")
    assert "crops are part of augmentation" in say("wbc_unet", "--data", folder, "--crop", "32x32", "--no-augment")
    assert "batch 1: too few; give 2 or more" in say("wbc_unet", "--data", folder, "--batch", 1)
    assert "batch 801: an epoch draws 800 images" in say("cells_unet", "--batch", 801)
    assert "positive numbers" in say("wbc_unet", "--data", folder, "--learning-rate", "inf")
    for names in ("a,b,b", "a,,b", "a", ""):
        assert "not two or more names that differ" in say("wbc_unet", "--data", folder, "--classes", names)
    assert "loss: not for a network of instances" in say("yolo_seg", "--loss", "bce")
    assert "crop: not for a network of instances" in say("mask_rcnn", "--crop", "96")
    assert "yolo_seg learns from drawn cells alone" in say("yolo_seg", "--data", folder)
    assert "learns from drawn cells alone" in say("yolo_seg", "--size", "96")
    assert "batch 1201: an epoch has 1200 images" in say("yolo_seg", "--batch", 1201)
    assert "cells have classes of their own" in say("fpn", "--dataset", "cells", "--classes", "a,b")
    assert "no id of a mask" in say("wbc_unet", "--data", folder, "--ignore-index", 10**22)
    assert "no mask to train on has a pixel that counts" in say(
        "wbc_unet", "--data", draw(tmp_path / "void", 10, ids=1), "--ignore-index", 0
    )
    assert "epochs 0: too few" in say("wbc_unet", "--data", folder, "--epochs", 0)
    assert "no checkpoint there" in say("wbc_unet", "--data", folder, "--resume")
    assert "unknown layout" in say("wbc_unet", "--data", folder, "--dataset", "ade20k")
    assert "names of its classes are not known" in say("wbc_unet", "--data", folder, "--dataset", "images")
    if not torch.cuda.is_available():
        assert "torch finds no GPU" in say("wbc_unet", "--data", folder, "--device", "cuda")

    unknown = draw(tmp_path / "unknown", 10)
    Image.fromarray(np.full((40, 36), 9, np.uint8)).save(unknown / "masks" / "03.png")
    assert "03.png: class id 9 is not in 0…2" in say("wbc_unet", "--data", unknown, *quick)
    missing = draw(tmp_path / "missing", 10)
    (missing / "masks" / "04.png").unlink()
    assert "04.png: has no mask" in say("wbc_unet", "--data", missing, *quick)
    assert not list((tmp_path / "out").glob("*"))


def test_a_checkpoint_of_another_architecture_or_training_is_refused(folder, tmp_path, capsys, monkeypatch):
    make("wbc_unet", folder, tmp_path, Wanted({**QUICK, "epochs": 1}))
    path = tmp_path / "wbc_unet.pt"

    def say(*more):
        quick = ("--batch", 4, "--crop", "32x32", "--precision", "float32")
        return refused(capsys, monkeypatch, "wbc_unet", "--data", folder, "-o", tmp_path, *quick, "--resume", *more)

    assert "was trained with epochs 1, not 3" in say("--epochs", 3)
    assert "was trained with seed 0, not 1" in say("--epochs", 1, "--seed", 1)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "architecture": "segnet"}, path)
    assert "a checkpoint of segnet, not of wbc_unet" in say("--epochs", 1)
    for damage in (
        {"weights": {}},
        {"best": {}},
        {"optimizer": 3},
        {"weights": {**content["weights"], "head.weight": torch.zeros(7, 16, 1, 1)}},
    ):
        torch.save({**content, **damage}, path)
        assert "the checkpoint is of another network; train without --resume" in say("--epochs", 1)
    for damage in ({"settings": [1]}, {"epochs": []}, {"epochs": [{}]}):
        torch.save({**content, **damage}, path)
        assert "not a checkpoint of this command" in say("--epochs", 1)
    torch.save({**content, "format": 1}, path)
    assert "checkpoint of format 1" in say("--epochs", 1)
    path.write_bytes(b"PK\x03\x04 nothing")
    assert "not a checkpoint of this command" in say("--epochs", 1)


def test_a_checkpoint_of_ones_own_data_agrees_on_size_and_classes(folder, tmp_path, capsys, monkeypatch):
    given, own = {**QUICK, "epochs": 1}, {"dataset": "images", "classes": "a,b,c"}
    make("wbc_unet", folder, tmp_path, Wanted(given, own=own))

    def say(*more):
        quick = ("--epochs", 1, "--batch", 4, "--crop", "32x32", "--precision", "float32", "--dataset", "images")
        return refused(capsys, monkeypatch, "wbc_unet", "--data", folder, "-o", tmp_path, *quick, "--resume", *more)

    assert "was trained with size (32, 32), not (64, 64)" in say("--classes", "a,b,c", "--size", "64")
    assert "was trained with classes ('a', 'b', 'c'), not ('a', 'b', 'c', 'd')" in say("--classes", "a,b,c,d")
    assert "was trained with ignore_index None, not 9" in say("--classes", "a,b,c", "--ignore-index", 9)
    make("wbc_unet", folder, tmp_path, Wanted(given, own=own, resume=True))


def test_a_checkpoint_cannot_run_code(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    path = tmp_path / "unet.pt"
    torch.save({"format": 1, "architecture": Evil()}, path, pickle_module=pickle)
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint.load(path, "unet", {})


def test_a_loss_that_is_no_number_stops_the_training(folder, tmp_path):
    with pytest.raises(DataError, match="the loss is no number; lower --learning-rate"):
        make("wbc_unet", folder, tmp_path, Wanted({**QUICK, "learning_rate": 1e20}))
