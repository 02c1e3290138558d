"""Flags that several commands share, and the groups of flags that a command receives as one value."""

import functools
import inspect
from collections.abc import Callable, Iterable
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantseg.cli import console
from quantseg.files.limits import RUN_SECONDS

if TYPE_CHECKING:
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.refinement.options import Options

Model = Annotated[Path, typer.Argument(help="ONNX model.", show_default=False)]
# Layout and split are part of a data flag's value, so that each of a command's data flags has its own.
DATA_WORD = "FOLDER or LAYOUT:FOLDER#SPLIT"
Data = Annotated[
    Path,
    typer.Option(help=f"{DATA_WORD} of images, or of .npy/.npz model inputs.", metavar="DATA", show_default=False),
]
JudgedData = Annotated[
    Path,
    typer.Option(
        help=f"{DATA_WORD} of images to judge on, or of .npy/.npz model inputs.", metavar="DATA", show_default=False
    ),
]
CalibrationData = Annotated[
    Path | None,
    typer.Option(help=f"{DATA_WORD} of calibration images or model inputs.", metavar="DATA", show_default=False),
]
SameData = Annotated[
    Path | None,
    typer.Option("--calib", help="Another word for --data, as in commands that judge.", metavar="DATA"),
]
Calib = Annotated[
    Path | None,
    typer.Option(help=f"{DATA_WORD} of images to calibrate on. Default: --data itself.", metavar="DATA"),
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the result here, as JSON.")]
Force = Annotated[
    bool, typer.Option("--force", help="Also overwrite files that this command did not write for the same inputs.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Use at most so many images, evenly spread.")]
Masks = Annotated[bool, typer.Option("--masks/--no-masks", help="Compare with the masks beside the images, if any.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Threads of the runtime. Default: the physical cores.")
]
_TIMEOUT_HELP = f"Most seconds that the runtime may take for one image; 0: any. Default: {RUN_SECONDS:g}."
_LINKS_HELP = "Also read what symbolic links in the data folder lead to outside of it."
Timeout = Annotated[float, typer.Option(min=0, help=_TIMEOUT_HELP, show_default=False)]
FollowLinks = Annotated[bool, typer.Option("--follow-links", help=_LINKS_HELP)]
_RECIPE_PANEL = "Preprocessing (default: the model's own metadata, else RGB, 0…1)"
_CALIBRATION_PANEL = "Calibration"
_SETTINGS_PANEL = "Quantisation"
_MAKING_PANEL = "Refinement and output"
_TARGET_PANEL = "Target; but for --target all are choices of ort-cpu and ort-web"

EFFORT_HELP = (
    "fast: ranges only. balanced (default): also equalise channels, narrow ranges, round weights together, leave float "
    "what breaks the masks. best: search wider, learn the rounding (torch)."
)
BUDGET_HELP = (
    "How many times its usual work --effort balanced may do: 2, or none for no limit. Default: 1, about two minutes on "
    "two cores; what it leaves out is said."
)
FORMAT_HELP = (
    "qdq (portable), qoperator (integer operators), channels-last (onnxruntime's own) or web (onnxruntime-web's)."
)


def _flag(name: str, kind: Any, text: str, panel: str = _RECIPE_PANEL, default: Any = None, **more: Any) -> Parameter:
    """The parameter of a command for one flag. more: arguments of typer.Option; word: the flag, if not typer's."""
    words = (more.pop("word"),) if "word" in more else ()
    option = typer.Option(*words, help=text, rich_help_panel=panel, show_default=False, **more)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


_RECIPE = (
    _flag("recipe", Path | None, "Recipe file (TOML) that declares all of these."),
    _flag("size", str | None, "HEIGHTxWIDTH that images are resized to."),
    _flag("layout", str | None, "NCHW or NHWC."),
    _flag("channels", str | None, "RGB, BGR or GRAY."),
    _flag("scale", float | None, "x = (pixel · scale − mean) / std, pixels 0…255. Default: 1/255."),
    _flag("mean", str | None, "One number, or one per channel: 0.485,0.456,0.406."),
    _flag("std", str | None, "One number, or one per channel."),
    _flag("resize", str | None, "nearest, bilinear, bicubic, lanczos or box."),
    _flag("input_name", str | None, "The input that takes the image."),
    _flag(
        "inputs",
        list[str] | None,
        "Another input, for all images: scale=0.5 or prior=FILE.npy. May be given for several.",
        metavar="NAME=VALUE",
        word="--input",
    ),
    _flag("output_name", str | None, "The output that holds the segmentation."),
    _flag("head", str | None, "argmax, threshold, multilabel, labels; for instances mask-rcnn, yolo-seg, query-masks."),
    _flag("threshold", float | None, "For head threshold and multilabel, on the model's output."),
    _flag("classes", str | None, "Names of the classes: sky,road,car."),
    _flag("ignore_index", int | None, "Class id in masks that is not counted."),
)
_CALIBRATION = (
    _flag("calibrator", str | None, "minmax (default), percentile, entropy or mse.", _CALIBRATION_PANEL),
    _flag("percentile", float | None, "For --calibrator percentile. Default: 99.99.", _CALIBRATION_PANEL),
    _flag("limit", int | None, "Use at most so many images, evenly spread.", _CALIBRATION_PANEL, min=1),
    _flag("workers", int, "Processes that observe images side by side.", _CALIBRATION_PANEL, 1, min=1, max=256),
    _flag(
        "threads",
        int | None,
        "Threads of the runtime. Default: the physical cores.",
        _CALIBRATION_PANEL,
        min=1,
        max=1024,
    ),
    _flag("timeout", float, _TIMEOUT_HELP, _CALIBRATION_PANEL, RUN_SECONDS, min=0),
    _flag("follow_links", bool, _LINKS_HELP, _CALIBRATION_PANEL, False, word="--follow-links"),
    _flag("activation_type", str, "uint8 (default) or int8.", _SETTINGS_PANEL, "uint8"),
    _flag("weight_type", str, "int8 (default), uint8 or int4.", _SETTINGS_PANEL, "int8"),
    _flag("per_tensor", bool, "One scale for all channels of a weight.", _SETTINGS_PANEL, False),
    _flag("symmetric", bool, "Activations symmetric around zero.", _SETTINGS_PANEL, False),
    _flag(
        "full_range_weights",
        bool,
        "All 8 bits of int8 weights, though sums then saturate on x86 without VNNI.",
        _SETTINGS_PANEL,
        False,
    ),
    _flag(
        "reduce_range",
        bool,
        "7-bit weights. By default 8 bits are chosen so that no sum saturates.",
        _SETTINGS_PANEL,
        False,
    ),
    _flag("reduce_channels", Path | None, "7-bit weights in channels that simulate --json names.", _SETTINGS_PANEL),
    _flag("include", list[str] | None, "Quantise only nodes of this name, pattern or type.", _SETTINGS_PANEL),
    _flag("exclude", list[str] | None, "Keep nodes of this name, pattern or type float.", _SETTINGS_PANEL),
)
_MAKING = (
    *_CALIBRATION,
    _flag("effort", str | None, EFFORT_HELP, _MAKING_PANEL),
    _flag("budget", str, BUDGET_HELP, _MAKING_PANEL, "1"),
    _flag("seed", int, "Of --effort best.", _MAKING_PANEL, 0, min=0),
    _flag("qformat", str | None, f"{FORMAT_HELP} Default: the target's.", _MAKING_PANEL, word="--format"),
    _flag(
        "fold_preprocess",
        bool,
        "Take uint8 images as they are, (N, H, W, RGB): no code in the app.",
        _MAKING_PANEL,
        False,
        word="--fold-preprocess",
    ),
    _flag(
        "fold_argmax",
        bool,
        "Give the classes themselves, uint8 (N, H, W), by the recipe's head.",
        _MAKING_PANEL,
        False,
        word="--fold-argmax",
    ),
)
_TARGET = (
    _flag(
        "target",
        str,
        "portable (default): any runtime. ort-cpu: onnxruntime here. ort-web: browsers. openvino. litert: a .tflite.",
        _TARGET_PANEL,
        "portable",
    ),
    _flag("latency_first", bool, "The fastest plan, even if integers round what the head reads.", _TARGET_PANEL, False),
    _flag("int8_everywhere", bool, "Every operator that can, unmeasured.", _TARGET_PANEL, False),
    _flag("cache", bool, "Keep the parts' times on disk. Default: yes.", _TARGET_PANEL, True),
    _flag("timing", bool, "Time the finished model against float. Default: yes.", _TARGET_PANEL, True),
)


def _gathering(
    flags: tuple[Parameter, ...], target: str, gather: Callable[..., Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that adds the flags to a command, and passes gather(flags) to it as the argument `target`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.name != target]
        names = {flag.name for flag in flags}

        @functools.wraps(command)
        def gathered(**values: Any) -> None:
            mine = {name: values.pop(name) for name in names}
            command(**values, **{target: gather(**mine)})

        parameters = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own]
        gathered.__signature__ = inspect.Signature([*parameters, *flags])  # type: ignore[attr-defined]
        gathered.__annotations__ = {p.name: p.annotation for p in (*parameters, *flags)}
        return gathered

    return decorate


def _recipe_source(
    *, recipe: Path | None, input_name: str | None, inputs: list[str] | None, output_name: str | None,
    size: str | None, mean: str | None, std: str | None, classes: str | None, **plain: object,
) -> "RecipeSource":  # fmt: skip
    from quantseg.data.recipe import parse_numbers, parse_size
    from quantseg.quantization.float_model import RecipeSource

    parsed = {
        "size": None if size is None else parse_size(size),
        "mean": None if mean is None else parse_numbers(mean),
        "std": None if std is None else parse_numbers(std),
        "classes": None if classes is None else tuple(name.strip() for name in classes.split(",")),
    }
    flags = {**plain, **parsed, "input": input_name, "output": output_name}
    return RecipeSource(recipe, flags, _constants(inputs or ()))


def _constants(words: Iterable[str]) -> dict[str, object]:
    """Name → number or path of a file, from NAME=VALUE. Raises DataError."""
    from quantseg.errors import DataError

    found: dict[str, object] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not (name and sign and value):
            raise DataError(f"--input {word!r} has no {'value' if name else 'name'}; give NAME=NUMBER or NAME=FILE.npy")
        if name in found:
            raise DataError(f"--input {name} was given twice; give it once")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = Path(value)
    return found


def _options(**given: Any) -> "Options":
    """The Options from a command's flags; for flags that it lacks, the defaults."""
    from quantseg.mixed_precision.targets import TargetOptions
    from quantseg.quantization.folding import Fold
    from quantseg.quantization.plan import QuantSettings
    from quantseg.refinement.options import Options, qtype
    from quantseg.simulation.proof import read_channels

    channels = given.pop("reduce_channels")
    settings = QuantSettings(
        activation=qtype(given.pop("activation_type"), "uint8 or int8"),
        weight=qtype(given.pop("weight_type"), "int8, uint8 or int4"),
        per_channel=not given.pop("per_tensor"),
        include=tuple(given.pop("include") or ()),
        exclude=tuple(given.pop("exclude") or ()),
        reduced_channels=() if channels is None else read_channels(channels),
        **{name: given.pop(name) for name in ("symmetric", "full_range_weights", "reduce_range")},
    )
    target = {name: given.pop(name) for name in (flag.name for flag in _TARGET) if name in given}
    fold = Fold(given.pop("fold_preprocess", False), given.pop("fold_argmax", False))
    workers, budget = given.pop("workers"), given.pop("budget", "1")
    return Options(
        settings=settings,
        target=TargetOptions(**target),
        fold=fold,
        budget=None if budget == "none" else _factor(budget),
        engine="serial" if workers == 1 else f"processes:{workers}",
        threads=given.pop("threads") or 0,
        track=console.track,
        **given,
    )


def _factor(text: str) -> float:
    """The number of --budget. Raises PlanError."""
    from quantseg.errors import PlanError

    try:
        return float(text)
    except ValueError as error:
        raise PlanError(f"--budget {text!r} is no number; give 2 for twice the usual work, or none") from error


with_recipe = _gathering(_RECIPE, "source", _recipe_source)
"""Adds the preprocessing flags to a command, which receives them as `source: RecipeSource`."""

with_calibration = _gathering(_CALIBRATION, "options", _options)
"""Adds the flags of calibration and quantisation to a command, which receives them as `options: Options`."""

with_making = _gathering((*_MAKING, *_TARGET), "options", _options)
"""Adds all flags of how a model is made to a command, which receives them as `options: Options`."""
