"""Studies, the spine that runs them, and what both share (docs/design.md)."""

import gc
import sys

# Python's word for a module that it is about to run: `python -m scripts.<study>.<stage>`.
AS_SCRIPT = sys.argv[0] == "-m"
if AS_SCRIPT:
    # Nothing that is imported becomes garbage, and to search it takes a sixth of a second of each
    # job. `stage` has it searched again from the start of the work.
    gc.disable()
