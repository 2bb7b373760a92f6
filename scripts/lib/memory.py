"""Memory that tensors hold at once, as PyTorch's allocator reports it."""

from collections.abc import Callable
from typing import Any

import torch


def traced_tensor_peak(call: Callable[[], Any]) -> tuple[Any, float]:
    """(result of `call`, largest sum of live tensor bytes during it, in MB of 10^6 bytes).

    Counts every allocation and release on the CPU from the start of the call, so neither the
    interpreter nor the libraries enter. Tracing slows the call: never time it.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        result = call()
    held = peak = 0
    events = profile.profiler.kineto_results.events()
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return result, peak / 1e6
