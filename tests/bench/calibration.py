"""Time and memory of calibration, beside plain float inference of the same images and onnxruntime's calibrators.

python -m tests.bench.calibration
"""

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, redirect_stdout
from multiprocessing import get_context
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from quantseg import api
from quantseg.calibration.calibrators import CALIBRATORS
from quantseg.data import Dataset
from quantseg.data.drawn_cells import write_cells
from quantseg.data.sources import opener
from quantseg.quantization.float_model import FloatModel
from quantseg.refinement.options import Options
from quantseg.report import tables
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.memory import peak_of_this_process
from tests.bench import writing
from tests.support.models import unet

THREADS = 2
ROUNDS = 3
IMAGES, MANY = 64, 512
PEER_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
PEER_IMAGES = 16
"""onnxruntime's percentile and entropy calibrators keep every activation of every image: 64 would take 14 GB."""


GROWTH = ("quantseg minmax", "quantseg entropy")
"""Tasks whose memory is measured with many images too; the calibrators differ only in what follows the pass."""


def opened(model: Path, data: Path, limit: int) -> tuple[FloatModel, Dataset]:
    """The model, and so many images as it takes them."""
    loaded = api.load(model)
    return loaded, opener(data, limit=limit)(loaded.recipe, loaded.input)


def plain(model: Path, data: Path, limit: int) -> None:
    """Float inference of every image."""
    loaded, images = opened(model, data, limit)
    with closing(RUNTIMES["onnxruntime"].open(model, threads=THREADS)) as session:
        for index in range(len(images.names)):
            session.run({loaded.input.name: images.load(index).tensor})


def ours(name: str) -> Callable[[Path, Path, int], None]:
    """Calibration with this tool."""

    def run(model: Path, data: Path, limit: int) -> None:
        api.calibrate(*opened(model, data, limit), options=Options(calibrator=name, threads=THREADS))

    return run


def peer(name: str) -> Callable[[Path, Path, int], None]:
    """Calibration with onnxruntime's quantizer."""

    def run(model: Path, data: Path, limit: int) -> None:
        loaded, images = opened(model, data, limit)

        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self.feeds = ({loaded.input.name: images.load(i).tensor} for i in range(len(images.names)))

            def get_next(self):
                return next(self.feeds, None)

        augmented = str(model.with_suffix(f".{name}.onnx"))
        with redirect_stdout(io.StringIO()):
            calibrator = create_calibrator(model, augmented_model_path=augmented, calibrate_method=PEER_METHODS[name])
            calibrator.collect_data(Reader())
            calibrator.compute_data()

    return run


TASKS: dict[str, Callable[[Path, Path, int], None]] = {
    "float inference": plain,
    **{f"quantseg {name}": ours(name) for name in CALIBRATORS},
    **{f"peer {name}": peer(name) for name in PEER_METHODS},
}


def measured(task: str, model: Path, data: Path, limit: int) -> tuple[float, int]:
    """Seconds and peak bytes of one task, in this process."""
    start = time.perf_counter()
    TASKS[task](model, data, limit)
    return time.perf_counter() - start, peak_of_this_process() or 0


def alone(task: str, model: Path, data: Path, limit: int) -> tuple[float, int]:
    """Seconds and peak bytes of one task in a fresh process, imports not counted in the seconds."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measured, task, model, data, limit).result()


def main() -> None:
    """Measures and writes the report."""
    writing.parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, data, few = Path(folder) / "unet.onnx", Path(folder) / "data", 16
        onnx.save(unet(), model)
        write_cells(data, MANY, seed=0, size=(256, 256))
        limits = {task: PEER_IMAGES if task.startswith("peer") else IMAGES for task in TASKS}
        seconds: dict[str, list[float]] = {task: [] for task in TASKS}
        for _ in range(ROUNDS):
            for task, limit in limits.items():
                seconds[task].append(alone(task, model, data, limit)[0])
        medians = {task: statistics.median(times) / limits[task] for task, times in seconds.items()}
        peaks = {task: {few: alone(task, model, data, few)[1]} for task in TASKS}
        for task in GROWTH:
            peaks[task][MANY] = alone(task, model, data, MANY)[1]
    base = medians["float inference"]
    rows = [
        (
            task,
            limits[task],
            tables.milliseconds(1e3 * medians[task]),
            f"{medians[task] / base:.2f}",
            tables.megabytes(peaks[task][few]),
            tables.megabytes(peaks[task].get(MANY)),
            f"{peaks[task][MANY] / peaks[task][few] - 1:+.1%}" if MANY in peaks[task] else None,
        )
        for task in TASKS
    ]
    headers = ("task", "images", "per image", "vs float", "peak, 16", f"peak, {MANY}", "growth")
    page = writing.Page(
        "Calibration: time and memory",
        f"U-Net of tests/support/models.py (base 32, depth 4, 256x256) on drawn blood smears, {THREADS} threads, each "
        f"task in a fresh process, medians of {ROUNDS} alternating rounds; loading of model and images counts for all. "
        "Peer: the calibrators of onnxruntime's quantizer. Peak: resident memory of the process.",
        {"Calibration beside plain float inference": (headers, rows)},
    )
    writing.write("calibration", page, {"seconds": seconds, "images": limits, "peaks": peaks})


if __name__ == "__main__":
    main()
