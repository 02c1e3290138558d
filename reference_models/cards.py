"""Cards: beside each trained model a JSON file that says how it was made and how well it does; and all in one table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantseg import tables
from quantseg.errors import DataError


def read_cards(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Name → card of every model in a folder. Raises DataError for a damaged one."""
    cards = {}
    for path in sorted(folder.glob("*.onnx")):
        card = path.with_suffix(".json")
        try:
            cards[path.stem] = json.loads(card.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{card}: no card of a trained model ({error}); train {path.stem} again") from error
    return cards


def markdown(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Two tables: what the models are, and how each was trained."""
    models = tables.markdown(
        ("model", "data", "parameters", "MACs", "val mIoU"),
        [
            (
                name,
                card["data"],
                f"{card['parameters']:,}",
                f"{card['multiply_accumulates'] / 1e9:.2f} G",
                f"{card['validation_mean_iou']:.3f}",
            )
            for name, card in cards.items()
        ],
    )
    trainings = tables.markdown(
        ("command", "epochs", "minutes", "data, SHA-256"),
        [
            (
                card["command"],
                card["settings"]["epochs"],
                f"{card['training_seconds'] / 60:.0f}",
                card["data_sha256"].get("train", "drawn")[:12],
            )
            for card in cards.values()
        ],
    )
    return f"{models}\n\n{trainings}"
