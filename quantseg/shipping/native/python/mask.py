"""python mask.py IMAGE MASK.png: the mask of an image in the colours of its classes, and their shares of the pixels.

Needs onnxruntime, numpy and Pillow.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

MODEL = Path(__file__).resolve().parents[2] / "model"


def masks(session, facts, image):
    """Class ids (height, width) of a Pillow image; of classes that overlap, a plane of zeros and ones for each."""
    given = facts["input"]
    mode = "L" if given["channels"] == "GRAY" else "RGB"
    size, how = (given["width"], given["height"]), Image.Resampling[given["resize"].upper()]
    pixels = np.asarray(image.convert("RGB").resize(size, how).convert(mode))
    tensor = pixels.reshape(1, given["height"], given["width"], -1)
    return session.run([facts["output"]["name"]], {given["name"]: tensor})[0][0]


def main(image, target):
    """Writes the mask of an image file, and prints the share of each class."""
    facts = json.loads((MODEL / "model.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(MODEL / facts["file"], providers=["CPUExecutionProvider"])
    ids = masks(session, facts, ImageOps.exif_transpose(Image.open(image)))
    if facts["output"]["overlapping"]:
        axis = 2 if facts["output"]["layout"] == "NHWC" else 0
        ids = np.moveaxis(ids, axis, 0).argmax(axis=0).astype(np.uint8)
    for number, one in enumerate(facts["classes"]):
        if share := float((ids == number).mean()):
            print(f"{100 * share:5.1f} %  {one['name']}")
    shown = Image.fromarray(ids)
    shown.putpalette([part for one in facts["classes"] for part in bytes.fromhex(one["colour"][1:])])
    shown.save(target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("usage: python mask.py IMAGE MASK.png", file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
