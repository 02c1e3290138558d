"""How a model is made: one value, the same for every command and every Python call that makes one."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TypedDict

from quantseg.calibration.choosing import DEFAULT_CALIBRATOR, Choice
from quantseg.calibration.context import Context
from quantseg.calibration.engines import engine_named
from quantseg.data import Dataset, NoImages
from quantseg.errors import CalibrationError, PlanError
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.progress import Track, quiet
from quantseg.quantization.folding import Fold
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import QTYPES, QType
from quantseg.refinement import levels
from quantseg.runtimes.threads import default_threads


class Words(TypedDict, total=False):
    """The words in which Python calls ask for options; `Options.of` says what each means."""

    calibrator: str
    effort: str
    target: str
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
    engine: str
    threads: int
    seed: int


@dataclass(frozen=True)
class Options:
    """How a model is calibrated, refined, fitted to a target and written.

    calibrator, percentile: how ranges are chosen; None is min/max, or as a calibration file has them. effort: one of
    levels.EFFORTS; None is balanced with images and fast without. qformat: None is the target's own. limit: at most so
    many images, evenly spread. engine: where images are observed, as in processes:4. threads: of the runtime, 0 for the
    physical cores. seed: of learned rounding.
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

    def __post_init__(self) -> None:
        if self.effort is not None:
            levels.check(self.effort)
        self.target.qformat(self.qformat)

    @staticmethod
    def of(words: Words) -> "Options":
        """From words.

        calibrator: minmax, entropy, mse, percentile or percentile:99.9. target: portable, ort-cpu or openvino. format:
        qdq, qoperator or channels-last. weights: int8, uint8 or int4. activations: uint8 or int8. fold: of "preprocess"
        and "argmax". The others are as in Options and QuantSettings. Raises PlanError, CalibrationError.
        """
        unknown = sorted(words.keys() - Words.__annotations__.keys())
        if unknown:
            raise PlanError(f"{unknown[0]}= is no option; choose of {', '.join(sorted(Words.__annotations__))}")
        name, _, percent = (words.get("calibrator") or "").partition(":")
        chosen = set(words.get("fold", ()))
        if strange := sorted(chosen - {"preprocess", "argmax"}):
            raise PlanError(f"fold={strange[0]!r} is nothing to fold; choose of preprocess and argmax")
        settings = {f.name: words[f.name] for f in fields(QuantSettings) if f.name in words}  # type: ignore[literal-required]
        return Options(
            calibrator=name or None,
            percentile=_number(percent) if percent else None,
            settings=QuantSettings(
                **settings
                | {"include": tuple(words.get("include", ())), "exclude": tuple(words.get("exclude", ()))}
                | {"weight": qtype(words.get("weights", "int8"), "weights", "int8, uint8 or int4")}
                | {"activation": qtype(words.get("activations", "uint8"), "activations", "uint8 or int8")}
            ),
            effort=words.get("effort"),
            target=TargetOptions(words.get("target", "portable")),
            qformat=words.get("format"),
            fold=Fold("preprocess" in chosen, "argmax" in chosen),
            limit=words.get("limit"),
            engine=words.get("engine", "serial"),
            threads=words.get("threads", 0),
            seed=words.get("seed", 0),
        )

    @property
    def choice(self) -> Choice | None:
        """How ranges are chosen, for the activations of the settings; None where nothing asks for it."""
        if self.calibrator is None and self.percentile is None:
            return None
        name = self.calibrator or DEFAULT_CALIBRATOR
        return Choice(name, self.percentile).with_grid(self.settings)

    def context(self, data: Dataset | None = None, track: Track = quiet) -> Context:
        """The collaborators that these options ask for. data: the calibration images, where there are any."""
        return Context(
            NoImages() if data is None else data,
            engine=engine_named(self.engine),
            threads=self.threads or default_threads(),
            track=track,
            seed=self.seed,
        )

    def effort_for(self, *, images: bool) -> str:
        """The effort, where there are calibration images and where not. Raises CalibrationError where it needs some."""
        if images:
            return self.effort or levels.BALANCED
        if self.effort not in (None, levels.FAST):
            raise CalibrationError(
                f"effort={self.effort} looks at images, a calibration file has none; give the images instead"
            )
        return levels.FAST


def qtype(name: str, parameter: str, allowed: str) -> QType:
    """The integer type of that name. Raises PlanError, which names the parameter."""
    if name not in QTYPES:
        raise PlanError(f"{parameter}={name!r} is no integer type; choose {allowed}")
    return QTYPES[name]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CalibrationError(f"calibrator=percentile:{text} has no number; give percentile:99.9") from error
