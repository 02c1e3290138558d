"""What describes a data set: COCO's index, Pascal VOC's lists, and the names of files and folders themselves."""

from pathlib import Path
from random import Random

from quantseg import api
from quantseg.data import open_dataset, open_samples
from tests.fuzz.mutation import documents, odd, raw, trees
from tests.fuzz.target import Target
from tests.fuzz.targets import given
from tests.fuzz.targets.images import recipe_for
from tests.support.data_trees import TREES, coco_document


def make_coco(random: Random, folder: Path) -> None:
    """COCO's annotations, in which values, their text or bytes are changed."""
    files = dict(TREES["coco"]().files)
    files["annotations/instances_val2017.json"] = documents.mutated(random, coco_document())
    _write(files, folder / "data")


def make_lists(random: Random, folder: Path) -> None:
    """Pascal VOC's lists with other lines, or other bytes."""
    files = dict(TREES["voc"]().files)
    name = f"ImageSets/Segmentation/{random.choice(('train', 'val', 'trainval'))}.txt"
    lines = files[name].decode().splitlines()
    for _ in range(random.choice((0, 1, 1, 2))):
        lines.insert(random.randrange(len(lines) + 1), _line(random, lines))
    content = random.choice(("\n", "\n", "\r\n", "\r", "\u2028")).join(lines).encode("utf-8", "surrogatepass")
    files[name] = raw.mutated(random, content) if random.random() < 0.3 else content
    _write(files, folder / "data")


def _line(random: Random, lines: list[str]) -> str:
    if random.random() < 0.4:
        return random.choice(
            (*lines, "2007_000009", "x" * 100_000, "a\n" * 1000, "2007_000000 1", "../JPEGImages/2007_000000")
        )
    return odd.text(random)


def make_tree(random: Random, folder: Path) -> None:
    """The files of a layout, some under other names, missing, empty, or folders and links in their place."""
    trees.write(random, TREES[random.choice(list(TREES))]().files, folder / "data")


def run_samples(random: Random, folder: Path) -> None:
    """Every image and mask that the layout finds, at their own size or as a model's input."""
    split = random.choice((None, None, "train", "val", "trainval", "val2017"))
    if random.random() < 0.5:
        samples = open_samples(folder / "data", split=split)
        samples.fingerprint()
        for index in range(len(samples)):
            samples.read(index)
        return
    recipe, inputs = recipe_for(random)
    place = folder / "data" if split is None else Path(f"{folder / 'data'}#{split}")
    data = open_dataset(place, recipe, inputs=inputs, masks=random.random() < 0.7)
    for index in range(len(data.names)):
        data.digest(index)
        data.load(index)


def run_tree(random: Random, folder: Path) -> None:
    """The samples, or a calibration on them, whose file holds their names."""
    if random.random() < 0.7:
        run_samples(random, folder)
        return
    found = api.calibrate(given.float_model(), folder / "data", threads=1, limit=2)
    found.save(folder / "out.json")


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


COCO = Target("a COCO index (JSON)", make_coco, run_samples)
LISTS = Target("Pascal VOC's lists", make_lists, run_samples)
TREE = Target("a folder: names, links, what is missing", make_tree, run_tree)
