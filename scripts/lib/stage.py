"""How a rule calls a stage script: which Python, what it passes, what the script checks first."""

import atexit
import gc
import inspect
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from scripts import AS_SCRIPT
from scripts.lib.faults import ConfigError, ContractError, LoadError
from scripts.lib.files import remove
from scripts.lib.job import JOB
from scripts.lib.root import ROOT

# glibc maps large temporaries, and so faults all their pages in anew at each use, until one that
# was freed has raised its threshold, by chance; and blocks in a thread's cache keep neighbours from
# being joined, by chance too. Here memory stays with the process from the first, in one piece
# (docs/design.md, Agreement and ratios). Older versions refuse a larger threshold; other libraries
# for C read none of it.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": 1 << 25,
    "MALLOC_TRIM_THRESHOLD_": 1 << 30,
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}
# What Snakemake says of threads to a job, and libraries read when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
# Where a job's words go beside its log; unset, to where it was called (scripts/spine/terminal.py).
SCREEN = "ISOSPEED_SCREEN"
# What a rule says after `shell:`; `params.job` is made by scripts/spine/keys.py.
CALL = "python -m {module} {{params.job:q}} 2> >(tee {{log:q}} >&${{{{" + SCREEN + ":-2}}}})"


def call(module: str, environment: str = "") -> str:
    """The command that runs a stage script, e.g. call("engression.load"); progress is shown.

    `environment` has settings of variables in front of it, beside those of the allocator.
    """
    allocator = [f"{name}={value}" for name, value in ALLOCATOR.items()]
    words = [*allocator, environment, CALL.format(module=f"scripts.{module}")]
    return " ".join(word for word in words if word)


def put_this_python_first() -> None:
    """Make `python` in every job's shell the Python that runs Snakemake, activated or not.

    It imports `scripts` of this repository, whatever stands in the working directory.
    """
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in before if path not in ("", str(ROOT))]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *others])
    os.environ["PYTHONSAFEPATH"] = "1"


def use_threads(threads: int) -> None:
    """Compute with so many threads from here on: what is imported already and what follows.

    Snakemake, and `measure` for its workers, set the variables that libraries read when loaded.
    """
    JOB.threads = threads
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def stage(main: Callable[..., None]) -> None:
    """Run a stage script: its one argument is the job as JSON, or @ and a file that holds it.

    The parameters of `main` are filled by name: `spec` (read as the model it is annotated with),
    `threads`, `inputs` (all input files by name), and files that the rule names in `input` or
    `output`: a Path, or a list of them where it is annotated so.
    A file that the job is to read and that is not what it should be ends it in a sentence, and is
    removed, so that the next call of Snakemake makes it again. What is wrong with a user's data or
    study ends it in a sentence too.
    """
    # What the imports made stays: to search it for garbage, at the exit too, costs half a second.
    gc.freeze()
    gc.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    sys.excepthook = _told
    text = sys.argv[1]
    path = text.removeprefix("@")
    job = json.loads(text if path == text else Path(path).read_text(encoding="utf-8"))
    for name, value in job.items():
        setattr(JOB, name, value)
    if faults := JOB.faults():
        for path in faults:
            remove(Path(path))
        said = "; ".join(f"{path} {fault}" for path, fault in faults.items())
        sys.exit(f"{said}; removed, the next call makes it again.")
    use_threads(JOB.threads)
    main(**_arguments(main))
    if AS_SCRIPT and threading.active_count() == 1:
        _end()


def _end() -> None:
    """End this process, whose files are written: what runs at an exit is run, but modules are not
    taken down one by one, which takes a tenth of a second where torch is among them."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _arguments(main: Callable[..., None]) -> dict[str, Any]:
    """What `main` asks for by the names of its parameters."""
    offered = JOB.input | JOB.output
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(main).parameters.items():
        if name == "spec":
            found[name] = _typed(JOB.spec, parameter.annotation)
        elif name == "threads":
            found[name] = JOB.threads
        elif name == "inputs":
            found[name] = paths_by_name(JOB.input)
        else:
            found[name] = _paths(offered[name], parameter.annotation)
    return found


def _typed(spec: Any, annotation: Any) -> Any:
    is_model = inspect.isclass(annotation) and issubclass(annotation, BaseModel)
    return annotation.model_validate(spec) if is_model else spec


def _paths(named: str | list[str], annotation: Any) -> Path | list[Path]:
    """A file, or all files of a name, as `main` asks for them."""
    paths = [Path(path) for path in ([named] if isinstance(named, str) else named)]
    if annotation is Path:
        (path,) = paths
        return path
    return paths


def paths_by_name(named: dict[str, str | list[str]]) -> dict[str, list[Path]]:
    """Files of a job by the names that its rule gives them."""
    return {name: _paths(entry, list) for name, entry in named.items()}


def _told(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """A fault of the input or of a study is its sentence, any other error a traceback."""
    if issubclass(kind, LoadError | ConfigError | ContractError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
