"""Habits of files that users bring, kind by kind: the right value, or a sentence that says why."""

import json

import numpy as np
import pandas as pd
import pytest

from scripts.lib.faults import ConfigError, LoadError
from scripts.lib.page import rows_of
from scripts.lib.table_files import read_frame, write_csv, write_frame
from scripts.lora_ablation import draw
from scripts.lora_ablation.checks import chosen
from scripts.lora_ablation.data import sources
from scripts.lora_ablation.data.split import split
from scripts.lora_ablation.jobs import Jobs
from scripts.lora_ablation.outcome.charts import class_dots
from scripts.lora_ablation.representations.catalogue import FAMILIES, HAND_CRAFTED, family_job
from tests.lora_cells import section
from tests.lora_files import (
    count,
    data_source,
    fingerprints,
    load_job,
    outputs,
    read_all,
    refusal,
    same_bits,
    save_adapter,
    save_folder,
    save_parquet,
    small,
    tensors,
)
from tests.stages import run_stage

# --- the wrong things in it ---------------------------------------------------------------------


def appledouble(folder):
    for path in [*folder.rglob("*.safetensors")]:
        path.with_name("._" + path.name).write_bytes(b"\x00\x05\x16\x07" + b"\x00" * 100)


def checkpoints(folder):
    (folder / ".ipynb_checkpoints/cat").mkdir(parents=True)
    (folder / ".ipynb_checkpoints/cat/x.safetensors").write_bytes(b"no adapter")


@pytest.mark.parametrize("add", [appledouble, checkpoints])
@pytest.mark.parametrize("labels", ["folder", "header:class"])
def test_what_is_hidden_is_no_adapter(add, labels, tmp_path):
    source = save_folder(small(), tmp_path) | {"labels": labels}
    before = read_all(source, count(source))
    add(tmp_path)
    assert count(source) == 6
    assert same_bits(read_all(source, 6).matrix, before.matrix)


def test_a_folder_with_one_adapter_and_a_hidden_file_is_named_by_the_folder(tmp_path):
    shard = small(2)
    for row, name in zip(shard.matrix, "ab", strict=True):
        save_adapter(tmp_path / name / "adapter_model.safetensors", tensors(row, shard.layout))
    (tmp_path / "a/._adapter_model.safetensors").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "l.csv").write_text("name,label\na,x\nb,y\n")
    source = {"kind": "safetensors", "path": str(tmp_path), "labels": str(tmp_path / "l.csv")}
    assert same_bits(read_all(source, 2).matrix, shard.matrix)


def test_hidden_and_cached_files_beside_a_data_set_load_nothing_again(tmp_path):
    source = save_parquet(small(), tmp_path / "data/0.parquet") | {"path": str(tmp_path / "data")}
    before, found = fingerprints(source, [(0, 6)]), read_all(source, 6)
    for name in (".DS_Store", "._0.parquet", "cache-1f2e.arrow", ".cache/x.parquet"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"x")
    (tmp_path / "data/.cache/x.parquet").unlink()
    assert fingerprints(source, [(0, 6)]) == before
    assert same_bits(read_all(source, 6).matrix, found.matrix)
    # Negative control: what is of the data counts.
    save_parquet(small(8), tmp_path / "data/1.parquet")
    assert fingerprints(source, [(0, 6)]) != before


# --- an input of the result that is not in its fingerprint --------------------------------------


@pytest.mark.parametrize("said", ['{"lora_alpha": 4}', '{"lora_alpha": 8, "rank_pattern": {}}'])
def test_an_edited_configuration_reads_again_the_adapters_beside_it_and_no_others(said, tmp_path):
    shard = small(24)
    for i, row in enumerate(shard.matrix):
        save_adapter(tmp_path / f"a{i:02d}/x.safetensors", tensors(row, shard.layout))
        (tmp_path / f"a{i:02d}/adapter_config.json").write_text('{"lora_alpha": 8}')
    rows = [f"a{i:02d},{shard.labels[i]}" for i in range(24)]
    (tmp_path / "l.csv").write_text("\n".join(["name,label", *rows]))
    source = {"kind": "safetensors", "path": str(tmp_path), "labels": str(tmp_path / "l.csv")}
    own = {"source": "own", "sources": {"own": source}, "shard": 12}
    before = Jobs(section(**own), 42).loads
    (tmp_path / "a20/adapter_config.json").write_text(said)
    after = Jobs(section(**own), 42).loads
    assert [name for name in before if before[name] != after[name]] == ["adapters-000012-000023"]


# --- a message that hides -----------------------------------------------------------------------

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9999\n"


@pytest.mark.parametrize("which", ["adapter", "labels", "configuration"])
def test_a_pointer_of_git_lfs_is_called_one(which, monkeypatch, tmp_path):
    shard = small()
    source = save_folder(shard, tmp_path / "source")
    path = {
        "adapter": tmp_path / "source" / shard.names[1],
        "labels": tmp_path / "source/labels.csv",
        "configuration": tmp_path / "source/bird/adapter_config.json",
    }[which]
    path.write_text(POINTER)
    sentence = refusal(monkeypatch, source, tmp_path)
    assert f"{path}: is a pointer of git-lfs" in sentence
    assert "git lfs pull" in sentence


@pytest.mark.parametrize("labels", ["folder", "csv"])
def test_an_adapter_in_several_files_is_called_one(labels, monkeypatch, tmp_path):
    shard = small(2)
    for i, row in enumerate(shard.matrix):
        for part in (1, 2):
            name = f"adapter_model-0000{part}-of-00002.safetensors"
            save_adapter(tmp_path / f"s/a{i}" / name, tensors(row, shard.layout))
    (tmp_path / "l.csv").write_text("name,label\na0,x\na1,y\n")
    named = {"folder": "folder", "csv": str(tmp_path / "l.csv")}[labels]
    source = {"kind": "safetensors", "path": str(tmp_path / "s"), "labels": named}
    sentence = refusal(monkeypatch, source, tmp_path)
    assert "one part of an adapter in several files" in sentence
    assert "a0" in sentence


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([f"c{i % 12}" for i in range(40)], ["40 adapters into 12 classes", "3 of them validate"]),
        (["x"] * 99 + ["y"], ["100 adapters into 2 classes", "class 'y' has 1"]),
        (["x"] * 57 + ["y"] * 3, ["60 adapters into 2 classes", "class 'y' has 3"]),
    ],
)
def test_why_a_stratified_split_is_impossible_is_told_in_the_user_s_numbers(labels, said):
    with pytest.raises(LoadError) as refused:
        split("stratified", labels, [None] * len(labels))
    assert all(part in str(refused.value) for part in said), str(refused.value)


# --- labels through a guessing reader -----------------------------------------------------------

ODD = ["NA", "None", "007", "1.50", "nan", "", "true", "1e3", "$5_a^b$", 'a "b", c\nd', "<b>"]
LABELS = [label for label in ODD if label]


def class_rows(labels) -> list[dict]:
    numbers = {"recall_all": 0.5, "recall_visual": 0.25, "drop": 0.25, "low": 0.0, "high": 0.5}
    return [{"representation": "stats", "label": label} | numbers | {"n_test": 4}
            for label in labels]  # fmt: skip


@pytest.mark.parametrize("labels", [LABELS, ["007", "08"], ["NA", "NA "], ["1", "2"], ["true"]])
@pytest.mark.parametrize("write", [write_csv, lambda path, r: write_frame(path, pd.DataFrame(r))])
def test_text_in_a_table_is_the_same_text_when_it_is_read(labels, write, tmp_path):
    write(tmp_path / "a.csv", class_rows(labels))
    assert read_frame(tmp_path / "a.csv")["label"].tolist() == labels
    assert [row["label"] for row in rows_of(tmp_path / "a.csv")] == labels
    assert read_frame(tmp_path / "a.csv")["n_test"].tolist() == [4] * len(labels)
    assert read_frame(tmp_path / "a.csv")["drop"].dtype == float


def test_what_is_missing_stays_missing_and_numbers_stay_numbers(tmp_path):
    rows = [{"a": None, "b": 1, "c": "NA", "d": None}, {"a": 0.5, "b": 2, "c": None, "d": True}]
    for write in (write_csv, lambda path, rows: write_frame(path, pd.DataFrame(rows))):
        write(tmp_path / "a.csv", rows)
        found = rows_of(tmp_path / "a.csv")
        assert [row["a"] for row in found] == [None, 0.5]
        assert [row["b"] for row in found] == [1, 2]
        assert [row["c"] for row in found] == ["NA", None]


def test_figures_have_labels_as_they_are(tmp_path):
    classes = tmp_path / "classes.csv"
    write_csv(classes, class_rows(["007", "1.50", "NA", "None"]))
    svg = class_dots(read_frame(classes), "stats")
    assert all(f"{label}: all 0.5" in svg for label in ("007", "1.50", "NA", "None"))
    assert "nan:" not in svg


def test_the_stage_that_draws_reads_labels_as_they_are(monkeypatch, tmp_path):
    empty = pd.DataFrame
    from scripts.lora_ablation.outcome.drops import DROPS
    from scripts.lora_ablation.outcome.grid import CURVE, GRID

    files = {name: tmp_path / f"{name}.csv" for name in ("grid", "drops", "classes", "curve")}
    for name, columns in (("grid", GRID), ("drops", DROPS), ("curve", CURVE)):
        write_frame(files[name], empty(columns=columns))
    write_csv(files["classes"], class_rows(["007", "NA"]))
    monkeypatch.setattr(draw, "shown_by_class", lambda grid, classes: "stats")
    draw.main(**files, figures=tmp_path / "figures.json")
    shown = json.loads((tmp_path / "figures.json").read_text())["classes"]
    assert "007: all" in shown
    assert "NA: all" in shown


# --- weight sets that are no adapters -----------------------------------------------------------


def network(rng) -> dict[str, np.ndarray]:
    return {
        "conv1.weight": rng.standard_normal((4, 3, 3, 3)).astype("f4"),
        "bn1.weight": rng.standard_normal(4).astype("f2"),
        "bn1.num_batches_tracked": np.array(7),
        "temperature": np.array(0.5),
        "fc.weight": rng.standard_normal((2, 4)),
    }


def save_networks(folder, adapters: int = 4) -> dict:
    rng = np.random.default_rng(1)
    for i in range(adapters):
        save_adapter(folder / ("a", "b")[i % 2] / f"{i}.safetensors", network(rng))
    return {"kind": "safetensors", "path": str(folder), "labels": "folder"}


def test_a_folder_of_weights_of_any_names_is_read_as_plain_tensors(tmp_path):
    found = read_all(save_networks(tmp_path), 4)
    assert found.layout.names == ("bn1.weight", "conv1.weight", "fc.weight", "temperature")
    assert found.layout.shapes == ((1, 4), (4, 27), (2, 4), (1, 1))
    first = network(np.random.default_rng(1))
    parts = [first[name].astype("f4").ravel() for name in found.layout.names]
    assert same_bits(found.matrix[0], np.concatenate(parts))
    assert found.scales.shape == (4, 0)
    assert "bn1.num_batches_tracked" in found.reading["left out"]
    assert found.layout.selected("all") == [0, 1, 2, 3]
    assert len(found.layout.selected("half0")) == 2
    assert found.layout.selected("own", own={"own": "^bn"}) == [0]


def test_a_matrix_of_tensors_of_any_names_is_read_as_plain_tensors(tmp_path):
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((3, 4 + 108 + 1)).astype("f4")
    np.save(tmp_path / "w.npy", weights)
    shapes = {"b.weight": [4], "a.weight": [4, 3, 3, 3], "t": []}
    (tmp_path / "d.json").write_text(json.dumps(shapes))
    (tmp_path / "l.csv").write_text("name,label\nx,1\ny,2\nz,1\n")
    files = {"path": "w.npy", "dimensions": "d.json", "labels": "l.csv"}
    source = {"kind": "matrix"} | {key: str(tmp_path / name) for key, name in files.items()}
    found = read_all(source, 3)
    assert found.layout.names == ("a.weight", "b.weight", "t")
    assert found.layout.shapes == ((4, 27), (1, 4), (1, 1))
    assert same_bits(found.matrix, np.hstack([weights[:, 4:112], weights[:, :4], weights[:, 112:]]))
    assert sources.names(data_source(source)) == ["b.weight", "a.weight", "t"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_of_a_tensor_is_computed_of_plain_weights(family, monkeypatch, tmp_path):
    source, out = save_networks(tmp_path / "s"), outputs(tmp_path / "out")
    assert (
        run_stage(monkeypatch, "lora_ablation/load.py", load_job(source, 0, 4), output=out) is None
    )
    job, made = family_job(family).model_dump(), {"features": tmp_path / "f.parquet"}
    assert run_stage(monkeypatch, "lora_ablation/features.py", job, out, made) is None
    from scripts.lora_ablation.data.store import read_family

    numbers = read_family(made["features"])
    assert numbers.shape[:2] == (4, 4)
    assert np.isfinite(numbers).all()


def test_numbers_of_pairs_are_refused_of_weights_that_are_no_pairs_before_any_job(tmp_path):
    names = sources.names(data_source(save_networks(tmp_path)))
    with pytest.raises(ConfigError, match="representations has product, which is of pairs"):
        chosen(section(representations=[*HAND_CRAFTED, "product"]), names)
    assert chosen(section(), names).selections == ["all", "half0"]
    with pytest.raises(ConfigError, match="selections\\[0\\] is 'visual'"):
        chosen(section(selections=["visual"]), names)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"fc.weight": np.ones((2, 4))}, "bn1.weight is missing"),
        ({"unet.mid_block.a.lora.down.weight": np.ones((2, 4))}, "no up factor"),
    ],
)
def test_sets_that_do_not_fit_the_first_are_refused(second, said, monkeypatch, tmp_path):
    source = save_networks(tmp_path / "s", 2)
    save_adapter(tmp_path / "s/b/1.safetensors", second)
    assert said in refusal(monkeypatch, source, tmp_path)


def test_adapters_among_weights_are_refused(monkeypatch, tmp_path):
    source = save_networks(tmp_path / "s", 2)
    rng = np.random.default_rng(1)
    for i in range(2):
        mixed = network(rng) | {"fc.lora_A.weight": np.ones((2, 4), "f4")}
        save_adapter(tmp_path / "s" / ("a", "b")[i] / f"{i}.safetensors", mixed)
    assert "is no down, up or alpha tensor of a LoRA adapter" in refusal(
        monkeypatch, source, tmp_path
    )
