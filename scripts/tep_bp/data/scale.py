"""How the numbers of a task are scaled: as stated, or by a look at them; either way it is said."""

from typing import Literal

import numpy as np

from scripts.lib.faults import LoadError

Scale = Literal["none", "standard", "common", 255]
PIXEL = 255
LEAST_PIXEL = 128  # that the brightest pixel of images must reach
ALIKE = 10  # largest ratio of standard deviations of columns of one scale
SAID = {
    "none": "taken as they are",
    "standard": "each column less its mean, over its standard deviation, of the training part",
    "common": "all columns less one mean, over one standard deviation, of the training part",
    PIXEL: "divided by 255",
}


def scaled(
    x: np.ndarray, train: np.ndarray, image: bool, stated: Scale | None, where: str
) -> tuple[np.ndarray, str]:
    """Samples (N, D) as the stages read them, and a phrase that says how they were scaled.

    Float32, or uint8 where bytes of 0 to 255 stand for 0 to 1. `train` has the row numbers of the
    training part: nothing else is looked at. `image`: the samples had several axes, which share a
    scale. Columns that are constant there are centred only. LoadError where numbers beyond 255
    would be pixels.
    """
    scale, why = (stated, "scale") if stated is not None else chosen(x[train], image)
    said = f"{SAID[scale]} ({why})"
    if scale == PIXEL:
        if x.min() < 0 or x.max() > PIXEL:
            raise LoadError(
                f"{where}: x lies between {x.min()} and {x.max()}, but scale: 255 is for pixels "
                "of 0 to 255; use standard or none."
            )
        return (x if x.dtype == np.uint8 else (x / PIXEL).astype(np.float32)), said
    if scale in ("standard", "common"):
        known, axis = x[train].astype(np.float64), 0 if scale == "standard" else None
        spread = known.std(axis=axis)
        x = (x - known.mean(axis=axis)) / np.where(spread > 0, spread, 1)
    return np.ascontiguousarray(x, np.float32), said


def chosen(x: np.ndarray, image: bool) -> tuple[Scale, str]:
    """The scale for samples (N, D) nobody has stated one for, and why.

    Columns have one scale as pixels do, which all begin at the same number or belong to images, or
    because they spread alike.
    """
    low, high = x.min(), x.max()
    span, pixels = f"numbers from {low:g} to {high:g}", image or _one_lowest(x)
    if pixels and low >= 0 and (high == PIXEL or (image and LEAST_PIXEL <= high < PIXEL)):
        return PIXEL, f"as pixels, {span}"
    mean, spread = (f(x, axis=0, dtype=np.float64) for f in (np.mean, np.std))
    moving = spread > 0
    alike = pixels or (spread.max() <= ALIKE * spread[moving].min(initial=spread.max()))
    if low >= -1 and high <= 1 and alike:
        return "none", span
    if (np.abs(mean[moving]) < 0.5).all() and (np.abs(np.log2(spread[moving])) < 1).all():
        return "none", f"standardised already, {span}"
    return ("common" if pixels else "standard"), span


def _one_lowest(x: np.ndarray) -> bool:
    """Whether all columns that vary begin at one number, and there are several."""
    low = x.min(axis=0)[x.max(axis=0) > x.min(axis=0)]
    return len(low) > 1 and bool((low == low[0]).all())
