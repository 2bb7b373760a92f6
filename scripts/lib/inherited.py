"""What the run that plans found out, for the Snakemake that a cluster starts for each job.

Such a Snakemake plans its job once more. What is slow to find where many share a file system (a
mark of each of 100,000 files, edits in the repository) it takes over from the run that sent it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.lib.files import replacing
from scripts.lib.spec import digest

FOLDER = Path(".snakemake/planned")  # of the working directory, which the jobs share


def inherited(find: Callable[[], Any], *about: Any, plans: bool) -> Any:
    """A plain value about something: found anew by the run that plans, else what that one kept."""
    path = FOLDER / f"{digest(*about)}.json"
    if not plans and path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    found = find()
    text = json.dumps(found)
    if plans and not (path.is_file() and path.read_text(encoding="utf-8") == text):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return found
