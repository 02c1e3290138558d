"""What a command writes, and over what: without --force only over files that it wrote itself for the same inputs.

How that is known: the mark of `files.origin`; of an int8 model, the float model's digest in its metadata; of a
calibration, the model's digest and the images'.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantseg.cli import console
from quantseg.errors import ModelError, OutputError

if TYPE_CHECKING:
    from quantseg.files.origin import Origin

_REMEDY = "choose another name, or overwrite it with --force"


@dataclass(frozen=True)
class Outputs:
    """The files that one run of a command writes.

    command: its name. reads: the files that it reads, models first. data: words that name images. force: whether files
    of others are overwritten.
    """

    command: str
    reads: tuple[Path | None, ...] = ()
    data: tuple[Path | None, ...] = ()
    force: bool = False

    @cached_property
    def origin(self) -> "Origin":
        """The mark of what is written, from the contents of the inputs as they are at the first call."""
        from quantseg.data.listing import listing_digest
        from quantseg.files.origin import Origin

        files = (_digest(path) for path in self.reads if path is not None)
        return Origin.of(self.command, *files, *(listing_digest(word) for word in self.data if word is not None))

    def check(self, *targets: Path | None, taken: Iterable[Path | None] = ()) -> None:
        """Raises OutputError for a target that cannot be written, is read or named twice, or is somebody else's."""
        from quantseg.files import check_writable

        known = [*self.reads, *taken]
        for target in targets:
            if target is not None:
                check_writable(target, taken=known)
                known.append(target)
                self.check_owner(target, self.origin)

    def check_owner(self, target: Path, origin: "Origin") -> None:
        """Raises OutputError where there is a file without this mark, unless it is forced."""
        from quantseg.files.origin import found_in

        if self.force or not target.exists():
            return
        found = found_in(target)
        if found is None:
            raise OutputError(f"{target}: is there and was not written by quantseg {self.command}; {_REMEDY}")
        if found.origin.command != origin.command:
            raise OutputError(f"{target}: was written by quantseg {found.origin.command}; {_REMEDY}")
        if found.origin != origin:
            raise OutputError(f"{target}: was written for another model or other images; {_REMEDY}")
        if found.changed:
            raise OutputError(f"{target}: was changed since quantseg {self.command} wrote it; {_REMEDY}")

    def check_model(self, target: Path) -> None:
        """As `check`, for an int8 model of the first file that is read. Raises ModelError where that is none."""
        from quantseg.files import check_writable
        from quantseg.graph import digest
        from quantseg.quantization.model_files import maker_of

        check_writable(target, taken=self.reads)
        if self.force or not target.exists():
            return
        made, model = maker_of(target), self.reads[0]
        if made is None:
            raise OutputError(f"{target}: is there and was not written by quantseg {self.command}; {_REMEDY}")
        if made.command != self.command:
            raise OutputError(f"{target}: was written by quantseg {made.command}; {_REMEDY}")
        if model is not None and made.float_digest != digest(model):
            raise OutputError(f"{target}: was made of another float model than {model}; {_REMEDY}")

    def json(self, target: Path | None, value: Any) -> None:
        """Writes a value as JSON, if there is a target, and says so."""
        from quantseg.files import write_json

        if target is not None:
            write_json(target, self.origin.marked_json(value))
            console.written(target)

    def toml(self, target: Path, text: str) -> None:
        """Writes a text in TOML, and says so."""
        from quantseg.files import write_text

        write_text(target, self.origin.marked_toml(text))
        console.written(target)

    def figure(self, target: Path, svg: str) -> None:
        """Writes an SVG figure, and says so."""
        from quantseg.files import write_text

        write_text(target, self.origin.marked(svg))
        console.written(target)


def check_calibration(targets: Iterable[Path], model: str, images: frozenset[str]) -> None:
    """Raises OutputError where a file is no calibration of this model, or is one of other images.

    model: its SHA-256. images: those of the images.
    """
    from quantseg.calibration import file
    from quantseg.errors import CalibrationError

    for target in targets:
        try:
            found = file.read(target)
        except CalibrationError as error:
            fact = "is there and was not written by quantseg calibrate"
            raise OutputError(f"{target}: {fact}; {_REMEDY}") from error
        if found.model != model:
            raise OutputError(f"{target}: was made of another model; {_REMEDY}")
        if not {image.digest for image in found.observations.images} <= images:
            raise OutputError(f"{target}: was made of other images; {_REMEDY}")


def _digest(path: Path) -> str:
    """Of a file's content; of what cannot be read, its name: the command will say what is wrong with it."""
    from quantseg import graph
    from quantseg.files import sha256_of_file

    try:
        return graph.digest(path)
    except ModelError:
        try:
            return sha256_of_file(path)
        except OSError:
            return str(path)
