"""The model card of an app: what the model does, how it was made, how well it keeps the float masks, and where."""

from collections.abc import Iterator, Mapping
from typing import Any

import onnx_ir as ir

from quantseg import __version__
from quantseg.quantization.writing import FLOAT_DIGEST_KEY
from quantseg.report.tables import escaped, markdown, megabytes
from quantseg.runtimes import npm
from quantseg.shipping.about import made_for
from quantseg.shipping.facts import AppFacts
from quantseg.shipping.formats import Formats
from quantseg.shipping.story import Story
from quantseg.simulation.saturation import PROCESSORS, verdict

_SHOWN = 64
_USES = {".ort": "small builds of onnxruntime for phones", ".tflite": "LiteRT (TensorFlow Lite)"}


def card(facts: AppFacts, model: ir.Model, story: Story, formats: Formats, size: int) -> str:
    """The card as Markdown. model: the quantised one; size: bytes of its file."""
    parts = [
        f"# {escaped(facts.name)}",
        escaped(made_for(story.about)),
        _what(facts),
        "## Files",
        markdown(("file", "for", "size"), list(_files(formats, size)), whole=True),
        *_no_files(formats),
        "## How it was made",
        markdown(("what", "how"), list(_made(facts, model, story)), whole=True),
        "## Does it say the same as the float model?",
        *_agreement(story),
        "## On which processors",
        *_processors(model),
        "## What is not known here",
        "Which images the float model was trained on, under which licence they and it are, and for whom its mistakes "
        "would be grave: its authors know. Write it here before you give the app to others.",
        "## Licences",
        "vendor/ holds three files of [onnxruntime-web](https://www.npmjs.com/package/onnxruntime-web) "
        f"{npm.ONNXRUNTIME_WEB} (MIT), unchanged. The page and the programs in native/ came with quantseg "
        "(Apache-2.0). The model is its authors'.",
    ]
    return "\n\n".join(parts) + "\n"


def _what(facts: AppFacts) -> str:
    height, width = facts.size
    kind = "grey" if facts.channels == "GRAY" else "colour"
    names = [escaped(name) for name in facts.classes[:_SHOWN]]
    more = len(facts.classes) - len(names)
    classes = ", ".join(names) + (f" and {more} more" if more else "")
    gives = "a plane of zeros and ones for each class" if facts.overlapping else "a class for each pixel"
    return (
        f"Semantic segmentation in int8. Takes a {kind} image of {height} x {width} pixels as it is, uint8 "
        f"({escaped(facts.input)}), resized {facts.resize} without keeping the aspect ratio; gives {gives}, uint8 "
        f"({escaped(facts.output)}).\n\n{len(facts.classes)} classes: {classes}."
    )


def _files(formats: Formats, size: int) -> Iterator[tuple[str, str, str]]:
    yield "model/model.int8.onnx", "onnxruntime, and every other runtime of ONNX", megabytes(size)
    for ending, content in formats.made.items():
        yield f"model/model{ending}", _USES[ending], megabytes(len(content))
    yield "model/model.json", "the page: sizes, classes, colours", ""
    yield "native/", "programs for Android, iOS, Flutter, C++, C#, JavaScript, Python", ""


def _no_files(formats: Formats) -> Iterator[str]:
    if formats.refused:
        yield " ".join(f"A file for {_USES[ending]}, {ending}, was not made." for ending in formats.refused)


def _made(facts: AppFacts, model: ir.Model, story: Story) -> Iterator[tuple[str, str]]:
    yield "with", f"quantseg {__version__}, from a float model in ONNX, without labels and without training"
    if story.command:
        yield "command", story.command
    yield "float model", f"SHA-256 {model.metadata_props[FLOAT_DIGEST_KEY]}"
    yield from story.made.items()
    if facts.preprocessing:
        done = ", ".join(f"{key} {value}" for key, value in facts.preprocessing)
        yield "preprocessing, inside the model", f"x = (pixel · scale − mean) / std; {done}"


def _agreement(story: Story) -> Iterator[str]:
    said = story.verdict
    if not said:
        yield "Not judged when this app was written: `quantseg report FLOAT_MODEL MODEL --data FOLDER` judges it."
        return
    yield f"**{escaped(said['title'])}{_where(said)}.** {escaped(said['sentence'])}"
    if lines := [*said["facts"], *said["caveats"]]:
        yield "\n".join(f"- {escaped(line)}" for line in lines)


def _where(said: Mapping[str, Any]) -> str:
    """On which images a verdict was found, if calibration had seen some of them: it may be worse on others."""
    seen, images = said.get("seen") or 0, said.get("images") or 0
    if not seen:
        return ""
    part = "" if seen == images else f", {seen} of {images} of them"
    return f", on images that it was calibrated with{part}"


def _processors(model: ir.Model) -> Iterator[str]:
    found = verdict(model)
    yield f"{escaped(found.sentence[:1].upper() + found.sentence[1:])}."
    if found.products:
        rows = [(one.name, one.instruction, "yes" if found.exact_on(one) else "no") for one in PROCESSORS]
        yield markdown(("processor", "instruction", "integer sums exact"), rows, whole=True)
