"""The running job, as its rule describes it: its key, what it reads and what it makes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.lib.seals import fault, sealed

Named = dict[str, str | list[str]]


@dataclass
class Job:
    """`input` and `output`: files by the names that the rule gives them; `keys`: what each file
    that was made by a job must have; paths as on the command line.

    `results` is the folder below which both lie, `spec` what the job has to do, `code` the digest
    of all that it may execute, `commit` where the run began (scripts/lib/provenance.py).
    """

    key: str = ""
    code: str = ""
    results: str = ""
    spec: Any = None
    threads: int = 1
    input: Named = field(default_factory=dict)
    output: Named = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    commit: dict[str, Any] = field(default_factory=dict)

    def seal_of(self, path: Path, content: Path) -> str | None:
        """The seal for what is to be at `path`, now at `content`; None if it is not this job's."""
        if str(path) not in files(self.output):
            return None
        return sealed(content, self.below(str(path)), self.key)

    def below(self, path: str) -> str:
        """A file's path below the results folder."""
        return path.removeprefix(self.results).lstrip("/")

    def faults(self) -> dict[str, str]:
        """What is wrong with each file that the job is to read and that is not as it should be."""
        found = {name: fault(Path(name), self.below(name), key) for name, key in self.keys.items()}
        return {name: said for name, said in found.items() if said}


def files(named: Named) -> Iterator[str]:
    """All files, one by one."""
    for entry in named.values():
        yield from [entry] if isinstance(entry, str) else entry


# Stage scripts fill it from the command line (scripts/lib/stage.py); without it nothing is sealed.
JOB = Job()
