"""Which jobs this study has, what each is told, and the study as the spine knows it."""

from functools import cached_property
from itertools import pairwise

from scripts.lib.blocks import cut
from scripts.lib.code import device_of
from scripts.lib.contract import Study
from scripts.lib.inherited import inherited
from scripts.lib.packages import package_of
from scripts.lib.plan import measurement_plan
from scripts.lib.typed import Model
from scripts.lora_ablation.checks import check_shards, chosen, known_selections
from scripts.lora_ablation.data.sources import count, fingerprints, names
from scripts.lora_ablation.data.split import PARTS, enough
from scripts.lora_ablation.representations.catalogue import (
    HAND_CRAFTED,
    columns,
    families,
    family_job,
)
from scripts.lora_ablation.settings import FULL, CellLabels, LoraWorkload, Section
from scripts.lora_ablation.specs import (
    AXES,
    COUNTERS,
    EARLY,
    STUDY,
    CostsJob,
    FamilyJob,
    FeaturesWork,
    FitWork,
    Generated,
    IndexJob,
    LoadJob,
    LoadWork,
    MatricesWork,
    NestedJob,
    PrepareJob,
    Signal,
    TablesJob,
    TotalWork,
    TrainJob,
)

PHASES = ["load", "features", "prepare", "data", "gradient", "optimizer", "validate", "eval"]
PHASES += ["train"]  # of the work `total`
# number: may be averaged; flag: 0 or 1, a share; list: many numbers a unit.
METRICS = dict.fromkeys(
    [
        *("n_epochs", "n_steps", "best_epoch", "n_features", "n_kept", "n_parameters"),
        *(f"n_{part}" for part in PARTS),
        *("checksum", "deviation", "sigma_error"),
    ],
    "number",
) | {"hit_cap": "flag", "early_losses": "list", "test_error": "share"}
SCORES = ("accuracy", "f1", "precision", "recall")
METRICS |= {f"{part}_{name}": "share" for part in PARTS for name in SCORES}
FOLDER = f"<results>/{STUDY}"
UNIT = f"scripts/{STUDY}/unit.py"  # declares the implementations
OUTCOME = ("grid", "drops", "classes", "curve")  # tables that are drawn
TABLES = (*OUTCOME, "complete", "repairs", "stages", "svd")


def generated(adapters: int) -> Generated:
    """A data source for comparisons that are not about the user's data."""
    signal = Signal(attn1=0.05, attn2=0.06, leaf=0.5)
    return Generated(kind="generated", adapters=adapters, rank=1, signal=signal)


def adapter_blocks(work: str, adapters: int, number: int) -> list[list]:
    """Units [work, first, stop] of a round, from 1, over adapters, which are its own.

    Features come in two halves, so that two workers can share; loading is one block, because its
    cost per adapter depends on the number at once.
    """
    start, parts = (number - 1) * adapters, 2 if work == "features" else 1
    cuts = [start + adapters * part // parts for part in range(parts + 1)]
    return [[work, *block] for block in pairwise(cuts)]


def round_units(workload: LoraWorkload, number: int) -> list[list]:
    """Units of one round: adapters, matrices, or the run of that number of each cell."""
    if workload.work in ("load", "features"):
        return adapter_blocks(workload.work, workload.adapters, number)
    if workload.work in ("svd", "fft"):
        return [[workload.work, number]]
    return [["train", name, "all", FULL, number] for name in workload.representations]


class Jobs:
    """The jobs of a section; `seed` is the root of all random streams.

    Where the run `plans`, files of a data source are looked at, else it inherits what was seen.
    """

    def __init__(self, section: Section, seed: int, plans: bool = True, active: bool = True):
        # Nobody looks at adapters of a study that is switched off.
        self.section = chosen(section, names(section.adapters_from)) if active else section
        self.seed, self.plans = seed, plans

    @cached_property
    def shards(self) -> dict[str, tuple[int, int]]:
        """Rows [start, stop) by shard name, e.g. {"adapters-000000-000499": (0, 500), ...}.

        A shard is a fixed range of rows, so adding adapters leaves full shards alone.
        """
        adapters, size = enough(count(self.section.adapters_from)), self.section.shard
        check_shards(-(-adapters // size))
        parts = cut(range(adapters), size)
        return {f"adapters-{rows[0]:06d}-{rows[-1]:06d}": (rows.start, rows.stop) for rows in parts}

    @cached_property
    def loads(self) -> dict[str, LoadJob]:
        """The job that reads each shard, by its name.

        Of generated adapters only those up to the shard's last are stated, so adding some leaves
        full shards alone; `read_from` changes with the files that the shard is read from.
        """
        source, jobs = self.section.adapters_from, {}
        ranges = list(self.shards.values())
        digests = inherited(
            lambda: fingerprints(source, ranges), "adapters", source, ranges, plans=self.plans
        )
        for (name, (start, stop)), digest in zip(self.shards.items(), digests, strict=True):
            own = {"adapters": stop} if isinstance(source, Generated) else {}
            jobs[name] = LoadJob(
                source=source.model_copy(update=own),
                read_from=digest,
                seed=self.seed,
                start=start,
                stop=stop,
            )
        return jobs

    @cached_property
    def trains(self) -> dict[tuple[str, str], TrainJob]:
        """Every training job by (arm, name of its files), in the order of the arms.

        A job trains up to `block` cells of one representation, so it reads its families only. The
        first one of a representation has its early cell too.
        """
        jobs = {}
        for arm in self.section.arms:
            by_representation: dict[str, list[CellLabels]] = {}
            for cell in self.section.cells(arm):
                by_representation.setdefault(cell[0], []).append(cell)
            early = self.section.early.representations if self.section.early_of(arm) else []
            for name in dict.fromkeys([*by_representation, *early]):
                parts = cut(by_representation.get(name, []), self.section.block) or [[]]
                for number, part in enumerate(parts):
                    first = name in early and number == 0
                    jobs[arm, f"{name}-{number}"] = self.train(arm, name, part, early=first)
        return jobs

    def train(
        self, arm: str, representation: str, cells: list[CellLabels], early: bool = False
    ) -> TrainJob:
        """The job of some cells of one representation, and of its early cell."""
        section, options = self.section, self.section.arms[arm]
        runs = {"train": range(section.runs_of(arm)), EARLY: range(section.early.runs)}
        stages = [("train", cell) for cell in cells]
        stages += [(EARLY, (representation, "all", section.early.share))] if early else []
        return TrainJob(
            study=STUDY,
            arm=arm,
            seed=self.seed,
            device=self.device(arm, "trainer"),
            units=[[stage, *cell, run] for stage, cell in stages for run in runs[stage]],
            package=package_of(section, arm),
            trainer=options.trainer,
            train=section.train_of(arm),
            early=section.early_of(arm) if early else None,
            columns=columns(representation),
            selection=options.selection,
            layers=self.layers(options.selection, *(cell[1] for cell in cells)),
        )

    def layers(self, *selections: str | None) -> dict[str, str]:
        """Patterns of the user's own selections among these."""
        return {name: own for name, own in self.section.layers.items() if name in selections}

    def implementations(self, arm: str, *stages: str) -> list[str]:
        """What an arm's jobs of these stages call (scripts/lora_ablation/unit.py)."""
        options = self.section.arms[arm]
        return [name for stage in stages if (name := getattr(options, stage))]

    def device(self, arm: str, *stages: str) -> str:
        """Where an arm's jobs of these stages compute."""
        return device_of(self.section.device_asked(arm), UNIT, *self.implementations(arm, *stages))

    def family(self, family: str) -> FamilyJob:
        """The job of a family on a shard; on a GPU it does what the way `batched` does."""
        return family_job(family, device_of(self.section.device, UNIT, "batched"))

    def reads(self, arm: str, cells: str) -> list[str]:
        """Files that a training job reads: its families, or the tensors themselves."""
        names = dict.fromkeys(column.family for column in self.trains[arm, cells].columns)
        kinds = [f"{FOLDER}/features/{name}/{{}}.parquet" for name in names]
        files = kinds or [f"{FOLDER}/tensors/{{}}.npy"]
        return [file.format(shard) for file in files for shard in self.shards]

    def index(self) -> IndexJob:
        """The job that splits the adapters."""
        return IndexJob(split=self.section.split)

    def prepare(self, arm: str) -> PrepareJob:
        """The job that loads and computes features of some adapters by one arm."""
        options, prepare = self.section.arms[arm], self.section.prepare
        adapters = range(prepare.adapters)
        loads = [["load", "tensors", "all", FULL, i] for i in adapters]
        features = [
            [stage, name, "all", FULL, i]
            for stage in self.section.stages
            for name in options.represents or HAND_CRAFTED
            for i in adapters
        ]
        return PrepareJob(
            study=STUDY,
            arm=arm,
            seed=self.seed,
            device=self.device(arm, "load", "features"),
            units=[*(loads if options.load else ()), *(features if options.features else ())],
            package=package_of(self.section, arm),
            load=options.load,
            features=options.features,
            precision=self.section.train_of(arm).precision,
            source=generated(prepare.adapters),
            ranks=self.section.stages,
        )

    def nested(self) -> NestedJob:
        """The job that saves a data set to measure loading: fresh adapters for every round."""
        workloads = self.section.measure.workloads.values()
        # `total` reads the same adapters in every round.
        loads = [w.adapters * w.rounds for w in workloads if w.work == "load"]
        loads += [w.adapters for w in workloads if w.work == "total" and w.rounds]
        adapters = max([1, *loads])
        return NestedJob(seed=self.seed, source=generated(adapters))

    def predictions(self) -> list[str]:
        """Predictions of the result arm."""
        result = self.section.result
        jobs = [cells for (arm, cells), job in self.trains.items()
                if arm == result and job.units[0][0] != EARLY]  # fmt: skip
        return [f"{FOLDER}/predictions/{result}/{cells}.parquet" for cells in jobs]

    def tables(self) -> TablesJob:
        """The job that makes the tables of the outcome."""
        result = self.section.result
        runs = range(self.section.runs_of(result))
        return TablesJob(
            arm=result,
            expected=[[*cell, run] for cell in self.section.cells(result) for run in runs],
            seed=self.seed,
            confidence=0.95,
            draws=10_000,
        )

    def costs(self) -> CostsJob:
        """The job that makes the tables of cost."""
        section, stages, ranks = self.section, {}, {}
        for name, workload in section.measure.workloads.items():
            if workload.work in COUNTERS and workload.rounds:
                stages.setdefault(workload.work, name)
            if workload.work == "svd" and workload.rounds:
                ranks[name] = workload.rank
        return CostsJob(
            arm=section.result,
            stages=stages,
            ranks=ranks,
            contestants=list(section.contestants),
            adapters=[1_000, 10_000, 100_000],
            batch=section.train.batch,
            runs=section.runs,
            cells=18,  # nine representations, all and visual
            passes=13.5,  # the original reads 9 times all tensors and 9 times half of them
            repairs=[[name, arm.repair] for name, arm in section.arms.items() if arm.repair],
        )

    def measured(self, arm: str, workload: LoraWorkload) -> Model:
        """An arm's job in a measured workload, without units."""
        work, options = workload.work, self.section.arms[arm]
        told = {"study": STUDY, "arm": arm, "seed": self.seed, "units": [], "work": work}
        told |= {"package": package_of(self.section, arm)}
        if work == "load":
            return LoadWork(**told, load=options.load)
        if work == "features":
            source = generated(workload.adapters * max(workload.rounds, 1))
            told |= {"device": self.device(arm, "features")}
            return FeaturesWork(**told, features=options.features, source=source)
        if work in ("svd", "fft"):
            own = {"features": options.features, "rank": workload.rank}
            return MatricesWork(**told, **own, matrices=workload.matrices)
        changes = {} if workload.max_epochs is None else {"max_epochs": workload.max_epochs}
        told |= {"trainer": options.trainer, "train": self.section.train_of(arm, **changes)}
        if work == "total":
            chosen = {"load": options.load, "features": options.features}
            return TotalWork(**told, **chosen, adapters=workload.adapters)
        by_name = {name: columns(name) for name in workload.representations}
        layers = self.layers(options.selection)
        if work == "train":
            told |= {"device": self.device(arm, "trainer")}
        return FitWork(**told, columns=by_name, selection=options.selection, layers=layers)

    def data(self) -> dict[str, list[str]]:
        """Files that the measured arms read, by name."""
        trained = [
            name
            for workload in self.section.measure.workloads.values()
            for name in getattr(workload, "representations", ())
        ]
        names = dict.fromkeys(family for name in trained for family in families(name))
        return {
            "nested": [f"{FOLDER}/nested"],
            "index": [f"{FOLDER}/index.parquet"],
            "layout": [f"{FOLDER}/tensors/{next(iter(self.shards))}.json"],
            "features": [f"{FOLDER}/features/{f}/{s}.parquet" for f in names for s in self.shards],
        }


def study(section: Section, seed: int, active: bool) -> Study:
    """The study as the spine knows it; what is planned is told only if it is `active`."""
    values = {
        "stage": ["load", *section.stages, EARLY, "train"],
        "layers": section.selections or known_selections(section),
        "share": [FULL, *section.curves.shares],
    }
    announced = {"name": STUDY, "settings": section, "axes": AXES}
    announced |= {"metrics": METRICS, "phases": PHASES, "values": values}
    if not active:
        return Study(**announced)
    jobs = Jobs(section, seed)
    section = jobs.section
    announced |= {"settings": section, "values": values | {"layers": section.selections}}
    return Study(
        **announced,
        runs=[
            *(f"{FOLDER}/runs/{arm}/{cells}.parquet" for arm, cells in jobs.trains),
            *(f"{FOLDER}/runs/{arm}/prepare.parquet" for arm in section.prepared),
        ],
        data=jobs.data(),
        script="scripts/lora_ablation/measured.py",
        plan=lambda: measurement_plan(section, round_units, jobs.measured),
        drawn={name: [f"{FOLDER}/tables/{name}.csv"] for name in OUTCOME},
        chapter=[
            *(f"{FOLDER}/tables/{name}.csv" for name in ("data", *TABLES)),
            f"{FOLDER}/tables/figures.json",
        ],
    )
