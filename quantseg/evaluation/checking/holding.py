"""What a data set holds: its layout, splits, images and masks, and what is wrong with these before any model runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from quantseg.data import LAYOUTS, Address, Samples
from quantseg.data.address import parse_address
from quantseg.data.folder import Listing, choose, pair_by_stem
from quantseg.data.layouts.recognition import locate
from quantseg.data.place import Place
from quantseg.data.samples import FileSample, digest_of_file, renamed
from quantseg.errors import DataError
from quantseg.evaluation.checking.values import ERROR, WARNING, DataFacts, Finding

MASKS_OF_ANOTHER_SET = "masks-of-another-set"
MASKS_READ = 16
"""Masks that are looked at, evenly spread."""
_PARTS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "eval": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Names of folders that are parts of a data set."""


@dataclass(frozen=True, eq=False)
class Held:
    """A data set that was opened. samples: None where it holds arrays. images: the same without masks."""

    facts: DataFacts
    samples: Samples | None
    images: Samples | None
    findings: tuple[Finding, ...] = ()


def opened(place: Path, masks: Path | None, *, follow_links: bool = False) -> Held:
    """What the data set holds; no image is read. masks: a folder with a mask of each image's name.

    Masks that are missing are a finding. Raises DataError as `open_dataset` does.
    """
    name, folder, split = locate(parse_address(Address(place, follow_links=follow_links), LAYOUTS), LAYOUTS)
    layout = LAYOUTS[name]
    splits = layout.splits(folder) if layout.on_disk else ()
    if layout.find is None:
        return Held(DataFacts(str(place), name, split, splits, 0, 0), None, None)
    findings: list[Finding] = []
    samples = images = layout.find(folder, split, False)
    try:
        samples = layout.find(folder, split, True) if masks is None else _with_masks(images, masks, follow_links)
    except DataError as error:
        if masks is not None:
            raise
        findings.append(Finding("masks-missing", ERROR, str(error), "only the images are looked at"))
    masked = sum(row.mask_place is not None for row in samples.rows)
    facts = DataFacts(str(place), name, split, splits, len(samples), masked)
    return Held(facts, samples, images, (*findings, *_parts_together(facts, samples.names)))


def with_ids(held: Held, classes: Sequence[str], ignored: int | None) -> Held:
    """Looks at some masks: their ids, and findings on ids that are no class and masks of one class.

    classes: names of the model's classes, empty where unknown. ignored: the id of pixels that do not count.
    Raises DataError for a mask that cannot be read.
    """
    samples = held.samples
    if samples is None or not held.facts.masks:
        return held
    rows = choose(samples.rows, MASKS_READ)
    ids = [np.unique(renamed(row.mask(), samples.void, ignored)) for row in rows if row.mask_place is not None]
    every = tuple(int(one) for one in np.unique(np.concatenate(ids)))
    void = samples.void if ignored is None else ignored
    counted = [one for one in every if one not in (void, ignored)]
    facts = replace(held.facts, read=len(ids), ids=every)
    return replace(held, facts=facts, findings=(*held.findings, *_of_ids(counted, len(classes), len(ids))))


def shared_images(one: Samples, other: Samples) -> int:
    """How many images of `one` are, byte for byte, also in `other`. Raises DataError."""
    sizes = [_by_size(samples) for samples in (one, other)]
    both = sizes[0].keys() & sizes[1].keys()
    digests = [[digest_of_file(path) for size in both for path in found[size]] for found in sizes]
    return sum(digest in set(digests[1]) for digest in digests[0])


def _by_size(samples: Samples) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for row in samples.rows:
        if isinstance(row, FileSample):
            found.setdefault(row.path.stat().st_size, []).append(row.path)
    return found


def _with_masks(samples: Samples, masks: Path, follow_links: bool) -> Samples:
    """The samples with masks from another folder, by name. Raises DataError where one has none."""
    rows = [row for row in samples.rows if isinstance(row, FileSample)]
    if len(rows) < len(samples.rows):
        raise DataError(f"{masks}: these images are no files, so that masks cannot be given by name; leave them out")
    place = Place.of(masks, follow_links=follow_links)
    if not place.is_dir():
        raise DataError(f"{masks}: no such folder; give the folder of masks")
    root = rows[0].path.parents[len(PurePosixPath(rows[0].name).parts) - 1]
    paired = pair_by_stem(Listing(Place(root), samples.names), place)
    assert paired.masks is not None
    return replace(
        samples,
        rows=tuple(replace(row, mask_path=mask, decode=None) for row, mask in zip(rows, paired.masks, strict=True)),
    )


def _parts_together(facts: DataFacts, names: Sequence[str]) -> list[Finding]:
    """A finding where training and validation images are read as one set."""
    parts: dict[str, dict[str, int]] = {}
    for name in names:
        for folder in PurePosixPath(name).parts[:-1]:
            if part := _PARTS.get(folder.lower()):
                found = parts.setdefault(part, {})
                found[folder] = found.get(folder, 0) + 1
                break
    if len(parts) < 2:
        return []
    counts = {folder: count for found in parts.values() for folder, count in found.items()}
    listed = " and ".join(f"{count} of {folder}" for folder, count in counts.items())
    chosen = next((folder for part in ("val", "test", "train") for folder in parts.get(part, {})), "")
    give = f"{facts.place}#{chosen}" if chosen in facts.splits else f"the folder {chosen} alone"
    return [Finding("splits", WARNING, f"{facts.place}: {listed} are read as one set", f"give {give}", counts)]


def _of_ids(ids: Sequence[int], classes: int, read: int) -> list[Finding]:
    """Findings on the ids of `read` masks, ignored ones left out."""
    if classes and (unknown := [one for one in ids if not 0 <= one < classes]):
        figures = {"ids": list(ids), "classes": classes}
        if unknown == [255] and set(ids) - {255} != {0} and len(ids) > 1:
            fact = f"id 255 is no class of 0…{classes - 1}, and usually means pixels that do not count"
            return [Finding("ignored-id", ERROR, fact, "give ignore_index=255", figures)]
        if set(ids) <= {0, 255}:
            fact = "the masks hold 0 and 255, not class ids"
            return [Finding("mask-values", ERROR, fact, "save them as 0 and 1, or name the layout binary:", figures)]
        shown = ", ".join(map(str, unknown[:4])) + (" …" if len(unknown) > 4 else "")
        fact = f"the masks hold ids {shown}, the model's classes are 0…{classes - 1}: masks of another set"
        return [Finding(MASKS_OF_ANOTHER_SET, ERROR, fact, "give masks of the model's classes", figures)]
    if not ids and read:
        return [Finding("one-class-masks", WARNING, f"all pixels of the {read} masks are ignored", "look at the masks")]
    if len(ids) == 1 and classes != 1 and read > 1:
        fact = f"all {read} masks that were read are of class {ids[0]} alone"
        return [Finding("one-class-masks", WARNING, fact, "look at the masks", {"class": ids[0]})]
    return []
