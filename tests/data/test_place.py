"""A data set that comes from elsewhere: its links lead nowhere outside, and what is no file is not opened."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from quantseg.data import Address, open_dataset, open_samples
from quantseg.data.folder import files_below
from quantseg.data.place import Place
from quantseg.data.sources import opener
from quantseg.errors import DataError
from tests.support.data_files import image, recipe_for, save, spec
from tests.support.data_trees import TREES, Tree
from tests.support.special_files import SPECIAL, pipe


@pytest.fixture(autouse=True)
def not_waiting() -> Iterator[None]:
    """A pipe that is opened would be waited for without end."""
    before = signal.signal(signal.SIGALRM, lambda *of: pytest.fail("it waits"))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=TREES)
def layout(request: pytest.FixtureRequest) -> str:
    if request.param == "coco":
        pytest.importorskip("pycocotools", reason="masks of coco need pycocotools")
    return str(request.param)


def read(layout: str, tree: Tree, folder: Path, *, follow_links: bool = False) -> list[tuple[str, bytes, bytes]]:
    """The name, image and mask of each sample."""
    samples = open_samples(Address(folder, layout, tree.split, follow_links))
    both = (samples.read(index) for index in range(len(samples)))
    return [(name, a.tobytes(), b.tobytes()) for name, (a, b) in zip(samples.names, both, strict=True)]


def needed(layout: str, tree: Tree, place: Path) -> list[str]:
    """The files of a tree without which it is read otherwise: those of other splits are not."""
    expected, found = read(layout, tree, tree.write(place / "plain")), []
    for number, name in enumerate(sorted(tree.files)):
        folder = tree.write(place / f"without{number}")
        (folder / name).unlink()
        try:
            same = read(layout, tree, folder) == expected
        except DataError:
            same = False
        found += [] if same else [name]
    assert len(found) > len(expected)
    return found


def with_folders(names: list[str]) -> list[str]:
    """The names, and all folders above them."""
    return names + sorted({str(parent) for name in names for parent in PurePosixPath(name).parents} - {"."})


def test_links_out_of_the_folder_are_refused_and_followed_where_that_is_asked_for(layout: str, tmp_path: Path) -> None:
    tree = TREES[layout]()
    names, expected = needed(layout, tree, tmp_path), read(layout, tree, tmp_path / "plain")
    for number, name in enumerate(with_folders(names)):
        folder, outside = tree.write(tmp_path / f"data{number}"), tmp_path / f"outside{number}"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)
        with pytest.raises(
            DataError, match=r"a symbolic link leads out of the data folder; .*follow_links=True"
        ) as found:
            read(layout, tree, folder)
        assert str(folder) in str(found.value)
        assert "\n" not in str(found.value)
        assert read(layout, tree, folder, follow_links=True) == expected


def test_links_within_the_folder_are_followed(layout: str, tmp_path: Path) -> None:
    tree = TREES[layout]()
    names, expected = needed(layout, tree, tmp_path), read(layout, tree, tmp_path / "plain")
    for number, name in enumerate(with_folders(names)):
        folder = tree.write(tmp_path / f"data{number}")
        (folder / name).rename(folder / ".store")
        (folder / name).symlink_to(os.path.relpath(folder / ".store", (folder / name).parent))
        assert read(layout, tree, folder) == expected


def test_the_folder_itself_may_be_a_link(layout: str, tmp_path: Path) -> None:
    tree = TREES[layout]()
    expected = read(layout, tree, tree.write(tmp_path / "real"))
    (tmp_path / "link").symlink_to("real")
    assert read(layout, tree, tmp_path / "link") == expected


@pytest.mark.parametrize("kind", [*SPECIAL, "nothing", "itself"])
def test_what_is_no_file_is_refused_and_not_opened(layout: str, kind: str, tmp_path: Path) -> None:
    tree = TREES[layout]()
    for number, name in enumerate(needed(layout, tree, tmp_path)):
        folder = tree.write(tmp_path / f"data{number}")
        (folder / name).unlink()
        if kind in SPECIAL:
            SPECIAL[kind][0](folder / name)
        else:
            (folder / name).symlink_to("nothing" if kind == "nothing" else PurePosixPath(name).name)
        for follow_links in (False, True):
            with pytest.raises(DataError) as found:
                read(layout, tree, folder, follow_links=follow_links)
            assert "\n" not in str(found.value)
            assert PurePosixPath(name).name in str(found.value) or PurePosixPath(name).stem in str(found.value)


def test_pipes_that_no_layout_reads_are_passed_over(layout: str, tmp_path: Path) -> None:
    tree = TREES[layout]()
    expected = read(layout, tree, tree.write(tmp_path))
    pipe(tmp_path / "notes.txt")
    assert read(layout, tree, tmp_path) == expected


def test_masks_beside_a_folder_of_images_belong_to_it(tmp_path: Path) -> None:
    tree, data = TREES["images"](), tmp_path / "data"
    expected = read("images", tree, tree.write(data))
    assert read("images", tree, data / "images") == expected
    (data / "masks").rename(data / "labels")
    (data / "masks").symlink_to("labels")
    assert read("images", tree, data / "images") == expected
    (data / "labels").rename(tmp_path / "outside")
    (data / "masks").unlink()
    (data / "masks").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="masks: a symbolic link leads out"):
        read("images", tree, data / "images")


def test_arrays_are_held_to_the_same(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "outside.npy", np.zeros((1, 3, 6, 8), np.float32))
    (tmp_path / "data" / "a.npy").symlink_to("../outside.npy")
    with pytest.raises(DataError, match=r"a\.npy: a symbolic link leads out"):
        opener(tmp_path / "data")(recipe_for(spec()), spec())
    assert opener(tmp_path / "data", follow_links=True)(recipe_for(spec()), spec()).load(0).tensor.shape == (1, 3, 6, 8)


def test_links_in_a_circle_end_and_no_folder_is_listed_twice(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png", ".store/c/3.png"):
        save(tmp_path / name, image())
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "b" / "again").symlink_to("../a")
    (tmp_path / "z").symlink_to(".store")
    (tmp_path / "y").symlink_to(".store/c")  # sorted before z
    for k in range(30):  # two ways to each of the next: 2^30 paths
        (tmp_path / ".store" / f"d{k}").mkdir()
        for way in ("l", "r"):
            (tmp_path / ".store" / f"d{k}" / way).symlink_to(f"../d{k + 1}")
    (tmp_path / ".store" / "d30").mkdir()
    save(tmp_path / ".store" / "d30" / "4.png", image())
    names = files_below(Place.of(tmp_path), frozenset({".png"}))
    assert [name.rsplit("/", 1)[1] for name in names] == ["1.png", "2.png", "3.png", "4.png"]
    assert names[:3] == ("a/1.png", "b/2.png", "y/3.png")


def test_names_that_are_not_utf8_are_one_line(tmp_path: Path) -> None:
    save(tmp_path / "a.png", image())
    try:
        os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xff.png")  # noqa: PTH104
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(DataError, match=r"the file name '\\udcff.png' is not UTF-8; rename the file"):
        open_dataset(tmp_path, recipe_for(spec()), inputs=spec())


@pytest.mark.parametrize("name", ["../outside/a", "/etc/passwd", "b/../../a"])
def test_lists_name_no_file_outside(name: str, tmp_path: Path) -> None:
    tree = TREES["voc"]()
    folder = tree.write(tmp_path)
    (folder / f"ImageSets/Segmentation/{tree.split}.txt").write_text(name)
    with pytest.raises(DataError, match="may lie outside the folder"):
        read("voc", tree, folder)


def test_a_place_is_inside_what_it_was_made_for(tmp_path: Path) -> None:
    (tmp_path / "data2").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to("../data2")
    place = Place.of(tmp_path / "data")
    place.check()
    (place / "not there").check()
    for outside in (place / "link", place / "..", place / "link" / "x"):
        with pytest.raises(DataError, match="leads out of the data folder"):
            outside.check()
    (Place.of(tmp_path / "data", follow_links=True) / "link").check()
    Place.of(Path("/")).check()
    (Place.of(Path("/")) / "etc").check()
