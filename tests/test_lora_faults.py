"""Faulty files stop a run of the ablation in one sentence, and killed runs lose at most a unit."""

import pickle

import numpy as np
import pytest

from scripts.lora_ablation.data.layout import DOWN, UP
from tests.lora_files import BLOCK, save_adapter, save_folder, small, tensors

QUERY = f"{BLOCK}attn1.to_q"
VICTIM = 3  # the adapter that is broken
CELL = "results/lora_ablation/runs/resident/simple_stats-0.parquet"


def without_a_layer(found: dict) -> None:
    found.pop(QUERY + DOWN)
    found.pop(QUERY + UP)


def with_rank_4(found: dict) -> None:
    found |= {QUERY + DOWN: np.ones((4, 6), np.float32), QUERY + UP: np.ones((8, 4), np.float32)}


FAULTS = {
    "NaN": (lambda found: found[QUERY + UP].fill(np.nan), [QUERY + UP, "holds nan", "finite"]),
    "a missing layer": (without_a_layer, [QUERY + DOWN, "is missing"]),
    "rank 4 among rank 1": (with_rank_4, [QUERY + DOWN, "(4, 6)", "expected (1, 6)"]),
    "a truncated file": (lambda whole: whole[:-5], ["not readable as a safetensors file"]),
    "a pickle": (lambda whole: pickle.dumps({}), ["not readable as a safetensors file"]),
}


def files_of(project) -> list[str]:
    """Everything that a run left in `results`, but its logs."""
    found = (path for path in (project.folder / "results").rglob("*") if path.is_file())
    return [path.name for path in found if "logs" not in path.parts]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_adapter_stops_the_run_in_one_sentence(fresh_lora, fault, tmp_path):
    change, said = FAULTS[fault]
    shard, folder = small(12, rank=1), tmp_path / "adapters"
    source, path = save_folder(shard, folder), folder / shard.names[VICTIM]
    if fault in ("a truncated file", "a pickle"):
        path.write_bytes(change(path.read_bytes()))
    else:
        found = tensors(shard.matrix[VICTIM].copy(), shard.layout)
        change(found)
        save_adapter(path, found)
    config = fresh_lora.overlay(source="mine", sources=f"{{mine: {source}}}")
    done = fresh_lora.snakemake("--until", "lora_ablation_features", config=config)
    assert done.returncode != 0
    log = fresh_lora.results / "logs/load/adapters-000000-000011.log"
    (sentence,) = log.read_text().splitlines()
    assert all(part in sentence for part in [shard.names[VICTIM], *said]), sentence
    assert sentence in done.stdout + done.stderr
    assert files_of(fresh_lora) == []
    assert not (fresh_lora.results / "features").exists()


def test_a_source_without_files_is_a_sentence_before_any_job(fresh_lora, tmp_path):
    source = {"kind": "safetensors", "path": str(tmp_path / "none"), "labels": "folder"}
    config = fresh_lora.overlay(source="mine", sources=f"{{mine: {source}}}")
    done = fresh_lora.snakemake(config=config)
    assert done.returncode != 0
    assert "none: holds no file that ends in .safetensors." in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (fresh_lora.folder / "results").exists()


def test_too_few_adapters_to_hold_any_out_are_a_sentence_before_any_job(fresh_lora):
    config = fresh_lora.overlay(sources="{generated: {adapters: 8}}")
    done = fresh_lora.snakemake(config=config)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "The source has 8 adapters; a split into train, val and test needs 11 or more." in said
    assert "Traceback" not in said
    assert not (fresh_lora.folder / "results").exists()


@pytest.mark.slow
def test_runs_are_the_same_after_a_kill(finished_lora):
    train = "{hidden: 64, batch: 8, max_epochs: 200, patience: 200}"
    config = finished_lora.overlay(runs="6", train=train)  # of three cells
    old = finished_lora.trained()
    run = finished_lora.start(CELL, config=config)
    finished_lora.wait_for_units(2, but=old)
    for process in finished_lora.training_processes(run):
        process.kill()
    assert run.wait(60) != 0
    kept = finished_lora.trained() - old
    assert 2 <= len(kept) < 18
    assert not (finished_lora.folder / CELL).exists()
    units = {name: (finished_lora.results / "units" / name).read_bytes() for name in kept}

    finished_lora.snakemake("--unlock", config=config)
    finished_lora.make(CELL, config=config)
    interrupted = finished_lora.rows(CELL.removeprefix("results/lora_ablation/"))
    assert {name: (finished_lora.results / "units" / name).read_bytes() for name in kept} == units
    assert not list(finished_lora.results.rglob("*.tmp"))

    finished_lora.forget_units()
    finished_lora.make(CELL, "--forcerun", CELL, config=config)
    assert finished_lora.rows(CELL.removeprefix("results/lora_ablation/")) == interrupted
    assert len(finished_lora.trained()) == len(interrupted) == 18
