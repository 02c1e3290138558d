"""How many threads a runtime gets where nobody says."""

import os

from quantseg.runtimes.threads import default_threads


def test_default_threads_are_cores_that_we_may_use() -> None:
    assert 1 <= default_threads() <= (os.cpu_count() or 1)
