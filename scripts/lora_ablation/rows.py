"""Rows of the tables beside the run rows: epochs, and predictions for held-out adapters."""

from scripts.lora_ablation.axes import AXES
from scripts.lora_ablation.training.data import Cell


def history_rows(units: list[list], done: list[dict]) -> list[dict]:
    """A row per epoch: the axes, epoch (from 1), loss, val_accuracy."""
    return [
        dict(zip(AXES, unit, strict=True)) | {"epoch": epoch, "loss": loss, "val_accuracy": val}
        for unit, result in zip(units, done, strict=True)
        for epoch, (loss, val) in enumerate(result["history"], start=1)
    ]


def prediction_rows(units: list[list], done: list[dict], cell: Cell) -> list[dict]:
    """A row per run and adapter of the validation and test sets."""
    return [
        dict(zip(AXES[1:], unit[1:], strict=True))
        | {"row": int(row), "split": part}
        | {"label": cell.classes[cell.y[row]], "predicted": cell.classes[code]}
        for unit, result in zip(units, done, strict=True)
        for part, codes in result["predicted"].items()
        for row, code in zip(cell.parts[part], codes, strict=True)
    ]
