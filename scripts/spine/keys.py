"""The key of every file: all that it is made from, back to the data that came from outside.

A job's key is the digest of its rule's parameters (code and specification), command and threads,
of the versions of the packages, and of the keys of the files that it reads. So an edit of anything
changes the key of everything that comes after it, whatever failed, was killed or is missing in
between. Files carry the key of their job (scripts/lib/seals.py). A file that has another one, or is
damaged, is made again. Every rule with a command gets two parameters here: `key`, which Snakemake
compares with that of the last call, and `job`, which the command hands on to the script.

This module alone knows how Snakemake keeps its rules; Snakefile ends with a call of `seal`.
"""

import inspect
import json
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import is_flagged
from snakemake.iocontainers import Wildcards
from snakemake.logging import logger
from snakemake.output_index import OutputIndex
from snakemake.settings.enums import RerunTrigger

from scripts.lib.files import replacing
from scripts.lib.inherited import inherited
from scripts.lib.job import Job, Named
from scripts.lib.provenance import commit, computing_versions
from scripts.lib.root import ROOT
from scripts.lib.seals import checksum, fault
from scripts.lib.spec import canonical, digest
from scripts.spine.rules import furnish

# A longer text is handed on in a file: a command line has at most 131,072 characters.
LONGEST = 20_000
# Larger files are compared by size before a run, and by their bytes by the job that reads them.
LARGEST = 4_000_000
OWN = ("key", "job")
HAND_ON = "{params.job:q}"
# Snakemake compares no parameter that is made of these.
DERIVED = {"input", "output", "threads", "resources"}


class Keys:
    """Keys of the files of a workflow whose rules are all defined; `results`: folder of output."""

    def __init__(self, workflow: Any, results: str):
        check_storage(workflow)
        self._workflow, self._results = workflow, str(Path(results))
        self._made = Job(results=self._results)
        self._index = OutputIndex(workflow.rules)
        self._auditing = True
        self._versions = computing_versions()
        self.key, self._producer = cache(self._key_of_file), cache(self._find_producer)
        self._job = cache(self._key_of_job)
        self._commit = cache(self._find_commit)

    def _find_commit(self) -> dict[str, Any]:
        return inherited(commit, "commit", plans=self._workflow.is_main_process)

    def below(self, path: str) -> str:
        """A path with the results folder, wherever it is, called <results>.

        A file of the repository has the same name from every working directory.
        """
        folder = f"{self._results}/"
        if path.startswith(folder):
            return f"<results>/{path.removeprefix(folder)}"
        return path.removeprefix(f"{ROOT}/")

    def upstream(self, files: Iterable[str]) -> list[str]:
        """All that is kept of what is made on the way to these files, in the order of jobs."""
        jobs: dict[tuple, None] = {}
        for path in files:
            self._collect(path, jobs)
        return [
            norm(path)
            for rule, wildcards in jobs
            for path, kept in zip(rule.expand_output(named(wildcards))[0], rule.output, strict=True)
            if not is_flagged(kept, "temp")
        ]

    def _collect(self, path: str, jobs: dict) -> None:
        """Add the job that makes a file, after those that it needs."""
        job = self._producer(path)
        if job is None or job in jobs:
            return
        for read in self._reads(*job):
            self._collect(read, jobs)
        jobs[job] = None

    def _find_producer(self, path: str) -> tuple | None:
        """Rule and wildcards of the job that makes a file; None if no rule does."""
        for rule in self._index.match_producers(path):
            return rule, tuple(sorted(rule.get_wildcards(path).items()))
        return None

    def _key_of_file(self, path: str) -> str:
        """Key of the job that makes the file; of a file that is given, digest of its bytes."""
        producer = self._producer(path)
        if producer:
            return self._job(*producer)
        return checksum(Path(path)) if Path(path).exists() else "missing"

    def _key_of_job(self, rule: Any, wildcards: tuple) -> str:
        reads = [[self.below(path), self.key(path)] for path in self._reads(rule, wildcards)]
        threads = rule.resources["_cores"]
        return digest(
            [rule.shellcmd, None if threads.is_evaluable() else threads.value, dict(wildcards)],
            [[name, self._plain(value)] for name, value in parameters(rule, wildcards)],
            self._versions,
            reads,
        )

    def _plain(self, value: Any) -> Any:
        """A parameter without the place of the results, which changes no number."""
        return self.below(value) if isinstance(value, str) else value

    def _reads(self, rule: Any, wildcards: tuple) -> list[str]:
        """Input files of a job."""
        was, self._auditing = self._auditing, False
        try:
            return [norm(path) for path in rule.expand_input(named(wildcards))[0]]
        finally:
            self._auditing = was

    def seal(self) -> None:
        """Give every rule its key, hand it on to its script, and look at the files before a run."""
        for rule in self._workflow.rules:
            if not rule.output:
                continue
            furnish(rule, self._results)
            take_as_they_are(rule.params)
            names = {name for name, _ in rule.params._allitems()}
            if HAND_ON not in (rule.shellcmd or "") or "spec" not in names:
                raise WorkflowError(
                    f"Rule {rule.name} has output, so it needs a parameter `spec`, and a command "
                    f"made by call(...) (docs/design.md, Keys and seals)."
                )
            rule.set_params(**{"key": self._param(rule), "job": self._hand_on(rule)})
            rule.set_input(self._audit(rule))

    def _param(self, rule: Any) -> Callable:
        return lambda wildcards: self._job(rule, labels(wildcards))

    def _hand_on(self, rule: Any) -> Callable:
        def job(wildcards: Any, input: Any, output: Any, threads: int) -> str:
            return argument(
                canonical(
                    {
                        "spec": spec_of(rule, labels(wildcards)),
                        "key": self._job(rule, labels(wildcards)),
                        "code": code_of(rule, labels(wildcards)),
                        "results": self._results,
                        "threads": threads,
                        "input": by_name(input),
                        "output": by_name(output),
                        "commit": self._commit(),
                        "keys": {p: self.key(p) for p in map(norm, input) if self._producer(p)},
                    }
                )
            )

        return job

    def _audit(self, rule: Any) -> Callable:
        """An input function without files: Snakemake calls it for each job that it considers."""

        def audit(wildcards: Any) -> list:
            if self._auditing and self._workflow.is_main_process:
                self._examine(rule.expand_output(wildcards)[0], self._job(rule, labels(wildcards)))
            return []

        return audit

    def _examine(self, files: Iterable, key: str) -> None:
        """Have a job run whose files are not what they should be, if Snakemake does not see it."""
        for file in files:
            if not Path(file).exists() or self._seen_to_differ(file, key):
                continue
            # By the name that the job which made it gave it.
            if said := fault(Path(file), self._made.below(norm(file)), key, LARGEST):
                logger.warning(f"{file} {said}; it is made again.")
                self._workflow.dag.forcefiles.add(file)
                return

    def _seen_to_differ(self, file: Any, key: str) -> bool:
        """Whether Snakemake's own record has another key; its reason then names what changed."""
        if RerunTrigger.PARAMS not in self._workflow.rerun_triggers:
            return False  # it was told not to look
        record = self._workflow.persistence.metadata(file)
        return record is not None and repr(key) not in (record.params or [])


def check_storage(workflow: Any) -> None:
    """WorkflowError where Snakemake is to keep results elsewhere than in a folder."""
    if workflow.storage_settings.default_storage_provider:
        raise WorkflowError(
            "Results are kept in a folder, where seals and finished units lie beside them; leave "
            "out --default-storage-provider and share them packed (docs/how-to/share.md)."
        )


def take_as_they_are(params: Any) -> None:
    """Have Snakemake replace nothing in parameters that are texts: braces are a user's words."""
    for name, (place, _) in params._names.items():
        if isinstance(value := params[place], str):
            params[place] = partial(_same, value)
            setattr(params, name, params[place])


def _same(value: str, wildcards: Any) -> str:
    return value


def argument(text: str) -> str:
    """A text as an argument of a command: itself, or @ and the name of a file that holds it."""
    if len(text) <= LONGEST:
        return text
    path = Path(".snakemake/jobs", f"{digest(text)}.json")
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return f"@{path}"


def labels(wildcards: Any) -> tuple:
    """Wildcards as (name, value) pairs."""
    return tuple(sorted(wildcards.items()))


def named(wildcards: tuple) -> Wildcards:
    return Wildcards(fromdict=dict(wildcards))


def norm(path: Any) -> str:
    return str(Path(path))


def by_name(paths: Any) -> Named:
    """Files of a job by the names that its rule gives them."""
    return {
        name: norm(entry) if isinstance(entry, str) else [norm(path) for path in entry]
        for name, entry in paths.items()
    }


@cache
def parameters(rule: Any, wildcards: tuple) -> tuple[tuple[str | None, Any], ...]:
    """Name and value of the parameters that Snakemake compares."""
    found = []
    for name, value in rule.params._allitems():
        if name in OWN:
            continue
        if not callable(value):
            found.append((name, value))
        elif not DERIVED & set(inspect.signature(value).parameters):
            found.append((name, value(named(wildcards))))
    return tuple(found)


def code_of(rule: Any, wildcards: tuple) -> str:
    """Digest of the stamps of a job: the parameters without a name, or its own `code`."""
    named = parameters(rule, wildcards)
    return digest([value for name, value in named if name in (None, "code")])


def spec_of(rule: Any, wildcards: tuple) -> Any:
    """The parameter `spec` of a job, which every rule has."""
    return json.loads(dict(parameters(rule, wildcards))["spec"])
