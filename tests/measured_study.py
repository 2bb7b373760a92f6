"""A study to be measured: its units say in which process they were computed, and after what."""

import mmap
import os
import time
from pathlib import Path
from typing import Any

import torch

COMPUTED: list[str] = []


def run(job: dict[str, Any], inputs: dict[str, list[Path]]) -> list[dict[str, Any]]:
    """A row a unit; the job says what else happens once: sleep, memory, an error, an exit."""
    if "fail" in job:
        raise ValueError(job["fail"])
    if "exit" in job:
        os._exit(job["exit"])
    time.sleep(job.get("sleep_s", 0.001))
    if megabytes := job.get("megabytes"):
        torch.empty(megabytes * 10**6, dtype=torch.uint8)
    if touched := job.get("touched"):  # mapped anew, so each call faults its pages in
        with mmap.mmap(-1, touched * 2**20) as memory:
            for page in range(0, len(memory), mmap.PAGESIZE):
                memory[page] = 1
    rows = []
    for name, _ in job["units"]:
        row = {"unit": name, "pid": os.getpid(), "n_before": len(COMPUTED), "status": "ok"}
        if "ask" in job:
            row["answer"] = eval(job["ask"])
        rows.append(row | {"fit_s": 0.001, "cpu_s": 0.001, "n_steps": 7})
        COMPUTED.append(name)
    return rows
