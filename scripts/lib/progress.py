"""Progress of a long job in its log: how many units are done, a line every few seconds."""

import logging
import time
from collections.abc import Iterable, Iterator


def progress(results: Iterable, total: int, label: str, every_s: float = 5.0) -> Iterator:
    """Pass `results` on, logging "label: done of total units" on the way and at the end."""
    last = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if now - last > every_s or done == total:
            logging.info("%s: %d of %d units", label, done, total)
            last = now
