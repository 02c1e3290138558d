"""The folder of what is kept between commands: timings, packages that were fetched."""

import os
from pathlib import Path

import platformdirs

FOLDER_VARIABLE = "QUANTSEG_CACHE"
"""The environment variable that names a folder to use in place of the user's cache folder."""


def folder() -> Path:
    """The folder: $QUANTSEG_CACHE, else the user's cache folder. It need not exist."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    return Path(platformdirs.user_cache_dir("quantseg", appauthor=False))
