"""Why the masks differ: the error sources of models, a page for each.

    python -m tests.bench.error_sources [--models a,b] [--effort fast]

Needs the models and images in ../shared. One page a model: reports/benchmarks/error_sources_MODEL.md.
"""

from quantseg import api
from quantseg.data import Subset
from quantseg.refinement.options import Options
from quantseg.report import error_sources
from tests.bench import contestants, writing

CALIBRATION, JUDGED, TOP = 24, 4, 12
WORST = (
    "segnet",
    "unet_bilinear",
    "deeplab_v3_mbv2_voc",
    "mobile",
    "sinet_portrait",
    "linknet",
)
"""The six models whose masks agreed least at balanced when outputs had got a range for each channel."""


def main() -> None:
    """Measures the models and writes their pages."""
    parser = writing.parser(__doc__)
    parser.add_argument("--models", default=",".join(WORST), help="names, with commas between")
    parser.add_argument("--effort", default="fast", help="of the models that are explained")
    given = parser.parse_args()
    options = Options(effort=given.effort, threads=contestants.THREADS)
    for name in given.models.split(","):
        with contestants.subject(name, calibration=CALIBRATION, validation=CALIBRATION) as subject:
            step = max(1, len(subject.calibration.names) // CALIBRATION)
            every = range(0, len(subject.calibration.names), step)
            calibration = Subset(subject.calibration, tuple(every)[:CALIBRATION])
            few = range(0, len(subject.validation.names), max(1, len(subject.validation.names) // JUDGED))
            judged = Subset(subject.validation, tuple(few)[:JUDGED])
            found = api.error_sources(subject.model, judged, calib=calibration, options=options)
        sections = error_sources.sections(found, top=TOP, whole=True)
        page = writing.Page(
            f"Error sources of {name}",
            f"At effort {given.effort}, {CALIBRATION} images to calibrate on, {found.images} others to measure on "
            f"(sinet: the same). {error_sources.KEY}.",
            {heading: (headers, rows) for heading, headers, rows in sections},
            module="error_sources",
        )
        writing.write(f"error_sources_{name}", page, {"sources": found.to_json()})


if __name__ == "__main__":
    main()
