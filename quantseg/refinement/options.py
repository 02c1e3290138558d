"""The options by which a model is quantised: one value, shared by all commands and Python functions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from quantseg.calibration.choosing import DEFAULT_CALIBRATOR, Choice
from quantseg.calibration.context import Context
from quantseg.calibration.engines import engine_named
from quantseg.data import Dataset, NoImages
from quantseg.data.sources import Opener, opener
from quantseg.errors import CalibrationError, PlanError
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.progress import Track, quiet
from quantseg.quantization.folding import Fold
from quantseg.quantization.model_files import AnyModel
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import QTYPES, QType
from quantseg.refinement import levels
from quantseg.runtimes import DEFAULT, RUN_SECONDS, within
from quantseg.runtimes.threads import default_threads

Own = TypeVar("Own")


class Words(TypedDict, total=False):
    """The keyword arguments that the functions of `quantseg.api` accept; see `Options.of` for their meaning."""

    calibrator: str
    effort: str
    budget: float | None
    target: str
    latency_first: bool
    int8_everywhere: bool
    cache: bool
    format: str
    weights: str
    activations: str
    per_channel: bool
    symmetric: bool
    reduce_range: bool
    full_range_weights: bool
    include: Iterable[str]
    exclude: Iterable[str]
    fold: Iterable[str]
    inputs: Mapping[str, object]
    limit: int
    masks: bool
    follow_links: bool
    engine: str
    threads: int
    timeout: float | None
    seed: int
    track: Track


class SearchWords(Words, total=False):
    """Also the keyword arguments of a search; see SearchGoal."""

    max_iou_drop: float
    max_class_drop: Sequence[str]
    labels: bool
    evaluations: int


class ReportWords(Words, total=False):
    """Also the keyword arguments of a report; see Reporting."""

    name: str
    rounds: int
    images: bool
    peer: bool
    openvino: bool
    web: bool
    baselines: bool
    int8_model: Path | None
    dataset: str | None
    note: str | None
    commands: Sequence[str]


class CompareWords(Words, total=False):
    """Also the keyword arguments of a tool comparison; see Comparing."""

    rounds: int
    openvino: bool
    web: bool
    formats: Sequence[str]


class ShipWords(Words, total=False):
    """Also the keyword arguments of an app's page; see PageOptions."""

    example: Path | str | None
    about: str | None


class BenchmarkWords(Words, total=False):
    """Also the keyword arguments of a latency comparison; see Turns."""

    rounds: int
    runs: int


class SimulateWords(Words, total=False):
    """Also the keyword arguments of a simulation; see Simulating."""

    against: Path | str | None
    rounding: str
    processor: str | None
    proof: bool
    save: Path | str | None


class ExplainWords(TypedDict, total=False):
    """The keyword arguments of an explanation; see Explaining."""

    at: Sequence[int] | None
    reference: AnyModel | None
    rounding: str
    follow_links: bool


@dataclass(frozen=True)
class Options:
    """How a model is calibrated, refined, fitted to a target and written.

    calibrator, percentile: how ranges are chosen; None: min/max, or the ranges that a calibration file holds. effort:
    one of levels.EFFORTS; None: balanced with images, fast without. budget: the most work of balanced, as a multiple of
    its own budget, about two minutes on two cores; None: any amount. qformat: output format; None: that of the target.
    limit: most images to use, evenly spread. engine: where calibration runs, such as serial or processes:4. threads: of
    the runtime; 0: the number of physical cores. timeout: most seconds that the runtime may take for one image; 0 or
    None: any. seed: of learned rounding. masks: whether label masks beside the images are looked for in an evaluation.
    follow_links: whether symbolic links among the images may lead out of their folder. track: shows progress. inputs:
    constants of other inputs than the image, by name: numbers, arrays or paths of .npy files.
    """

    calibrator: str | None = None
    percentile: float | None = None
    settings: QuantSettings = field(default_factory=QuantSettings)
    effort: str | None = None
    budget: float | None = 1.0
    target: TargetOptions = field(default_factory=TargetOptions)
    qformat: str | None = None
    fold: Fold = field(default_factory=Fold)
    limit: int | None = None
    engine: str = "serial"
    threads: int = 0
    seed: int = 0
    masks: bool = True
    track: Track = quiet
    timeout: float | None = RUN_SECONDS
    follow_links: bool = False
    inputs: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.timeout is not None and not 0 <= self.timeout < math.inf:
            raise PlanError(f"timeout={self.timeout}: give seconds, or 0 for no limit")
        if self.effort is not None:
            levels.check(self.effort)
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise PlanError(f"budget={self.budget}: give how many times the usual work, or none for any amount")
        if self.budget != 1.0 and self.effort not in (None, levels.BALANCED):
            raise PlanError(f"effort={self.effort} has no work budget; leave budget=… out")
        self.target.qformat(self.qformat)

    @staticmethod
    def of(words: Mapping[str, Any]) -> "Options":
        """From keyword arguments.

        calibrator: minmax, entropy, mse, percentile or percentile:99.9. target: portable, ort-cpu, openvino or ort-web.
        format: qdq, qoperator, channels-last or web. weights: int8, uint8 or int4. activations: uint8 or int8. fold:
        "preprocess", "argmax" or both. The others are as in Options and QuantSettings. Raises PlanError,
        CalibrationError.
        """
        unknown = sorted(words.keys() - Words.__annotations__.keys())
        if unknown:
            raise PlanError(f"{unknown[0]}= is no option; choose of {', '.join(sorted(Words.__annotations__))}")
        name, _, percent = (words.get("calibrator") or "").partition(":")
        chosen = set(_several(words.get("fold", ())))
        if strange := sorted(chosen - {"preprocess", "argmax"}):
            raise PlanError(f"fold={strange[0]!r} is nothing to fold; choose of preprocess and argmax")
        return Options(
            calibrator=name or None,
            percentile=_number(percent) if percent else None,
            settings=QuantSettings(
                weight=qtype(words.get("weights", "int8"), "int8, uint8 or int4", parameter="weights"),
                activation=qtype(words.get("activations", "uint8"), "uint8 or int8", parameter="activations"),
                include=tuple(_several(words.get("include", ()))),
                exclude=tuple(_several(words.get("exclude", ()))),
                **_named(QuantSettings, words, without=("include", "exclude")),
            ),
            target=TargetOptions(**_named(TargetOptions, words)),
            qformat=words.get("format"),
            fold=Fold("preprocess" in chosen, "argmax" in chosen),
            **_named(Options, words, without=("calibrator", "target", "fold")),
        )

    @property
    def choice(self) -> Choice | None:
        """How activation ranges are chosen; None where neither calibrator nor percentile is given."""
        if self.calibrator is None and self.percentile is None:
            return None
        name = self.calibrator or DEFAULT_CALIBRATOR
        return Choice(name, self.percentile).with_grid(self.settings)

    def context(self, data: Dataset | None = None) -> Context:
        """Engine, threads, progress and seed as a Context. data: the calibration images; None: there are none."""
        return Context(
            NoImages() if data is None else data,
            engine=engine_named(self.engine),
            runtime=within(DEFAULT, self.timeout),
            threads=self.threads or default_threads(),
            track=self.track,
            seed=self.seed,
        )

    def judging(self, data: object) -> Opener:
        """A function that opens the evaluation images: at most `limit` of them, with the label masks beside them."""
        return opener(data, limit=self.limit, masks=self.masks, follow_links=self.follow_links)

    def images(self, data: object) -> Opener:
        """As `judging`, without masks."""
        return opener(data, limit=self.limit, follow_links=self.follow_links)

    def effort_for(self, *, images: bool, parameter: str = "data") -> str:
        """The effort level, with the default filled in. images: whether there are calibration images.

        parameter: name of the parameter that gives images, for the message. Raises CalibrationError where the effort
        needs images and there are none.
        """
        if images:
            return self.effort or levels.BALANCED
        if self.effort not in (None, levels.FAST):
            raise CalibrationError(
                f"effort={self.effort} looks at images, a calibration file has none; give {parameter}=… instead"
            )
        return levels.FAST


def chosen(options: Options | None, words: Mapping[str, Any]) -> Options:
    """The options given as a value, else those of the keyword arguments `words`. Raises PlanError if both are given."""
    if options is not None and words:
        raise PlanError(f"{next(iter(words))}= was given beside options=; give it in the options")
    return options or Options.of(words)


def parted(own: type[Own], options: Options | None, words: Mapping[str, Any]) -> tuple[Own, Options]:
    """Splits keyword arguments: those that are fields of the dataclass `own` as its value, the others as `chosen`."""
    mine = _named(own, words)
    return own(**mine), chosen(options, {name: value for name, value in words.items() if name not in mine})


def _named(kind: type[Any], words: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """The keyword arguments that are fields of the dataclass."""
    return {f.name: words[f.name] for f in fields(kind) if f.name in words and f.name not in without}


def _several(value: Iterable[str]) -> Iterable[str]:
    """A single string stands for a list of one."""
    return (value,) if isinstance(value, str) else value


def qtype(name: str, allowed: str, *, parameter: str = "") -> QType:
    """The integer type of that name. Raises PlanError; its message names `parameter`, if given."""
    if name not in QTYPES:
        raise PlanError(f"{f'{parameter}=' if parameter else ''}{name!r} is no integer type; choose {allowed}")
    return QTYPES[name]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CalibrationError(f"calibrator=percentile:{text} has no number; give percentile:99.9") from error
