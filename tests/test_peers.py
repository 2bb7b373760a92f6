"""Arms of other packages: left out in a sentence, known by version, compared when they agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.deep_gpcm.data.fold import Sequences
from scripts.deep_gpcm.models.irt.peers import first_answers, thresholds
from scripts.engression.models.peers import fit_official
from scripts.lib import packages
from scripts.lib.config import read_settings
from scripts.lib.contract import check_contract
from scripts.lib.faults import ConfigError
from scripts.lib.own_study import Unit
from scripts.lib.packages import left_out, missing, without
from scripts.lib.root import ROOT
from scripts.lib.workloads import Baselines
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.representations.catalogue import REPRESENTATIONS, deviation
from scripts.lora_ablation.representations.original import represent
from scripts.lora_ablation.representations.peers import spectra, svdvals
from scripts.spine import train
from scripts.spine.jobs import Jobs, announced
from scripts.spine.ledger import study_ratios
from scripts.spine.peer_table import COLUMNS, PeersJob, peer_rows
from scripts.spine.section import two_stage_section
from scripts.spine.train import dealt_by_joblib, train_unit
from scripts.spine.two_stage import two_stage
from scripts.tep_bp.models.interface import Data
from scripts.tep_bp.models.peers import fit_in_optuna
from scripts.tep_bp.models.reference.trial import fit_trial
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial
from tests.rule_files import read, shipped

STUDY = two_stage("engression")


def section(**arms):
    """The section of engression that ships, with arms changed or added."""
    config = shipped()["engression"]
    for name, changes in arms.items():
        config["arms"][name] = config["arms"].get(name, {}) | changes
    return read_settings(two_stage_section(STUDY), config, "engression")


@pytest.fixture
def nothing_installed(monkeypatch):
    """As if none of the packages of peers were there."""
    monkeypatch.setattr(packages, "version", _absent)


def _absent(package):
    raise packages.PackageNotFoundError(package)


# Left out


def test_peers_without_their_package_are_told_in_one_sentence(nothing_installed):
    absent = missing(section())
    assert set(absent) == {"official", "official_defaults", "antithetic_joblib"}
    told = left_out("engression", absent)
    assert told.count("not installed") == 1
    assert all(name in told for name in (*absent, *absent.values(), "make peers"))
    assert left_out("engression", {}) == ""


def _of_nobody(workload):
    return {"contestants": [workload.get("baseline", "reference")], "rounds": 0}


def test_without_its_package_a_study_plans_what_it_planned_before_there_were_peers(
    nothing_installed,
):
    config = shipped()
    for study in ("engression", "lora_ablation", "deep_gpcm", "tep_bp"):
        arms, measure = config[study]["arms"], config[study]["measure"]
        peers = {name for name, arm in arms.items() if arm["role"] == "peer"}
        gone = peers | {n for n, c in measure["contestants"].items() if c["arm"] in peers}
        assert peers
        for name in peers:
            del arms[name]
        for workload in measure["workloads"].values():
            left = [c for c in workload["contestants"] if c not in gone]
            workload |= {"contestants": left} if left else _of_nobody(workload)
    before, now = read(config), read(shipped())
    for study, plan in before["PLANS"].items():
        assert now["PLANS"][study] == plan
        assert now["STUDY"][study].runs == before["STUDY"][study].runs
        assert now["STUDY"][study].agreement() == before["STUDY"][study].agreement()
        assert now["STUDY"][study].left_out
        assert now["STUDY"][study].page()["left_out"] == now["STUDY"][study].left_out


def test_a_workload_of_peers_alone_is_switched_off():
    known = section()
    workload = known.measure.workloads["peers"].model_copy(update={"contestants": ["official"]})
    workloads = {**known.measure.workloads, "peers": workload}
    known = known.model_copy(
        update={"measure": known.measure.model_copy(update={"workloads": workloads})}
    )
    assert without(known, ["official"]).measure.workloads["peers"].rounds == 0


def test_what_is_left_out_is_checked_all_the_same(nothing_installed):
    config = shipped()
    config["engression"]["arms"]["official"]["claim"]["reported"] = ["n_epoch"]
    with pytest.raises(Exception, match=r"arms.official.claim.reported is 'n_epoch'"):
        read(config, "engression")


def test_an_implementation_may_need_a_package_and_who_is_off_is_not_called_left_out(
    nothing_installed,
):
    def told(**changes) -> list[str]:
        config = shipped()
        config["deep_gpcm"]["arms"]["triton"] |= changes.get("arm", {})
        config["deep_gpcm"]["measure"]["workloads"]["step_t49"] |= changes.get("workload", {})
        found = read(config)
        assert "triton" not in found["GPCM"].arms
        arms = found["STUDY"]["deep_gpcm"].left_out.partition("left out ")[2].partition(", as ")[0]
        return arms.split(", ")

    assert told() == ["girth"]
    assert told(arm={"run": {"folds": 5}}) == ["triton", "girth"]
    assert told(workload={"contestants": ["fused", "triton"]}) == ["triton", "girth"]


def test_another_version_of_a_package_is_another_job(monkeypatch):
    jobs = Jobs(STUDY, section(), 42)
    ours, theirs = (jobs.train(arm, "reps-000-003") for arm in ("antithetic", "official"))
    monkeypatch.setattr(packages, "version", lambda package: "9.9")
    assert jobs.train("official", "reps-000-003") == theirs.model_copy(
        update={"package": "engression 9.9"}
    )
    assert theirs.package != "engression 9.9"
    assert jobs.train("antithetic", "reps-000-003") == ours


@pytest.mark.parametrize(
    ("arm", "changes", "said"),
    [
        ("reference", {"package": "numpy"}, "package is for the role peer and implementation only"),
        ("exact", {"beside": "reference"}, "arms.exact.beside is for the role peer only"),
        ("official", {"beside": "official"}, "arms.official.beside is 'official'"),
        ("official", {"beside": "antitetic"}, "arms.official.beside is 'antitetic'"),
        ("exact", {"processes": 2}, "arms.exact.processes is 2"),
        ("antithetic_joblib", {"processes": 1}, "arms.antithetic_joblib.processes is 1"),
    ],
)
def test_a_peer_that_is_none_is_refused(arm, changes, said):
    with pytest.raises(ConfigError) as refused:
        check_contract(announced(STUDY, section(**{arm: changes}), 42, False))
    assert said in str(refused.value)


# The packages


def unit(n: int = 200, **train) -> Unit:
    job = Jobs(STUDY, section(), 42).train("official", "reps-000-003")
    settings = STUDY.settings.model_validate(job.settings)
    x = np.random.default_rng(3).standard_normal(n).astype(np.float32)
    return Unit("engression", 42, {"law": "normal", "n": n, "rep": 0}, settings, data={"x": x})


def test_the_official_package_learns_the_law_and_is_seeded_by_the_unit():
    pytest.importorskip("engression")
    options = {"num_layer": 2, "hidden_dim": 32, "noise_dim": 8, "lr": 1e-2}
    untrained, trained, again = (
        STUDY.evaluate(unit(), fit_official(unit(), num_epochs=n, **options)) for n in (1, 60, 60)
    )
    assert trained == again
    assert trained["w1_test"] < 0.5 * untrained["w1_test"]
    assert trained["n_epochs"] == 60
    assert {"excess_loss", "mmd", "ks_p", "final_loss"} <= trained.keys() <= STUDY.metrics.keys()


def test_the_package_does_not_move_the_random_numbers_of_others():
    pytest.importorskip("engression")
    before = torch.random.get_rng_state()
    fit_official(unit(), num_epochs=1).sample(3, torch.Generator())
    assert torch.equal(before, torch.random.get_rng_state())


def test_joblib_gives_the_rows_that_one_process_gives(monkeypatch):
    changes = {"max_epochs": 2}
    job = Jobs(STUDY, section(), 42).train("antithetic_joblib", "reps-000-003")
    settings = job.settings | {"train": job.settings["train"] | changes}
    units = [["normal", 16, rep] for rep in range(3)]
    job = job.model_copy(update={"units": units, "settings": settings})
    rng = np.random.default_rng(0)
    arrays = {tuple(u): {"x": rng.standard_normal(16).astype(np.float32)} for u in units}
    monkeypatch.setattr(train, "measured_data", lambda study, path: arrays)
    seen = []
    monkeypatch.setattr(
        train, "dealt_by_joblib", lambda *told: seen.append(told) or dealt_by_joblib(*told)
    )
    measured = train.run(job.model_dump(mode="json"), {"data": [Path("data.parquet")]})
    assert len(seen) == 1, "a measurement of joblib is one of joblib"
    rows = dealt_by_joblib(job, units, arrays)
    for labels, result, row in zip(units, rows, measured, strict=True):
        alone = train_unit(STUDY, job, labels, arrays[tuple(labels)])["row"]
        dealt = result["row"]
        timed = {name for name in alone if name.endswith("_s")}
        assert row["final_loss"] == alone["final_loss"]
        assert {k: v for k, v in dealt.items() if k not in timed} == {
            k: v for k, v in alone.items() if k not in timed
        }


def test_a_loop_of_optuna_trains_the_same_trials_bit_by_bit():
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(40, 4, generator=rng), torch.arange(40) % 3
    data = Data(x, y, x[:12], y[:12], 3)
    section = read(shipped())["TEP"]
    train = Training.model_validate(
        section.train.model_dump() | {"epochs": 2, "watch": True, "proposal": "none"}
    )
    solver = Solver(omega=1.0, mu=0.0, free=5, nudged=3)
    point = Trial("tep", 0, 8, 16, 0.013, 1e-4, "tanh", 0.3, 7)
    trials = [point, point._replace(trial=1, lr=0.0021, hidden=16, activation="relu", seed=8)]
    fits = fit_in_optuna(data, trials, train, solver)
    alone = [fit_trial(data, trial, train, solver) for trial in trials]
    assert [fit.parameter_hash for fit in fits] == [fit.parameter_hash for fit in alone]
    assert fits[0].parameter_hash != fits[1].parameter_hash


@pytest.mark.parametrize("package", ["torch", "weightwatcher"])
def test_spectra_of_other_packages_are_within_the_tolerance(package):
    pytest.importorskip(package)
    from scripts.lora_ablation.representations.peers import weightwatcher

    way = {"torch": svdvals, "weightwatcher": weightwatcher}[package]
    layout = Layout.of({"a": (12, 40), "b": (40, 12), "c": (12, 40), "d": (1, 30)})
    matrix = np.random.default_rng(1).standard_normal((2, layout.width)).astype(np.float32)
    tensors = [0, 1, 2, 3]
    truth = represent(matrix, layout, "spectral", tensors, dtype=torch.float64)
    found = spectra(matrix, layout, tensors, way)
    assert found.shape == truth.shape
    # Of each tensor by itself: one with a single singular value sets the scale of none else.
    k = len(REPRESENTATIONS["spectral"])
    for i in tensors:
        own = slice(i * k, (i + 1) * k)
        assert deviation(found[:, own], truth[:, own], REPRESENTATIONS["spectral"], 12) <= 1
    moved = spectra(matrix * np.float32(1.001), layout, tensors, way)
    assert deviation(moved[:, :k], truth[:, :k], REPRESENTATIONS["spectral"], 12) > 1


# Answers: student, question, response.
TWICE = Sequences(
    student=np.array([4, 9, 4]),
    lengths=np.array([2, 2, 2]),
    question=np.array([1, 2, 2, 2, 1, 3]),
    response=np.array([0, 1, 2, 0, 1, 1]),
)


def test_of_a_student_only_the_first_answer_to_a_question_is_taken():
    assert first_answers(TWICE, 3).tolist() == [[0, 1, 1], [-1, 2, -1]]


def test_thresholds_to_categories_that_nobody_gave_are_the_bounds_of_the_package():
    found = np.array([[0.5, 1.0, 1.5], [0.2, np.nan, np.nan], [-0.3, np.nan, np.nan]])
    seen = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 1]], bool)
    assert thresholds(found, seen).tolist() == [
        [0.5, 1.0, 1.5],
        [-6.0, 0.2, 6.0],
        [-0.3, -0.3, -0.3],
    ]


@pytest.mark.parametrize("package", ["girth", "irtorch"])
def test_other_packages_find_the_items_that_generated_the_answers(package):
    pytest.importorskip(package)
    from scripts.deep_gpcm.models.irt import peers

    rng = np.random.default_rng(0)
    theta, alpha = rng.standard_normal(600), np.array([0.7, 1.0, 1.6, 1.2, 0.9])
    beta = np.sort(rng.normal(0, 0.7, (5, 2)), axis=1)
    z = np.cumsum(alpha[:, None] * (theta[:, None, None] - beta), axis=2)
    p = np.exp(np.concatenate([np.zeros((600, 5, 1)), z], axis=2))
    p /= p.sum(axis=2, keepdims=True)
    drawn = (p.cumsum(axis=2) < rng.random((600, 5, 1))).sum(axis=2)
    answers = Sequences(
        np.arange(600), np.full(600, 5), np.tile(np.arange(5) + 1, 600), drawn.ravel()
    )
    found = getattr(peers, f"fit_{package}")(answers, np.full(5, 3))
    assert np.abs(found[0] / alpha - 1).max() < 0.35
    assert np.abs(found[1] - beta).max() < 0.4


# The table


def tables(shift: float, level: str = "rounding") -> tuple[PeersJob, tuple[pd.DataFrame, ...]]:
    """A peer whose metric is `shift` away from the reference's, and its costs beside ours."""
    arms = {"reference": 0.0, "fast": 0.0, "theirs": shift}
    runs = pd.DataFrame(
        [
            {"arm": arm, "part": "a", "rep": rep, "status": "ok", "loss": 1.0 + rep + moved}
            for arm, moved in arms.items()
            for rep in range(4)
        ]
    )
    contestants = {"reference": 8.0, "reference_again": 8.0, "fast": 1.0, "theirs": 4.0}
    measured = pd.DataFrame(
        [
            {
                **{"workload": "steps", "where": "a", "contestant": name, "round": number},
                **{"arm": name.removesuffix("_again"), "workers": 1, "threads": 1},
                **{"wall_s": cost * (1 + number / 100), "cpu_s": cost, "rss_mb": 100 * cost},
                **{"units": 1, "units_ok": 1, "tensor_peak_mb": None, "call": 1, "minor_faults": 0},
            }
            for name, cost in contestants.items()
            for number in range(1, 6)
        ]
    )
    agreement = pd.DataFrame(
        [
            {
                **{"arm": "fast", "level": "rounding", "where": "part = a", "metric": "loss"},
                **{"test": "close", "passed": True, "note": ""},
            }
        ]
    )
    peer = {"package": "theirs 1.0", "beside": "reference"}
    peer["claim"] = {"level": level, "close": {"loss": 0.1}, "reported": []}
    told = {"axes": ["part", "rep"], "agreement": {"strata": "part"}, "truth": None}
    told |= {"result": "fast", "peers": {"theirs": peer}}
    told |= {"baselines": {"baseline": "reference", "reference": "reference"}}
    return PeersJob.model_validate(told), (runs, measured, agreement)


def test_a_peer_that_agrees_has_its_ratio_beside_ours_and_a_loss_is_told():
    job, parts = tables(shift=0.01)
    table = pd.DataFrame(peer_rows(job, *parts))
    assert set(table.columns) | {"study"} >= set(COLUMNS)
    assert table.loc[table["quantity"] == "answer", "verdict"].tolist() == ["agrees"]
    wall = table[table["quantity"] == "wall_s"].set_index("ours")
    # Of the reference's twin there is no row: it is the noise floor.
    assert wall["measured"].round(3).to_dict() == {"reference": 0.5, "fast": 4.0}
    assert wall["verdict"].to_dict() == {"reference": "more", "fast": "less"}
    loss = table[table["quantity"] == "loss"].set_index("ours")
    assert loss["of_peer"].tolist() == [2.51, 2.51]
    assert set(table["package"]) == {"theirs 1.0"}


@pytest.mark.parametrize(("shift", "level"), [(0.2, "rounding"), (0.0, "protocol")])
def test_a_peer_with_another_answer_has_quality_beside_time_and_no_ratio(shift, level):
    job, parts = tables(shift, level)
    table = pd.DataFrame(peer_rows(job, *parts))
    assert table["measured"].isna().all()
    assert table.loc[table["quantity"] == "answer", "verdict"].tolist() == ["not shown to agree"]
    costs = table[table["quantity"] == "wall_s"].set_index("ours")
    assert costs.loc["fast", ["of_peer", "of_ours"]].round(2).tolist() == [4.12, 1.03]
    assert (costs["reason"] == "see its answer").all()


def test_beside_another_arm_a_peer_claims_nothing_about_the_reference():
    known = read(shipped())["STUDY"]["engression"]
    assert known.settings.arms["official"].beside == "antithetic"
    assert not {"official", "antithetic_joblib"} & set(known.agreement()["arms"])
    assert {"official", "antithetic_joblib"} <= set(known.peers()["peers"])
    assert replace(known, left_out="x").page()["left_out"] == "x"


def test_every_shipped_peer_names_a_package_of_the_group_that_make_peers_installs():
    text = (ROOT / "pyproject.toml").read_text()
    for study in ("engression", "lora_ablation", "deep_gpcm", "tep_bp"):
        for name, arm in shipped()[study]["arms"].items():
            if arm["role"] == "peer":
                assert f'"{arm["package"]}' in text, name


# The baseline of a workload


def test_a_workload_may_have_a_baseline_of_its_own_whose_twin_takes_part_by_itself():
    known = section()
    peers = known.measure.workloads["peers"]
    assert known.taking_part(peers)[:2] == ["antithetic", "antithetic_again"]
    assert known.contestants["antithetic_again"].arm == "antithetic"
    other = known.measure.workloads["fixed_steps"]
    assert known.taking_part(other)[:2] == ["reference", "reference_again"]
    told = known.baselines()
    assert told.pair("peers") == ("antithetic", "antithetic_again")
    assert told.pair("fixed_steps") == ("reference", "reference_again")
    plan = {entry.workload: entry for entry in read(shipped())["PLANS"]["engression"]}
    assert (plan["peers"].baseline, plan["peers"].again) == ("antithetic", "antithetic_again")
    assert plan["fixed_steps"].baseline == "reference"


@pytest.mark.parametrize("baseline", ["antithetic_again", "official", "antitetic"])
def test_the_baseline_of_a_workload_is_a_contestant_of_ours(baseline):
    config = shipped()["engression"]
    config["measure"]["workloads"]["peers"]["baseline"] = baseline
    known = read_settings(two_stage_section(STUDY), config, "engression")
    with pytest.raises(ConfigError, match=f"workloads.peers.baseline is '{baseline}'"):
        check_contract(announced(STUDY, known, 42, False))


def test_no_contestant_has_the_name_of_the_twin_of_a_workload():
    config = shipped()["engression"]
    config["measure"]["contestants"]["antithetic_again"] = {"arm": "antithetic"}
    known = read_settings(two_stage_section(STUDY), config, "engression")
    with pytest.raises(ConfigError, match="antithetic_again, which is the name of the twin"):
        check_contract(announced(STUDY, known, 42, False))


def test_the_noise_floor_of_a_workload_is_that_of_its_own_baseline():
    job, (runs, measured, agreement) = tables(shift=0.01)
    measured = measured.replace({"contestant": {"fast": "fast_again"}})
    fast = measured[measured["contestant"] == "fast_again"].assign(contestant="fast")
    # The twin of `reference` is 3 times as dear, which is no affair of a workload about `fast`.
    noisy = measured["contestant"] == "reference_again"
    measured.loc[noisy, ["wall_s", "cpu_s"]] *= 3
    measured = pd.concat([measured, fast], ignore_index=True)
    refused = pd.DataFrame(peer_rows(job, runs, measured, agreement))
    own = job.baselines.model_copy(update={"own": {"steps": "fast"}})
    told = job.model_copy(update={"baselines": own})
    given = pd.DataFrame(peer_rows(told, runs, measured, agreement))
    for table, verdict in ((refused, "this machine is too noisy for this row"), (given, "less")):
        rows = table[(table["quantity"] == "cpu_s") & (table["ours"] == "fast")]
        assert rows["verdict"].tolist() == [verdict]


def test_in_a_workload_about_another_arm_that_arm_has_to_agree_too():
    _, (_, measured, agreement) = tables(shift=0.0)
    measured = measured.replace({"contestant": {"reference_again": "fast_again"}})
    measured.loc[measured["contestant"] == "fast_again", ["arm"]] = "fast"
    measured.loc[measured["contestant"] == "fast_again", ["wall_s"]] /= 8
    told = Baselines(baseline="reference", reference="reference", own={"steps": "fast"})

    def verdict(passed: bool) -> str:
        rows = study_ratios("s", measured, agreement.assign(passed=passed), told)
        return next(
            row["verdict"]
            for row in rows
            if (row["quantity"], row["faster"]) == ("wall_s", "reference")
        )

    assert (verdict(True), verdict(False)) == ("more", "not comparable")


def test_the_ratio_of_a_peer_beside_another_arm_is_in_the_table_of_peers_alone():
    _, (_, measured, agreement) = tables(shift=0.0)
    told = Baselines(baseline="reference", reference="reference")
    for apart in ([], ["theirs"]):
        rows = study_ratios("s", measured, agreement, told.model_copy(update={"apart": apart}))
        assert ("theirs" in {row["faster"] for row in rows}) is not bool(apart)
