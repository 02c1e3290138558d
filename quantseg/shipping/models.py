"""An app of an int8 model: of a file, taken as it is, or of what was quantised just now."""

from dataclasses import dataclass
from pathlib import Path

from quantseg import graph
from quantseg.quantization.writing import QuantizedModel
from quantseg.shipping.contents import App, app_of
from quantseg.shipping.story import Story


@dataclass(frozen=True)
class PageOptions:
    """Options of an app's page. example: an image that it shows first. about: what pictures the model is for."""

    example: Path | str | None = None
    about: str | None = None


def is_int8(model: object) -> bool:
    """Whether a model is quantised already: a result, or a file. Raises ModelError for a file that is no model."""
    if isinstance(model, QuantizedModel):
        return True
    return isinstance(model, (str, Path)) and graph.is_quantised(graph.load(Path(model)))


def app_of_file(path: Path, story: Story, example: bytes | None) -> App:
    """The app of an int8 model's file. example: a PNG. Raises ModelError."""
    graph.load(path)  # checks it, and raises the errors that name the file
    return app_of(path.read_bytes(), path.stem.removesuffix(".int8"), story, example=example)


def app_of_result(made: QuantizedModel, name: str, story: Story, example: bytes | None) -> App:
    """The app of a model that was quantised just now. name: the float model's. Raises ModelError."""
    return app_of(graph.to_bytes(made.model), name, story, example=example)
