"""Mutations of a folder of files: other names, some not UTF-8, folders and links in place of files, more and fewer."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from random import Random

from tests.fuzz.mutation import odd

_NAMES = (
    b"\xff.png", b"a\xff/b.png", b"new\nline.png", b"\x1b[31m.png", "图像.png".encode(), "\u202egnp.png".encode(),
    b" .png", b"-.png", b".hidden.png", b"a.PNG", b"a.png.png", b".png", b"a", b"#.png", b"a#b/c.png", b"a.jpeg",
    b"x.txt", b"x.onnx", b"m.npy", b"n" * 250 + b".png", b"images/masks/images/a.png", b"masks/a.png",
    b"images/a.png", b"0_mask.png", b"_mask.png", b"annotations/instances_.json", b"annotations/instances_x.json",
    b"leftImg8bit/val/b/_leftImg8bit.png", b"ImageSets/Segmentation/.txt", b"JPEGImages/a.png", b"trainannot/a.png",
    b"train/a.png", b"images", b"masks", b"%s.png", b"{0}.png", b"a*.png", b"[a].png", b"'\".png",
)  # fmt: skip


def write(random: Random, files: Mapping[str, bytes], folder: Path) -> None:
    """Writes the files, one to three of them changed; names that the system refuses are left out."""
    named = dict(files)
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        _change(random, named)
    for name, content in named.items():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _write(random, folder / name, content)
        except (OSError, ValueError):
            continue


def _change(random: Random, named: dict[str, bytes]) -> None:
    old = random.choice(sorted(named)) if named else "a.png"
    new = (
        os.fsdecode(random.choice(_NAMES)) if random.random() < 0.8 else odd.text(random).replace("..", "").lstrip("/")
    )
    if random.random() < 0.5:
        new = str(PurePosixPath(old).parent / new)
    content = named.get(old, b"")
    action = random.choice(("rename", "rename", "copy", "delete", "empty", "suffix"))
    if action in ("rename", "delete"):
        named.pop(old, None)
    if action in ("rename", "copy"):
        named[new] = content
    elif action == "empty":
        named[old] = b""
    elif action == "suffix":
        named[old.rpartition(".")[0] + random.choice((".npy", ".jpg", ".tif", ".npz", ""))] = content


def _write(random: Random, path: Path, content: bytes) -> None:
    """The file; sometimes a folder or a link of that name, one that leads nowhere or to itself."""
    roll = random.random()
    if roll < 0.95:
        path.write_bytes(content)
    elif roll < 0.97:
        path.mkdir()
    else:
        path.symlink_to(random.choice(("loop", "none", ".", path.name)))
