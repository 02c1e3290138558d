"""Class colours that are safe for colour-blind readers, the most distinct first.

The first seven are Okabe and Ito's (2008), the next nine Paul Tol's "muted" (SRON technical note 2021-01). Models with
more classes reuse the colours, each time darker: no palette has that many distinct ones.
"""

from collections.abc import Sequence

import numpy as np

Colour = tuple[int, int, int]

BACKGROUND: Colour = (52, 58, 70)
IGNORED: Colour = (200, 200, 200)
CHANGED: Colour = (255, 0, 128)
LOST: Colour = (235, 0, 20)

_OKABE_ITO = bytes.fromhex("56b4e9 d55e00 f0e442 0072b2 cc79a7 009e73 e69f00")
_TOL_MUTED = bytes.fromhex("332288 ddcc77 882255 999933 aa4499 117733 cc6677 44aa99 88ccee")
_CLASSES = np.frombuffer(_OKABE_ITO + _TOL_MUTED, np.uint8).reshape(-1, 3)
_DARKER = 0.62


def class_colours(classes: Sequence[str]) -> tuple[Colour, ...]:
    """One colour per class. A class named "background" gets a neutral colour outside the palette."""
    colours, used = [], 0
    for name in classes:
        if name.lower() == "background":
            colours.append(BACKGROUND)
        else:
            colours.append(_colour(used))
            used += 1
    return tuple(colours)


def _colour(index: int) -> Colour:
    turn, place = divmod(index, len(_CLASSES))
    red, green, blue = (round(int(part) * _DARKER**turn) for part in _CLASSES[place])
    return red, green, blue


def css(colour: Colour) -> str:
    """'#rrggbb'."""
    return "#" + bytes(colour).hex()
