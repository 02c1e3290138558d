"""The collaborators of a step: the calibration images, the runtime, and the engine that spreads work."""

from dataclasses import dataclass, field

from quantseg.calibration.engines import Engine, Serial, Threads
from quantseg.data import Dataset, NoImages
from quantseg.progress import Track, quiet
from quantseg.runtimes import DEFAULT, Runtime
from quantseg.runtimes.threads import default_threads


@dataclass(frozen=True)
class Context:
    """The collaborators of all steps, passed in once.

    data: the calibration images. runtime: runs float and fake-quantised models. engine: spreads work over images.
    threads: of the runtime. track: progress. seed: of everything random.
    """

    data: Dataset = field(default_factory=NoImages)
    runtime: Runtime = DEFAULT
    engine: Engine = field(default_factory=Serial)
    threads: int = field(default_factory=default_threads)
    track: Track = quiet
    seed: int = 0

    @property
    def beside(self) -> Engine:
        """The engine for many models side by side, each on one thread: the context's, or threads where it is serial."""
        return self.engine if self.engine.workers > 1 else Threads(self.threads)
