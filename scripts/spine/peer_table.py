"""Other packages beside ours, at the same work: peers.csv.

One row per peer, arm of ours and quantity: `answer`, whether the peer's claim holds against the arm
beside it; metrics of the units that both computed (means), also beside the result; costs in the
workloads that measure both (medians over rounds). Columns: study, peer, package (with its version),
ours, workload, quantity, of_peer, of_ours, n (units or rounds), measured, low, high (the cost of
the peer over ours, above 1 if ours costs less), verdict, reason. A ratio is given where the claim
holds, and otherwise the reason.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.agreement import Declared, agree, pairs, verdicts
from scripts.lib.comparison import compare, is_traced
from scripts.lib.sections import Agreement, Claim
from scripts.lib.stage import stage
from scripts.lib.table_files import read_frame, together, write_frame
from scripts.lib.typed import Model
from scripts.lib.workloads import Baselines

COSTS = ("wall_s", "cpu_s", "rss_mb")
COLUMNS = [
    *("study", "peer", "package", "ours", "workload", "quantity", "of_peer", "of_ours", "n"),
    *("measured", "low", "high", "verdict", "reason"),
]
Row = dict[str, Any]
Verdicts = dict[str, tuple[bool, str]]


class Peer(Model):
    """An arm that calls another package, and the arm beside which it stands."""

    package: str
    beside: str
    claim: Claim | None


class PeersJob(Model):
    """The peers of a study by the name of their arm, and what their tests need to know."""

    axes: list[str]
    agreement: Agreement
    truth: str | None
    result: str
    baselines: Baselines
    peers: dict[str, Peer]


def peer_verdicts(job: PeersJob, name: str, runs: pd.DataFrame, where: str = "") -> Verdicts:
    """Whether a peer gives the answer of the arm beside it, in one part of the study or in all."""
    peer = job.peers[name]
    if peer.claim is None:
        return {name: (False, "it claims nothing")}
    told = Declared(
        agreement=job.agreement,
        axes=job.axes,
        reference=peer.beside,
        truth=job.truth,
        arms={name: peer.claim},
    )
    return verdicts(pd.DataFrame(agree(runs, name, told)), where)


def in_order(measured: pd.DataFrame) -> pd.DataFrame:
    """The contestants of a workload, those first that are their arm and nothing else."""
    arms = measured.drop_duplicates("contestant")
    further = (arms["contestant"] != arms["arm"]).to_numpy()
    return arms.iloc[further.argsort(kind="stable")]


def cost_rows(
    job: PeersJob, name: str, runs: pd.DataFrame, measured: pd.DataFrame, agreement: pd.DataFrame
) -> list[Row]:
    """Costs of a peer beside those of our contestants in each workload that it takes part in."""
    beside, rows = job.peers[name].beside, []
    # What agrees with the reference is comparable to a peer that agrees with it too.
    ours = {beside, *([job.result] if beside == job.baselines.reference else [])}
    for workload, part in measured.groupby("workload", sort=False):
        if is_traced(part):
            continue
        where, arms = part["where"].iloc[0], in_order(part)
        allowed = verdicts(agreement, where) | peer_verdicts(job, name, runs, where)
        agrees, allowed[beside] = allowed.get(name, (False, ""))[0], (True, "")
        again = job.baselines.pair(workload)
        medians = part.groupby("contestant")[list(COSTS)].median()
        for contestant in arms.loc[arms["arm"] == name, "contestant"]:
            for other in arms.loc[arms["arm"].isin(ours), "contestant"]:
                if other == again[1]:
                    continue  # the twin that gives the noise floor
                for quantity in COSTS:
                    found = compare(part, contestant, other, quantity, allowed, again).columns()
                    row = {"workload": workload, "quantity": quantity, "ours": other}
                    row |= {"of_peer": medians.at[contestant, quantity]}
                    row |= {"of_ours": medians.at[other, quantity]}
                    row |= {"n": int((part["contestant"] == contestant).sum())}
                    told = {key: found[key] for key in COLUMNS[-5:]}
                    rows.append(row | told | ({} if agrees else {"reason": "see its answer"}))
    return rows


def metric_rows(job: PeersJob, name: str, runs: pd.DataFrame) -> list[Row]:
    """The verdict on a peer, and its metrics beside ours over the units that both finished."""
    peer, rows = job.peers[name], []
    passed, reason = peer_verdicts(job, name, runs)[name]
    claim = peer.claim or Claim(level="protocol")
    claimed = dict.fromkeys(m for margins in claim.tests().values() for m in margins)
    for ours in dict.fromkeys([peer.beside, job.result]):
        both = pairs(runs, name, ours, job.axes)
        both = both[(both["status_arm"] == "ok") & (both["status_ref"] == "ok")]
        if ours == peer.beside:
            told = {"verdict": "agrees" if passed else "not shown to agree", "reason": reason}
            rows.append({"ours": ours, "quantity": "answer", "n": len(both)} | told)
        for metric in dict.fromkeys([*claimed, *claim.reported]):
            values = both.get([f"{metric}_arm", f"{metric}_ref"], pd.DataFrame()).dropna()
            if len(values) and all(map(pd.api.types.is_numeric_dtype, values.dtypes)):
                row = {"ours": ours, "quantity": metric, "n": len(values)}
                rows.append(row | dict(zip(("of_peer", "of_ours"), values.mean(), strict=True)))
    return rows


def peer_rows(
    job: PeersJob, runs: pd.DataFrame, measured: pd.DataFrame, agreement: pd.DataFrame
) -> list[Row]:
    """Rows of one study."""
    return [
        {"peer": name, "package": peer.package} | row
        for name, peer in job.peers.items()
        if name in set(runs["arm"])
        for row in [
            *metric_rows(job, name, runs),
            *cost_rows(job, name, runs, measured, agreement),
        ]
    ]


def main(
    spec: dict[str, Any], runs: list[Path], measurements: list[Path], agreements: list[Path],
    peers: Path,
) -> None:  # fmt: skip
    rows = []
    for run, measured, agreement in zip(runs, measurements, agreements, strict=True):
        job = PeersJob.model_validate(spec[run.parent.name])
        if job.peers:
            tables = pd.read_parquet(run), pd.read_parquet(measured), read_frame(agreement)
            rows += [{"study": run.parent.name} | row for row in peer_rows(job, *tables)]
    write_frame(peers, together(rows, COLUMNS)[COLUMNS])


if __name__ == "__main__":
    stage(main)
