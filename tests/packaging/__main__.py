"""python -m tests.packaging FOLDER: looks into the wheels and sdists in a folder. Exit code 1 if something is wrong."""

import sys
from pathlib import Path

from tests.packaging.distributions import DISTRIBUTIONS, faults


def main(folder: Path) -> int:
    """Prints the size of each file and what is wrong with it, and returns the exit code."""
    wrong = []
    for distribution in DISTRIBUTIONS:
        for ending in (".whl", ".tar.gz"):
            name = f"{distribution.package}-*{ending}"
            built = list(folder.glob(name))
            if len(built) != 1:
                wrong.append(f"{name}: {len(built)} files, not one")
                continue
            print(f"{built[0].name}: {built[0].stat().st_size / 1e6:.1f} MB")
            wrong += [f"{built[0].name}: {fault}" for fault in faults(built[0], distribution)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
