"""Settings for all tests: hypothesis without deadlines (the machine may be busy), and the same examples in CI."""

import os

from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("default")
