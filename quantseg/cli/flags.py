"""Translates the library's error messages for the command line: parameter names become flags."""

import re

FLAGS = {
    "activations=": "--activation-type",
    "against=": "--against",
    "at=": "--at",
    "budget=": "--budget",
    "cache=False": "--no-cache",
    "calib=": "--calib",
    "calibrator=": "--calibrator",
    "channels=": "--channels",
    "classes=": "--classes",
    "data=": "--data",
    "effort=": "--effort",
    "engine=processes:": "--workers",
    "evaluations=": "--evaluations",
    "exclude=": "--exclude",
    "example=": "--example",
    "fold='argmax'": "--fold-argmax",
    "fold='preprocess'": "--fold-preprocess",
    "follow_links=True": "--follow-links",
    "force=True": "--force",
    "format=": "--format",
    "full_range_weights=True": "--full-range-weights",
    "ignore_index=": "--ignore-index",
    "include=": "--include",
    "inputs=": "--input",
    "int8_everywhere=True": "--int8-everywhere",
    "json=": "--json",
    "labels=True": "--labels",
    "latency_first=True": "--latency-first",
    "layout=": "--layout",
    "masks=False": "--no-masks",
    "max_class_drop=": "--max-class-drop",
    "max_iou_drop=": "--max-iou-drop",
    "mean=": "--mean",
    "per_channel=False": "--per-tensor",
    "peer=True": "--peer",
    "processor=": "--processor",
    "reduce_range=True": "--reduce-range",
    "reduced_channels=": "--reduce-channels",
    "reference=": "--reference",
    "save=": "-o",
    "scale=": "--scale",
    "seed=": "--seed",
    "size=": "--size",
    "std=": "--std",
    "symmetric=True": "--symmetric",
    "target=": "--target",
    "timeout=": "--timeout",
    "timing=False": "--no-timing",
    "weights=": "--weight-type",
    "the plan's nodes have the names": "quantize --dry-run -v lists the names",
}
"""Parameter → flag. A name that ends in = or : is followed by a value; … stands for any value, which is dropped."""

_WORDS = re.compile(
    r"(?<![\w./='\"-])(" + "|".join(re.escape(word) for word in sorted(FLAGS, key=len, reverse=True)) + ")"
    r"(…|'[^']*'|\"[^\"]*\")?"
)


def as_flags(message: str) -> str:
    """The message with parameters replaced by flags."""
    return _WORDS.sub(_flag, message)


def _flag(match: re.Match[str]) -> str:
    word, value = match[1], match[2] or ""
    if word[-1] not in "=:":
        return FLAGS[word] + value
    return FLAGS[word] if value == "…" else f"{FLAGS[word]} {value}"
