"""The test bench: models run on processors that this machine is not. See README.md.

from tests.processors import PROCESSORS, available, run
"""

from tests.processors.packages import UnavailableError
from tests.processors.running import Task, available, ready, run, run_all
from tests.processors.table import PROCESSORS, Processor

__all__ = ["PROCESSORS", "Processor", "Task", "UnavailableError", "available", "ready", "run", "run_all"]
