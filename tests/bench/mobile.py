"""What NNAPI and CoreML would take of each model, in float and in int8, by onnxruntime's mobile usability checker.

    python -m tests.bench.mobile [MODEL …]

Counts operators and partitions; nothing runs on a phone. Needs the models and images in ../shared.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import onnxruntime

from quantseg import graph
from quantseg.data.recipe import METADATA_KEY
from quantseg.runtimes.mobile import MobileFit, mobile_fits
from tests.bench import contestants, writing
from tests.docs.pages import ROOT, blocks

IMAGES = 4
PROVIDERS = ("NNAPI", "CoreML (NeuralNetwork)", "CoreML (MLProgram)")


@dataclass(frozen=True)
class Form:
    """One form of a model: float, int8, or float with int8 weights that are dequantised when it is loaded."""

    name: str
    fits: tuple[MobileFit, ...]


def forms(name: str) -> Iterator[Form]:
    """The float model, what `quantseg quantize` writes of it, and the graph before that with its weights in int8."""
    with contestants.subject(name, calibration=IMAGES, validation=1) as subject:
        yield Form("float", mobile_fits(subject.path))
        made = subject.quantised()
        yield Form("int8", mobile_fits(graph.to_bytes(made.model)))
        with tempfile.TemporaryDirectory() as folder:
            copy = graph.load(subject.path)
            copy.metadata_props[METADATA_KEY] = subject.model.recipe.to_toml()
            graph.save(copy, Path(folder) / "model.onnx")
            yield Form("int8 weights", mobile_fits(loaded(Path(folder))))


def loaded(folder: Path) -> Path:
    """What Core ML's provider sees of coreml.onnx, which the program of docs/use/ios.md writes beside model.onnx."""
    code = next(
        one.code for one in blocks((ROOT / "docs/use/ios.md").read_text(encoding="utf-8")) if one.language == "python"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.optimized_model_filepath = str(folder / "loaded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(folder / "coreml.onnx", options, providers=["CPUExecutionProvider"])
    return folder / "loaded.onnx"


def cell(fit: MobileFit) -> str:
    """Partitions, and nodes in them of all."""
    return f"{fit.partitions}: {fit.taken} of {fit.nodes}"


def main() -> None:
    """Counts and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", default=contestants.names())
    asked = parser.parse_args()
    found = {name: tuple(forms(name)) for name in asked.models}
    rows = [
        (
            name,
            form.name,
            *(cell(fit) for fit in form.fits),
            ", ".join(form.fits[0].refused),
            ", ".join(form.fits[2].refused),
        )
        for name, every in found.items()
        for form in every
    ]
    headers = ("model", "form", *PROVIDERS, "NNAPI lacks", "MLProgram lacks")
    method = (
        "onnxruntime's checker (tools/mobile_helpers/usability_checker) after basic optimisation, sizes fixed: "
        "partitions, and nodes in them of all. One partition is what pays: each costs a copy to the accelerator and "
        "back. It looks at operators, not at the limits that onnxruntime's lists state beside one; nothing ran on a "
        "phone. int8: effort fast, portable. int8 weights: what docs/use/ios.md makes of the float network as quantseg "
        "prepares it (ConvTranspose as a convolution, operators of old opsets in today's form), opened with "
        "session.disable_quant_qdq."
    )
    page = writing.Page("Phones' accelerators", method, {"Partitions": (headers, rows)})
    figures = {name: {form.name: [asdict(fit) for fit in form.fits] for form in every} for name, every in found.items()}
    writing.write("mobile", page, {"models": figures})


if __name__ == "__main__":
    main()
