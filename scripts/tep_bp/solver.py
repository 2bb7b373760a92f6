"""Which solver an arm uses: its own, or the one that the gate has let through."""

import json
from pathlib import Path


def chosen_solver(spec: dict, gates: list[Path]) -> dict:
    """The specification with `solver` (None for a rule without one) and its name.

    Where the name is `gated`, gate.json has it, the only one of `gates`.
    """
    name = spec["solver_name"]
    if name == "gated":
        name = json.loads(gates[0].read_text(encoding="utf-8"))["solver"]
    return spec | {"solver_name": name, "solver": spec["solvers"].get(name)}
