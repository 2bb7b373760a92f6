"""The jobs of this study: columns of a row, which job computes what, what is measured."""

from collections.abc import Iterator
from pathlib import Path

from scripts.deep_gpcm.checks import check, check_interpreter
from scripts.deep_gpcm.options import KNOWING, DataSource, Irtorch
from scripts.deep_gpcm.settings import Classical, Folds, GpcmWorkload, Section, Steps
from scripts.deep_gpcm.specs import (
    AXES,
    STUDY,
    BaselineJob,
    FoldsJob,
    GpcmJob,
    LadderJob,
    MeasuredBaseline,
    MeasuredJob,
    MeasuredStep,
    TablesJob,
)
from scripts.lib.blocks import cut
from scripts.lib.code import device_of
from scripts.lib.contract import Study
from scripts.lib.foreign import marks
from scripts.lib.packages import package_of
from scripts.lib.plan import measurement_plan
from scripts.lib.spec import digest
from scripts.lib.training_job import TrainingJob

FOLDER = f"<results>/{STUDY}"
PHASES = ["prepare", "data", "forward", "backward", "optimizer", "validate", "predict"]
METRICS = dict.fromkeys(
    [
        *("best_epoch", "n_epochs", "n_steps", "n_answers", "n_train", "n_test", "n_parameters"),
        *("nll", "qwk", "mae", "rmse", "kendall_tau"),
        *("log_likelihood", "iterations", "evaluations", "gradient", "nodes"),
    ],
    "number",
) | dict.fromkeys(["accuracy", "ordinal_accuracy", "ece", "confidence"], "share")
METRICS |= {"early_losses": "list"}
TABLES = (
    *("scores", "recovery", "points", "calibration", "confusion", "convergence", "categories"),
    *("learning", "reading"),
)
CHOICES = f"scripts/{STUDY}/models/choices.py"  # declares the implementations
COMPILED = ("fused", "no_erase")  # memories that are read by the compiled kernel


class Jobs:
    """Which job computes which folds, and which files they write."""

    def __init__(self, section: Section, seed: int):
        self.section, self.seed = section, seed
        self.training = dict(self._training())
        self.baselines = dict(self._baselines())

    def train(self, arm: str, units: list) -> GpcmJob:
        """What an arm does with these units."""
        section, options = self.section, self.section.arms[arm]
        job = GpcmJob(
            study=STUDY,
            arm=arm,
            seed=self.seed,
            units=units,
            package=package_of(section, arm),
            evaluation=options.evaluation,
            memory=options.memory,
            heads=options.heads,
            inference=options.inference,
            loader=options.loader,
            step=options.step,
            trainer=options.trainer,
            model=section.model.model_copy(update=options.model.model_dump(exclude_none=True)),
            train=section.train.model_copy(update=options.train.model_dump(exclude_none=True)),
        )
        device = device_of(section.device_asked(arm), CHOICES, *job.implementations())
        return job.model_copy(update={"device": device})

    def _training(self) -> Iterator[tuple[tuple[str, str, int], GpcmJob]]:
        """((arm, data, block), job): some folds of a data set."""
        for arm, options in self.section.arms.items():
            for data, count in self.section.folds_of(arm).items() if options.evaluation else ():
                size = options.run.block or self.section.block
                for number, folds in enumerate(cut(range(count), size)):
                    yield (arm, data, number), self.train(arm, [[data, fold] for fold in folds])

    def _baselines(self) -> Iterator[tuple[tuple[str, str], BaselineJob]]:
        """((arm, data), job): all folds of a data set."""
        for arm, options in self.section.arms.items():
            for data, count in self.section.folds_of(arm).items() if options.baseline else ():
                yield (arm, data), self.baseline(arm, [[data, fold] for fold in range(count)])

    def baseline(self, arm: str, units: list) -> BaselineJob:
        """What a simple or classical model does with these units."""
        return BaselineJob(
            study=STUDY,
            arm=arm,
            seed=self.seed,
            units=units,
            package=package_of(self.section, arm),
            baseline=self.section.arms[arm].baseline,
        )

    def files(self, kind: str) -> list[str]:
        """Files of one kind that training jobs and, for three kinds, baselines write."""
        names = [f"{arm}/{data}-{block}" for arm, data, block in self.training]
        if kind in ("runs", "predictions", "estimates"):
            names += [f"{arm}/{data}" for arm, data in self.baselines]
        return [f"{FOLDER}/{kind}/{name}.parquet" for name in names]

    def choices(self, arm: str) -> list[str]:
        """Functions that an arm's jobs may call, of those that arms choose from."""
        baseline = self.section.arms[arm].baseline
        return [baseline] if baseline else self.train(arm, []).implementations()

    def kernel(self, arm: str) -> list[str]:
        """The folder of compiled code, if the arm's jobs use it."""
        used = self.section.arms[arm].memory in COMPILED
        return [f"{FOLDER}/numba"] if used else []

    def folds(self, data: str) -> FoldsJob:
        """How the students of a data set are split."""
        section = self.section
        return FoldsJob(
            data=data, folds=section.folds, validation=section.validation, seed=self.seed
        )

    def fold_files(self, job: TrainingJob) -> list[str]:
        """The file of each unit of a job."""
        return [f"{FOLDER}/folds/{data}/{fold}.parquet" for data, fold in job.units]

    def data_files(self) -> dict[str, list[str]]:
        """Items and folds of each data set that is measured on."""
        count, found = self.section.fold_count, {}
        for name in self.section.measured_data():
            found[f"items_{name}"] = [f"{FOLDER}/data/{name}/items.parquet"]
            found[f"folds_{name}"] = [f"{FOLDER}/folds/{name}/{k}.parquet" for k in range(count)]
        return found

    def round(self, workload: GpcmWorkload, number: int) -> list[list]:
        """Units of a measured round."""
        data, count = workload.data, self.section.fold_count
        if isinstance(workload, Folds):
            return [[data, fold, workload.epochs] for fold in range(count)]
        return [[data, number % count, number]]

    def measured(self, arm: str, workload: GpcmWorkload) -> MeasuredJob | MeasuredBaseline:
        """An arm's job in a measured workload, without units."""
        if isinstance(workload, Classical):
            return MeasuredBaseline(**vars(self.baseline(arm, [])), work=workload.work)
        steps = workload.steps if isinstance(workload, Steps) else 0
        told = vars(self.train(arm, [])) | ({"device": "cpu"} if workload.work == "loading" else {})
        return MeasuredJob(**told, work=workload.work, steps=steps)

    def tables(self) -> TablesJob:
        """Whom the tables are about."""
        section = self.section
        return TablesJob(
            reference=section.reference,
            result=section.result,
            classical=self._model("gpcm"),
            ceiling=self._model("bayes"),
            shares=self._model("item_marginal"),
            knowing=[name for name, arm in section.arms.items() if arm.baseline in KNOWING],
            data=section.active,
        )

    def _model(self, baseline: str) -> str:
        """The first arm that is this model; "" if there is none."""
        arms = self.section.arms.items()
        return next((name for name, arm in arms if arm.baseline == baseline), "")

    def ladder(self) -> LadderJob:
        """Which workloads make the ladder."""
        measure, taking_part = self.section.measure, self.section.taking_part
        steps = [
            MeasuredStep(workload=name, contestants=taking_part(workload))
            for name, workload in measure.workloads.items()
            if isinstance(workload, Steps) and workload.rounds
        ]
        return LadderJob(
            baseline=measure.compare.baseline, again=measure.compare.again, steps=steps
        )


def fingerprint(source: DataSource) -> str:
    """Digest of the local files that a data source is read from; "" if none.

    LoadError if one of them is missing.
    """
    return digest(marks(map(Path, source.local_files))) if source.local_files else ""


def fetched(source: DataSource) -> list[str]:
    """The file of a data source that is downloaded first."""
    return [f"{FOLDER}/fetched/{source.table}.pt"] if isinstance(source, Irtorch) else []


def study(section: Section, seed: int, active: bool) -> Study:
    """The study as the spine knows it; ConfigError or LoadError for what cannot be."""
    check(section)
    known = {"name": STUDY, "settings": section, "axes": AXES, "metrics": METRICS}
    known |= {"values": {"data": section.active, "fold": range(section.fold_count)}}
    if not active:
        return Study(**known, phases=PHASES)
    check_interpreter(section)
    for name in section.active:
        fingerprint(section.sources[name])
    jobs = Jobs(section, seed)
    drawn = [name for name in (*TABLES, "ladder") if name not in ("recovery", "reading")]
    shown = [name for name in (*TABLES, "ladder") if name != "points"]
    return Study(
        **known,
        phases=PHASES,
        runs=jobs.files("runs"),
        data=jobs.data_files(),
        script="scripts/deep_gpcm/measured.py",
        plan=lambda: measurement_plan(section, jobs.round, jobs.measured),
        kernel=f"{FOLDER}/numba",
        drawn={name: [f"{FOLDER}/tables/{name}.csv"] for name in drawn},
        chapter=[
            *(f"{FOLDER}/tables/{name}.csv" for name in shown),
            f"{FOLDER}/tables/figures.json",
        ],
    )
