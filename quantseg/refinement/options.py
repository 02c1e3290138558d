"""How a model is made: one value, the same for every command and every Python call that makes one."""

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
from quantseg.runtimes.threads import default_threads

Own = TypeVar("Own")


class Words(TypedDict, total=False):
    """The words in which Python calls ask for options; `Options.of` says what each means."""

    calibrator: str
    effort: str
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
    limit: int
    masks: bool
    engine: str
    threads: int
    seed: int
    track: Track


class SearchWords(Words, total=False):
    """Also those of a search; see SearchGoal."""

    max_iou_drop: float
    max_class_drop: Sequence[str]
    labels: bool
    evaluations: int


class ReportWords(Words, total=False):
    """Also those of a report; see Reporting."""

    name: str
    rounds: int
    pictures: bool
    peer: bool
    int8_model: Path | None
    dataset: str | None
    note: str | None
    commands: Sequence[str]


class CompareWords(Words, total=False):
    """Also those of a comparison; see Comparing."""

    rounds: int
    openvino: bool
    formats: Sequence[str]


class BenchmarkWords(Words, total=False):
    """Also those of timing; see Turns."""

    rounds: int
    runs: int


class SimulateWords(Words, total=False):
    """Also those of a simulation; see Simulating."""

    against: Path | str | None
    rounding: str
    processor: str | None
    proof: bool
    save: Path | str | None


class ExplainWords(TypedDict, total=False):
    """Those of an explanation; see Explaining."""

    at: Sequence[int] | None
    reference: AnyModel | None
    rounding: str


@dataclass(frozen=True)
class Options:
    """How a model is calibrated, refined, fitted to a target and written.

    calibrator, percentile: how ranges are chosen; None is min/max, or as a calibration file has them. effort: one of
    levels.EFFORTS; None is balanced with images and fast without. qformat: None is the target's own. limit: at most so
    many images, evenly spread. masks: whether those beside images are looked for where a model is judged. engine: where
    images are observed, as in processes:4. threads: of the runtime, 0 for the physical cores. seed: of learned
    rounding. track: shows progress.
    """

    calibrator: str | None = None
    percentile: float | None = None
    settings: QuantSettings = field(default_factory=QuantSettings)
    effort: str | None = None
    target: TargetOptions = field(default_factory=TargetOptions)
    qformat: str | None = None
    fold: Fold = field(default_factory=Fold)
    limit: int | None = None
    engine: str = "serial"
    threads: int = 0
    seed: int = 0
    masks: bool = True
    track: Track = quiet

    def __post_init__(self) -> None:
        if self.effort is not None:
            levels.check(self.effort)
        self.target.qformat(self.qformat)

    @staticmethod
    def of(words: Mapping[str, Any]) -> "Options":
        """From words.

        calibrator: minmax, entropy, mse, percentile or percentile:99.9. target: portable, ort-cpu or openvino. format:
        qdq, qoperator or channels-last. weights: int8, uint8 or int4. activations: uint8 or int8. fold: of "preprocess"
        and "argmax". The others are as in Options and QuantSettings. Raises PlanError, CalibrationError.
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
        """How ranges are chosen, for the activations of the settings; None where nothing asks for it."""
        if self.calibrator is None and self.percentile is None:
            return None
        name = self.calibrator or DEFAULT_CALIBRATOR
        return Choice(name, self.percentile).with_grid(self.settings)

    def context(self, data: Dataset | None = None) -> Context:
        """The collaborators that these options ask for. data: the calibration images, where there are any."""
        return Context(
            NoImages() if data is None else data,
            engine=engine_named(self.engine),
            threads=self.threads or default_threads(),
            track=self.track,
            seed=self.seed,
        )

    def judging(self, data: object) -> Opener:
        """How images to judge on are opened: at most so many, with the masks beside them."""
        return opener(data, limit=self.limit, masks=self.masks)

    def effort_for(self, *, images: bool, parameter: str = "data") -> str:
        """The effort, where there are calibration images and where not.

        parameter: that gives them. Raises CalibrationError where the effort needs some.
        """
        if images:
            return self.effort or levels.BALANCED
        if self.effort not in (None, levels.FAST):
            raise CalibrationError(
                f"effort={self.effort} looks at images, a calibration file has none; give {parameter}=… instead"
            )
        return levels.FAST


def chosen(options: Options | None, words: Mapping[str, Any]) -> Options:
    """The options that were given as a value, or else those of the words. Raises PlanError for both."""
    if options is not None and words:
        raise PlanError(f"{next(iter(words))}= was given beside options=; give it in the options")
    return options or Options.of(words)


def parted(own: type[Own], options: Options | None, words: Mapping[str, Any]) -> tuple[Own, Options]:
    """A verb's own words as a value of `own`, a dataclass, and the options as of `chosen`."""
    mine = _named(own, words)
    return own(**mine), chosen(options, {name: value for name, value in words.items() if name not in mine})


def _named(kind: type[Any], words: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """Those of the words that are fields of the dataclass."""
    return {f.name: words[f.name] for f in fields(kind) if f.name in words and f.name not in without}


def _several(value: Iterable[str]) -> Iterable[str]:
    """One word alone is a list of one."""
    return (value,) if isinstance(value, str) else value


def qtype(name: str, allowed: str, *, parameter: str = "") -> QType:
    """The integer type of that name. Raises PlanError, which names the parameter where one is given."""
    if name not in QTYPES:
        raise PlanError(f"{f'{parameter}=' if parameter else ''}{name!r} is no integer type; choose {allowed}")
    return QTYPES[name]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CalibrationError(f"calibrator=percentile:{text} has no number; give percentile:99.9") from error
