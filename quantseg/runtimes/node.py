"""A node process that runs models in onnxruntime-web: messages to it, and what is done where it dies or hangs.

One process is kept for each number of threads: it has compiled the WebAssembly already, and its hot kernels are
optimised. A message is 4 bytes with the length of the header, the header (JSON), and the attachments whose sizes the
header tells; web/session.mjs is the other side.
"""

import atexit
import json
import struct
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantseg.errors import MissingExtraError, printable
from quantseg.runtimes import npm, programs
from quantseg.runtimes.deadlines import DEADLINES

_SCRIPT = Path(__file__).parent / "web" / "session.mjs"
_LENGTH = struct.Struct("<I")
_START_SECONDS = 60.0

Message = tuple[Mapping[str, Any], Sequence[bytes]]


class NodeError(Exception):
    """What onnxruntime-web says of its failure. fatal: the process has ended."""

    def __init__(self, reason: str, *, fatal: bool = False, late: bool = False) -> None:
        super().__init__(reason)
        self.fatal, self.late = fatal, late


class NodeProcess:
    """A node process with onnxruntime-web in it. Safe for several threads, which wait for each other."""

    def __init__(self, threads: int) -> None:
        """Starts it. Raises MissingExtraError without node or the npm package, NodeError where it does not begin."""
        dist = npm.onnxruntime_web() / "dist"
        self._turn = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        command = [npm.node(), str(_SCRIPT), str(dist), str(threads)]
        try:
            self._program = programs.start(command, stderr=self._errors)
        except OSError as error:
            raise MissingExtraError(
                f"{command[0]}: cannot be started ({error.strerror or error}); install it anew"
            ) from error
        with self._turn:
            self._exchange(None, _START_SECONDS)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._program.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._program.poll() is None

    def ask(self, what: str, header: Mapping[str, Any], attached: Sequence[bytes], seconds: float | None) -> Message:
        """The answer to a request. seconds: the most that it may take; None: any.

        Raises NodeError where onnxruntime-web refuses, and where the process died or was ended as it took too long.
        """
        asked = {**header, "what": what, "sizes": list(map(len, attached))}
        with self._turn:
            answer, parts = self._exchange((asked, attached), seconds)
        if "error" in answer:
            if answer["fatal"]:
                self.end()
            raise NodeError(str(answer["error"]), fatal=bool(answer["fatal"]))
        return answer, parts

    def end(self) -> None:
        """Ends it."""
        programs.end(self._program)
        self._errors.close()

    def _exchange(self, message: Message | None, seconds: float | None) -> Message:
        """Sends a message, if there is one, and reads the next one."""
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._program.kill()

        try:
            if seconds is None:
                return self._sent_and_read(message)
            with DEADLINES.within(seconds, kill):
                return self._sent_and_read(message)
        except (OSError, EOFError, ValueError) as error:  # ValueError: of a closed pipe
            raise self._ended(late.is_set()) from error
        except BaseException:  # interrupted halfway: what comes next is not the answer to what is asked next
            self._program.kill()
            raise

    def _sent_and_read(self, message: Message | None) -> Message:
        to, of = self._program.stdin, self._program.stdout
        assert to is not None
        assert of is not None
        if message is not None:
            header, attached = message
            text = json.dumps(header).encode()
            for part in (_LENGTH.pack(len(text)), text, *attached):
                to.write(part)
            to.flush()
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        answer = json.loads(self._read(length))
        return answer, [self._read(size) for size in answer["sizes"]]

    def _read(self, count: int) -> bytes:
        assert self._program.stdout is not None
        content = self._program.stdout.read(count)
        if len(content) < count:
            raise EOFError
        return content

    def _ended(self, late: bool) -> NodeError:
        """The error of a process that is no more; its last words, where it says any."""
        code = programs.end(self._program)
        if self._errors.closed:
            return NodeError("its node process has ended", fatal=True)
        self._errors.seek(0)
        words = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if "rror" in line]
        self._errors.close()
        return NodeError(
            f"its node process ended with code {code}{f': {printable(words[0])}' if words else ''}",
            fatal=True,
            late=late,
        )


_processes: dict[int, NodeProcess] = {}
_starting = threading.Lock()


def process_for(threads: int) -> NodeProcess:
    """The process for so many threads, started if there is none; see NodeProcess."""
    with _starting:
        found = _processes.get(threads)
        if found is None or not found.is_alive:
            if found is not None:
                found.end()
            found = _processes[threads] = NodeProcess(threads)
        return found


def _end_all() -> None:
    for process in _processes.values():
        process.end()


atexit.register(_end_all)
