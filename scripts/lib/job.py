"""The running job, as its rule describes it: its key, what it may read and what it makes."""

from dataclasses import dataclass, field
from pathlib import Path

from scripts.lib.seals import fault, sealed


@dataclass
class Job:
    """`reads`: the key that each file must have; `makes`: files; paths as on the command line.

    `results` is the folder below which both lie.
    """

    key: str = ""
    results: str = ""
    reads: dict[str, str] = field(default_factory=dict)
    makes: list[str] = field(default_factory=list)

    def seal_of(self, path: Path, content: Path) -> str | None:
        """The seal for what is to be at `path`, now at `content`; None if it is not this job's."""
        if str(path) not in self.makes:
            return None
        return sealed(content, self.below(str(path)), self.key)

    def below(self, path: str) -> str:
        """A file's path below the results folder."""
        return path.removeprefix(self.results).lstrip("/")

    def faults(self) -> dict[str, str]:
        """What is wrong with each file that the job is to read and that is not as it should be."""
        found = {name: fault(Path(name), self.below(name), key) for name, key in self.reads.items()}
        return {name: said for name, said in found.items() if said}


# Stage scripts fill it from the command line (scripts/lib/stage.py); without it nothing is sealed.
JOB = Job()
