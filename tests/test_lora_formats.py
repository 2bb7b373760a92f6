"""The same weights give the same matrix, bit for bit, from every kind of file."""

import json
import struct

import numpy as np
import pytest
import torch

from scripts.lora_ablation.data.tabular import save_nested
from scripts.lora_ablation.data.tensor_keys import tensor_name
from tests.lora_files import (
    BLOCK,
    FAMILIES,
    count,
    diffusers,
    generated,
    kohya,
    peft,
    read_all,
    same_bits,
    save_adapter,
    save_folder,
    save_matrix,
    save_parquet,
    small,
    tensors,
    write_labels,
)


def datasets_source(shard, folder):
    save_nested(shard.matrix, shard.layout, shard.labels, folder, shard.groups)
    return {"kind": "datasets", "path": str(folder)}


def hub_source(shard, folder):
    save_parquet(shard, folder / "train-00000-of-00001.parquet")
    return {"kind": "hub", "id": str(folder), "split": "train", "adapters": len(shard.rows)}


def parquet_source(shard, folder):
    save_parquet(shard, folder / "0.parquet", row_group_size=2)
    return {"kind": "parquet", "path": str(folder)}


SOURCES = [datasets_source, hub_source, parquet_source, save_folder, save_matrix]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What `datasets` prepares for the hub stays in the test's folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("save", SOURCES)
@pytest.mark.parametrize("rank", [1, 3])
def test_generated_adapters_are_the_same_after_every_format(save, rank, tmp_path):
    shard = generated(4, rank)
    source = save(shard, tmp_path / "source")
    back = read_all(source, 4)
    assert count(source) == 4
    assert back.layout == shard.layout
    assert same_bits(back.matrix, shard.matrix)
    assert same_bits(back.scales, shard.scales)
    assert (back.labels, back.groups) == (shard.labels, shard.groups)
    assert back.digests() == shard.digests()
    assert list(back.rows) == [0, 1, 2, 3]


@pytest.mark.parametrize("key", FAMILIES)
def test_every_key_family_names_the_same_tensors(key, tmp_path):
    shard = small()
    back = read_all(save_folder(shard, tmp_path, key), 6)
    assert back.layout == shard.layout
    assert same_bits(back.matrix, shard.matrix)
    assert back.names == shard.names


def test_a_peft_adapter_equals_the_diffusers_and_the_kohya_file_of_its_weights(tmp_path):
    weights, scale = save_with_peft(tmp_path / "peft/cat/a")
    named = {tensor_name(key): value for key, value in weights.items()}
    save_adapter(tmp_path / "diffusers/cat/a.safetensors", named)
    underscored = {kohya(name): value for name, value in named.items()}
    alphas = {key.replace("lora_down.weight", "alpha"): np.array(8.0) for key in underscored}
    alphas = {key: value for key, value in alphas.items() if key.endswith(".alpha")}
    save_adapter(tmp_path / "kohya/cat/a.safetensors", underscored | alphas)
    made, plain, underscored = (
        read_all({"kind": "safetensors", "path": str(tmp_path / family), "labels": "folder"}, 1)
        for family in ("peft", "diffusers", "kohya")
    )
    assert len(made.layout.names) == 8
    assert made.layout == plain.layout == underscored.layout
    assert same_bits(made.matrix, plain.matrix)
    assert same_bits(made.matrix, underscored.matrix)
    assert made.scales.tolist() == underscored.scales.tolist() == [[scale] * 4]
    assert plain.scales.tolist() == [[1.0] * 4]
    assert made.names == ["cat/a/adapter_model.safetensors"]


def save_with_peft(folder, **options):
    """A PEFT adapter on modules with SD 1.5's paths: its tensors as saved, and its scale."""
    import peft
    from safetensors.numpy import load_file

    model = torch.nn.Module()
    for attention in ("attn1", "attn2"):
        at = model
        for part in f"down_blocks.0.attentions.0.transformer_blocks.0.{attention}".split("."):
            if not hasattr(at, part):
                at.add_module(part, torch.nn.Module())
            at = getattr(at, part)
        for projection in ("to_q", "to_k", "to_v"):
            at.add_module(projection, torch.nn.Linear(12, 10, bias=False))
    config = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["to_q", "to_v"],
        init_lora_weights=False,
        **options,
    )
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(folder)
    layer = adapted.base_model.model.down_blocks._modules["0"].attentions._modules["0"]
    layer = layer.transformer_blocks._modules["0"].attn1.to_q
    return load_file(folder / "adapter_model.safetensors"), layer.scaling["default"]


@pytest.mark.parametrize(
    "options", [{}, {"use_rslora": True}, {"alpha_pattern": {"attn1.to_q": 2, "attn2.to_v": 6}}]
)
def test_the_scale_of_a_peft_adapter_is_pefts_own(options, tmp_path):
    _, scale = save_with_peft(tmp_path / "cat/a", **options)
    back = read_all({"kind": "safetensors", "path": str(tmp_path), "labels": "folder"}, 1)
    assert back.scales[0, 0] == np.float32(scale)


def test_the_scale_that_diffusers_states_in_the_header_is_read(tmp_path):
    shard = small(1)
    stated = json.dumps({"unet.lora_alpha": 6, "unet.r": 2, "text_encoder.lora_alpha": 1})
    header = {"class": "cat", "lora_adapter_metadata": stated}
    save_adapter(tmp_path / "a.safetensors", tensors(shard.matrix[0], shard.layout), header)
    back = read_all({"kind": "safetensors", "path": str(tmp_path), "labels": "header:class"}, 1)
    assert back.scales.tolist() == [[3.0, 3.0]]
    assert back.labels == ["cat"]


def test_half_precision_is_widened_exactly(tmp_path):
    shard = small()
    back = read_all(save_folder(shard, tmp_path, dtype=np.float16), 6)
    assert same_bits(back.matrix, shard.matrix.astype(np.float16).astype(np.float32))


def test_bfloat16_is_widened_exactly(tmp_path):
    from safetensors.torch import save_file

    shard = small(1)
    found = {
        n: torch.tensor(v).bfloat16() for n, v in tensors(shard.matrix[0], shard.layout).items()
    }
    (tmp_path / "cat").mkdir()
    save_file(found, tmp_path / "cat/a.safetensors")
    back = read_all({"kind": "safetensors", "path": str(tmp_path), "labels": "folder"}, 1)
    assert same_bits(back.matrix, torch.tensor(shard.matrix).bfloat16().float().numpy())


def test_factors_of_convolutions_are_matrices(tmp_path):
    rng = np.random.default_rng(0)
    down, up = rng.random((2, 5, 3, 3), np.float32), rng.random((7, 2, 1, 1), np.float32)
    key = "lora_unet_up_blocks_0_resnets_2_conv1"
    found = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
    save_adapter(
        tmp_path / "cat/a.safetensors", found | {f"{key}.alpha": np.float32(1).reshape(())}
    )
    back = read_all({"kind": "safetensors", "path": str(tmp_path), "labels": "folder"}, 1)
    assert back.layout.shapes == ((2, 45), (7, 2))
    assert same_bits(back.matrix, np.concatenate([down.ravel(), up.ravel()])[np.newaxis])
    assert back.scales.tolist() == [[0.5]]


def test_tensors_of_the_text_encoder_are_kept_apart(tmp_path):
    shard = small(1)
    unet = tensors(shard.matrix[0], shard.layout)
    module = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    text = {f"{module}.lora_linear_layer.{role}.weight": np.ones((2, 2)) for role in ("down", "up")}
    save_adapter(tmp_path / "cat/a.safetensors", text | unet)
    back = read_all({"kind": "safetensors", "path": str(tmp_path), "labels": "folder"}, 1)
    width = shard.layout.width
    assert same_bits(back.matrix[:, :width], shard.matrix)
    assert [back.layout.names[i] for i in back.layout.selected("all")] == list(shard.layout.names)
    assert len(back.layout.selected("text_encoder")) == 2


@pytest.mark.parametrize("key", [diffusers, peft])
def test_the_dimensions_of_a_matrix_may_be_a_csv_with_keys_of_any_family(key, tmp_path):
    shard = small()
    source = save_matrix(shard, tmp_path, key)
    dimensions = json.loads((tmp_path / "dimensions.json").read_text())
    lines = ["name,rows,cols"] + [f"{n},{p},{q}" for n, (p, q) in dimensions.items()]
    (tmp_path / "dimensions.csv").write_text("\n".join(lines))
    source |= {"dimensions": str(tmp_path / "dimensions.csv"), "alpha": 27}
    back = read_all(source, 6)
    assert same_bits(back.matrix, shard.matrix)
    assert (back.scales == 13.5).all()


@pytest.mark.parametrize("ending", ["safetensors", "pt", "pth"])
def test_a_matrix_may_be_a_tensor_file(ending, tmp_path):
    shard = small()
    source = save_matrix(shard, tmp_path)
    matrix = np.load(source["path"])
    source["path"] = str(tmp_path / f"weights.{ending}")
    if ending != "safetensors":
        torch.save(torch.tensor(matrix), source["path"])
    else:
        save_adapter(tmp_path / "weights.safetensors", {"weights": matrix})
    assert same_bits(read_all(source, 6).matrix, shard.matrix)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_a_matrix_in_bfloat16_is_widened_exactly(ending, tmp_path):
    from safetensors.torch import save_file

    shard = small()
    source = save_matrix(shard, tmp_path)
    matrix = torch.tensor(np.load(source["path"])).bfloat16()
    source["path"] = str(tmp_path / f"weights.{ending}")
    if ending == "pt":
        torch.save({"weights": matrix}, source["path"])
    else:
        save_file({"weights": matrix}, source["path"])
    expected = torch.tensor(shard.matrix).bfloat16().float().numpy()
    assert same_bits(read_all(source, 6).matrix, expected)


def test_the_order_of_a_labels_file_is_kept_so_that_appending_appends_rows(tmp_path):
    shard = small()
    source = save_folder(shard, tmp_path)
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], lines[5], lines[2]]))
    before = read_all(source, 2)
    assert before.names == [shard.names[4], shard.names[1]]
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], lines[5], lines[2], lines[1]]))
    after = read_all(source, 3)
    assert same_bits(after.matrix[:2], before.matrix)
    assert count(source) == 3


def test_a_labels_file_may_name_an_adapter_by_its_folder_or_without_ending(tmp_path):
    shard = small(2)
    first, second = (tensors(row, shard.layout) for row in shard.matrix)
    save_adapter(tmp_path / "run-1/adapter_model.safetensors", first)
    save_adapter(tmp_path / "b.safetensors", second)
    (tmp_path / "labels.csv").write_text("name,label\nrun-1,cat\nb,bird\n")
    source = {"kind": "safetensors", "path": str(tmp_path), "labels": str(tmp_path / "labels.csv")}
    back = read_all(source, 2)
    assert same_bits(back.matrix, shard.matrix)
    assert back.names == ["run-1/adapter_model.safetensors", "b.safetensors"]
    assert back.groups == [None, None]


def test_labels_from_folders_and_headers_are_those_of_the_labels_file(tmp_path):
    shard = small()
    source = save_folder(shard, tmp_path)
    order = np.argsort(shard.names)
    for labels in ("folder", "header:class"):
        back = read_all(source | {"labels": labels}, 6)
        assert back.names == [shard.names[i] for i in order]
        assert back.labels == [shard.labels[i] for i in order]
        assert same_bits(back.matrix, shard.matrix[order])


def test_counting_a_folder_opens_no_file(tmp_path):
    (tmp_path / "cat").mkdir()
    for i in range(3):
        (tmp_path / f"cat/{i}.safetensors").write_bytes(struct.pack("<Q", 1 << 40))
    source = {"kind": "safetensors", "path": str(tmp_path), "labels": "folder"}
    assert count(source) == 3
    labels = write_labels(small(2), tmp_path / "labels.csv")
    assert count(source | {"labels": labels}) == 2


def test_the_block_of_the_small_adapters_is_one_of_the_model():
    assert any(name.startswith(BLOCK) for name in generated(1).layout.names)
