"""Cards: beside each trained model a JSON file that says how it was made and how well it does; and all in one table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantseg.errors import DataError
from quantseg.report import tables


def read_cards(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Name → card of every model in a folder. Raises DataError where there is none, or for a damaged card."""
    if not any(folder.glob("*.onnx")):
        raise DataError(f"{folder}: no trained models in it; give the folder of NAME.onnx and NAME.json")
    cards = {}
    for path in sorted(folder.glob("*.onnx")):
        card = path.with_suffix(".json")
        try:
            cards[path.stem] = json.loads(card.read_text(encoding="utf-8"))
            markdown({path.stem: cards[path.stem]})
        except OSError as error:
            raise _no_card(card, error.strerror or str(error)) from error
        except KeyError as error:
            raise _no_card(card, f"it lacks {error}") from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _no_card(card, str(error)) from error
    return cards


def _no_card(card: Path, reason: str) -> DataError:
    return DataError(f"{card}: no card of a trained model ({reason}); train {card.stem} again")


def accuracy(card: Mapping[str, Any]) -> str:
    """The mean IoU; of instances COCO's average precision, at an IoU of 0.5 and over all."""
    if "validation_mean_iou" in card:
        return f"mIoU {card['validation_mean_iou']:.3f}"
    return f"AP50 {card['validation_ap50']:.3f}, AP {card['validation_ap']:.3f}"


def markdown(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Two tables, what the models are and how each was trained; then the commands, one a line, to copy."""
    models = tables.markdown(
        ("model", "data", "parameters", "MACs", "validation", "ONNX − torch"),
        [
            (
                name,
                card["data"],
                f"{card['parameters']:,}",
                f"{card['multiply_accumulates'] / 1e9:.2f} G",
                accuracy(card),
                f"{card['onnx_difference']:.0e}",
            )
            for name, card in cards.items()
        ],
    )
    trainings = tables.markdown(
        ("model", "epochs", "minutes", "seed", "data, SHA-256"),
        [
            (
                name,
                card["settings"]["epochs"],
                f"{card['training_seconds'] / 60:.0f}",
                card["seed"],
                card["data_sha256"].get("train", "drawn")[:12],
            )
            for name, card in cards.items()
        ],
    )
    # A table shortens long cells, and half a command is none.
    commands = "\n".join(str(card["command"]) for card in cards.values())
    return f"{models}\n\n{trainings}\n\n```\n{commands}\n```"
