"""The collaborators of a step: where images come from, what runs models, how work is spread."""

from dataclasses import dataclass, field

from quantseg.calibration.engines import Engine, Serial, Threads
from quantseg.data import Dataset, NoImages
from quantseg.progress import Track, quiet
from quantseg.runtimes import DEFAULT, Runtime
from quantseg.runtimes.threads import default_threads


@dataclass(frozen=True)
class Context:
    """What steps work with, passed in once.

    data: the calibration images. runtime: what runs float models and rounded ones. engine: where work on many images
    is spread. threads: of the runtime. track: progress. seed: of what is random.
    """

    data: Dataset = field(default_factory=NoImages)
    runtime: Runtime = DEFAULT
    engine: Engine = field(default_factory=Serial)
    threads: int = field(default_factory=default_threads)
    track: Track = quiet
    seed: int = 0

    @property
    def beside(self) -> Engine:
        """Where many models are measured side by side, each on one thread: the engine's workers, else our threads."""
        return self.engine if self.engine.workers > 1 else Threads(self.threads)
