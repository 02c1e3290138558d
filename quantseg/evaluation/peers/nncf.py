"""NNCF's post-training quantisation for OpenVINO, as a peer in the tool comparison.

For a fair comparison NNCF gets the model as OpenVINO's own reader reads it, with static image sizes; the CPU as target
device; every calibration image; and the preset that its documentation recommends: "mixed" (asymmetric activations) for
networks with activations other than ReLU, else its default, "performance" (symmetric). All other settings are
defaults, bias correction included.
Source: OpenVINO documentation, "Basic Quantization Flow".
"""

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from quantseg.errors import MissingExtraError, PeerError, QuantSegError
from quantseg.evaluation.peers.silence import silence
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.openvino_cpu import openvino, read_model, reason

_OFF = "NNCF_CI"
"""Environment variable that, set before the import, turns off NNCF's telemetry."""
_NOT_RELU = frozenset(
    {
        *("Elu", "Erf", "Gelu", "HSigmoid", "HSwish", "HardSigmoid", "Mish", "PRelu", "Selu", "Sigmoid", "SoftPlus"),
        *("SoftSign", "Swish", "Tanh"),
    }
)
"""Activations other than ReLU, by OpenVINO's names. A leaky ReLU is a PRelu there; a ReLU6 is a Clamp."""


def nncf() -> ModuleType:
    """The nncf package, silent and without telemetry. Raises MissingExtraError where it is not installed."""
    kept = logging.getLoggerClass()
    with _set(_OFF, "1"), silence():
        try:
            import nncf
        except ImportError as error:
            raise MissingExtraError('NNCF is not installed; pip install "quantseg[openvino]"') from error
        finally:
            logging.setLoggerClass(kept)  # importing NNCF replaces the logger class of the whole process
    return nncf  # type: ignore[no-any-return]


def quantize_with_nncf(
    model: Path,
    output: Path,
    feeds: Iterable[Mapping[str, NDArray[Any]]],
    *,
    images: int,
    exclude: Collection[str] = (),
) -> None:
    """Quantises `model` with NNCF and writes OpenVINO IR: `output` (.xml) and a .bin beside it.

    feeds: `images` sets of calibration inputs, iterable more than once. Weights that stay float are written as
    float32, not compressed. exclude: names of operations that stay float; those that the reader drops are ignored.
    Raises PeerError with NNCF's own reason, MissingExtraError without the extra.
    """
    tool, package = nncf(), openvino()
    with silence():
        try:
            source = read_model(model)
            source.reshape({name: list(array.shape) for name, array in next(iter(feeds)).items()})
            made = tool.quantize(
                source,
                tool.Dataset(feeds),
                preset=tool.QuantizationPreset(preset(source)),
                target_device=tool.TargetDevice.CPU,
                subset_size=images,
                ignored_scope=tool.IgnoredScope(names=sorted(exclude), validate=False) if exclude else None,
            )
            package.save_model(made, output, compress_to_fp16=False)
            RUNTIMES["openvino"].open(output, threads=1).close()
        except QuantSegError:
            raise
        except Exception as error:  # NNCF may raise any exception, AssertionError included
            for part in (output, output.with_suffix(".bin")):
                part.unlink(missing_ok=True)
            raise PeerError(f"{model}: NNCF failed ({reason(error)})") from error


def preset(model: Any) -> str:
    """The preset for a network: "mixed" if it has a hidden activation other than ReLU, else "performance".

    model: an openvino.Model. A final activation, such as the sigmoid of a mask, is not a hidden one.
    """
    inside = any(
        operation.get_type_name() in _NOT_RELU
        and any(user.get_node().get_type_name() != "Result" for user in operation.output(0).get_target_inputs())
        for operation in model.get_ops()
    )
    return "mixed" if inside else "performance"


@contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable inside a `with` block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
