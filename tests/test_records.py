"""What a run does not measure is told by the newest record, dated, and enters no ratio."""

import re

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from scripts.lib.comparison import CACHED, NOT_MEASURED
from scripts.lib.faults import ConfigError
from scripts.lib.records import COMPARED, FOUND, beside, newest, read_record
from scripts.lib.root import ROOT
from scripts.lib.table_files import read_metadata
from scripts.lib.yaml_files import LOADER
from scripts.spine.ledger import OF_ANSWERS, Told, complete, listed, pairs_behind
from scripts.spine.record import keep
from tests.rule_files import shipped

RECORDS = sorted((ROOT / "results/records").glob("*/ledger.csv"))
CLAIMS = pd.read_csv(ROOT / "config/claims.csv", dtype=str, keep_default_na=False)
# A number that no measurement gives, to be found wherever it gets to.
ABSURD = 123456789.0
MADE = {"date": "2030-01-02", "processor": "Abacus", "platform": "Wood"}


def recorded(**changes) -> dict:
    """A row of a record: of the claim TEP-5, as config/claims.csv asks for it."""
    claim = CLAIMS.set_index("id").loc["TEP-5"]
    row = {"id": "TEP-5"} | {name: claim[name] for name in COMPARED}
    row |= {"measured": ABSURD, "low": ABSURD, "high": ABSURD, "rounds": 5, "pairs": 20}
    row |= {"verdict": "holds", "reason": "", "date": "2026-01-01", "machine": "Abacus, Wood"}
    return row | changes


def write(folder, *rows):
    """A record's ledger in a folder; its path."""
    folder.mkdir(parents=True)
    pd.DataFrame(rows, columns=rows[0]).to_csv(folder / "ledger.csv", index=False)
    return folder / "ledger.csv"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parent.name)
def test_every_ledger_of_a_record_has_the_schema_and_known_claims(path):
    rows = read_record(path)
    assert rows
    assert {row["id"] for row in rows} <= set(CLAIMS["id"])
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["date"])
        assert row["verdict"] not in (NOT_MEASURED, CACHED)
        assert not row["verdict"].startswith("needs")


def test_every_claim_is_measured_by_a_record_or_about_a_cache_or_names_the_hardware_it_needs():
    told = newest(RECORDS)
    without = [
        claim["id"]
        for claim in CLAIMS.to_dict("records")
        if not beside(claim, told)["record"] and claim["kind"] != "cache"
        and (claim["slower"] or not claim["needs"])
    ]  # fmt: skip
    assert without == []


def measured_by(config: dict) -> set[str]:
    """Claims whose arms a configuration measures, or computes where the claim is of answers."""
    found = set()
    for claim in CLAIMS.to_dict("records"):
        section = config[claim["study"]]
        if claim["study"] not in config["studies"] or not claim["slower"]:
            continue
        if claim["kind"] in OF_ANSWERS:
            run = section["arms"][claim["faster"]].get("run", {})
            ran = all(run.get(size) != 0 for size in ("reps", "runs", "folds", "trials"))
            found |= {claim["id"]} if ran else set()
            continue
        workload = section["measure"]["workloads"][claim["workload"]]
        taking_part = {section["measure"]["compare"]["baseline"], *workload["contestants"]}
        if workload["rounds"] and {claim["slower"], claim["faster"]} <= taking_part:
            found.add(claim["id"])
    return found


def test_what_the_default_run_leaves_out_the_run_of_the_claims_measures():
    default, overlaid = shipped(), shipped()
    overlay = (ROOT / "config/claims.yaml").read_text(encoding="utf-8")
    update_config(overlaid, yaml.load(overlay, LOADER))
    with_arm = set(CLAIMS.loc[CLAIMS["slower"] != "", "id"])
    left_out = with_arm - measured_by(default)
    assert left_out
    assert left_out <= measured_by(overlaid)


def test_hardware_is_named_by_the_claims_that_are_about_a_gpu():
    about = CLAIMS[CLAIMS["needs"] != ""]
    assert set(about["needs"]) == {"a CUDA device"}
    without_arm = about.loc[about["slower"] == "", "id"]
    assert list(without_arm) == ["TEP-2", "TEP-3", "LPL-3"]


def test_the_newest_record_counts_and_not_the_last_in_the_list(tmp_path):
    old = write(tmp_path / "2026-01-01-a", recorded(verdict="false"))
    new = write(tmp_path / "2026-02-01-a", recorded(date="2026-02-01"))
    for paths in ([old, new], [new, old]):
        row = newest(paths)["TEP-5"]
        assert (row["verdict"], row["record"]) == ("holds", "2026-02-01-a")


@pytest.mark.parametrize("column", COMPARED)
def test_a_record_of_another_comparison_says_nothing_of_the_claim(column):
    claim = CLAIMS.set_index("id", drop=False).loc["TEP-5"].to_dict()
    assert beside(claim, {"TEP-5": recorded(record="r")})["record"] == "r"
    other = recorded(record="r") | {column: "other"}
    assert set(beside(claim, {"TEP-5": other}).values()) == {None}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"id": "TEP-5", "verdict": "holds"}], "make record"),
        ([recorded(date=None)], "id, verdict, date and machine"),
        ([recorded(machine=None)], "id, verdict, date and machine"),
    ],
)
def test_what_is_no_record_is_refused_in_a_sentence(tmp_path, rows, sentence):
    path = write(tmp_path / "2026-01-01-a", *rows)
    with pytest.raises(ConfigError, match=sentence) as told:
        read_record(path)
    assert "\n" not in str(told.value)


def judged(**changes) -> dict:
    """A row of the ledger as `judge` leaves it."""
    claim = CLAIMS.set_index("id", drop=False).loc["TEP-5"].to_dict()
    found = {"measured": None, "low": None, "high": None, "rounds": None, "reason": "none"}
    return claim | found | {"verdict": NOT_MEASURED} | changes


def test_a_claim_that_this_run_measured_has_its_own_pairs_date_and_machine_and_no_record():
    measured = pd.DataFrame({"workload": ["proposals"] * 2, "where": "tep"})
    measured["contestant"] = measured["arm"] = ["reference", "compiled"]
    tested = {"arm": "compiled", "test": ["close", "accurate", "reported"], "n_pairs": [20, 18, 3]}
    agreement = pd.DataFrame(tested | {"where": "rule = tep"})
    elsewhere = agreement.assign(where="rule = bp", n_pairs=1)
    tables = {"tep_bp": (measured, pd.concat([agreement, elsewhere]))}
    made = {"tep_bp": {"measurements": MADE, "runs": MADE | {"date": "2030-01-01"}}}
    known = {"TEP-5": recorded(record="r")}
    row = complete(judged(verdict="holds", measured=1.5), tables, made, known)
    assert (row["pairs"], row["date"], row["machine"]) == (18, "2030-01-02", "Abacus, Wood")
    assert row["record"] is None
    assert all(row[f"record_{name}"] is None for name in FOUND)
    answer = complete(judged(verdict="false", kind="equality"), tables, made, known)
    assert answer["date"] == "2030-01-01"


def test_arms_that_are_the_reference_need_no_pairs():
    measured = pd.DataFrame({"workload": ["w"] * 2, "where": "", "arm": "reference"})
    measured["contestant"] = ["reference", "reference_jobs"]
    agreement = pd.DataFrame({"arm": ["fast"], "test": "close", "n_pairs": 4, "where": "n = 1"})
    claim = {"workload": "w", "slower": "reference", "faster": "reference_jobs"}
    assert pairs_behind(claim, measured, agreement) is None


def test_a_record_stands_beside_an_unmeasured_claim_and_fills_none_of_its_own_columns():
    row = complete(judged(), {}, {}, {"TEP-5": recorded(record="r")})
    assert (row["verdict"], row["measured"], row["date"]) == (NOT_MEASURED, None, None)
    assert (row["record_verdict"], row["record_measured"]) == ("holds", ABSURD)


def test_a_claim_without_an_arm_names_the_hardware_that_it_needs():
    row = complete(judged(slower="", faster="", needs="a CUDA device"), {}, {}, {})
    assert row["verdict"] == "needs a CUDA device"
    part = complete(judged(needs="a CUDA device"), {}, {}, {})
    assert part["verdict"] == NOT_MEASURED  # its part without that hardware can be measured here


def test_a_record_reruns_the_ledger_and_the_page_alone_and_its_number_enters_no_ratio(finished):
    ratios = (finished.folder / "results/ratios.csv").read_text()
    write(finished.folder / "results/records/2026-01-01-a", recorded())
    assert finished.jobs() == {"ledger": 1, "report": 1}
    finished.make()
    assert (finished.folder / "results/ratios.csv").read_text() == ratios
    ledger = pd.read_csv(finished.folder / "results/ledger.csv").set_index("id")
    assert ledger.loc["TEP-5", "record_measured"] == ABSURD
    own = ["claimed_factor", "measured", "low", "high", "noise_low", "noise_high"]
    assert not (ledger[own] == ABSURD).any(axis=None)
    page = (finished.folder / "results/report.html").read_text(encoding="utf-8")
    assert page.count("123,456,789") == 3  # the value and its interval
    assert page.index("123,456,789") > page.index('id="ledger"')
    told = page[page.index('<table id="ledger-recorded"') :]
    for words in ("2026-01-01", "Abacus, Wood", "2026-01-01-a", "holds"):
        assert words in told


def test_the_record_of_a_run_has_what_the_run_measured_and_is_read_as_one(finished):
    run, records = finished.folder / "results", finished.folder / "results/records"
    with pytest.raises(ConfigError, match="measured no claim"):
        keep(run, "tiny", records)
    ledger = pd.read_csv(run / "ledger.csv").astype({"date": object, "machine": object})
    of = ledger["id"] == "ENG-2"
    ledger.loc[of, ["verdict", "date", "machine"]] = ["holds", "2026-01-01", "Abacus, Wood"]
    ledger.to_csv(run / "ledger.csv", index=False)
    folder = keep(run, "tiny", records)
    made = read_metadata(run / "engression/measurements.parquet")["date"]
    assert folder.name == f"{made}-tiny"
    (row,) = read_record(folder / "ledger.csv")
    assert (row["id"], row["faster"], row["verdict"]) == ("ENG-2", "source_cdist", "holds")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "engression_agreement.csv", "engression_jobs.csv",
        "engression_measurements.parquet", "engression_summary.csv", "ledger.csv", "peers.csv",
        "ratios.csv",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="never written over"):
        keep(run, "tiny", records)
    with pytest.raises(ConfigError, match=r"has no ledger\.csv"):
        keep(run / "engression", "other", records)
    ledger[:0].to_csv(run / "ledger.csv", index=False)
    folder = keep(run, "without_claims", records)
    assert not (folder / "ledger.csv").exists()
    assert (folder / "ratios.csv").read_bytes() == (run / "ratios.csv").read_bytes()


CLAIMED = [{"study": "a"}, {"study": "a"}, {"study": "b"}]


@pytest.mark.parametrize(
    ("own_data", "found"),
    [
        ({"a": []}, ["a", "a", "b"]),  # the ledger of the project, whatever part of it runs
        ({"a": [], "b": []}, ["a", "a", "b"]),
        ({"a": ["mine"]}, []),
        ({"a": [], "b": ["mine"]}, ["a", "a"]),
        ({"a": ["mine"], "b": []}, ["b"]),
        ({"mine": []}, []),  # a study of the user's own
        ({"mine": [], "b": []}, ["b"]),
    ],
)
def test_claims_of_others_stand_beside_their_data_alone(own_data, found):
    baselines = {"baseline": "reference", "reference": "reference"}
    studies = {
        name: Told.model_validate({"baselines": baselines, "own_data": own})
        for name, own in own_data.items()
    }
    assert [claim["study"] for claim in listed(CLAIMED, studies)] == found
