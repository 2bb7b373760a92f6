"""Names, shapes and splits are the authors'; so is the generator's every number, come what may."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from scripts.lib.faults import LoadError
from scripts.lora_ablation.data.generator import CLASSES
from scripts.lora_ablation.data.layout import DOWN, UP, Layout, LayoutError, sd15_layout
from scripts.lora_ablation.data.split import split
from scripts.lora_ablation.data.tensor_keys import parse_key, tensor_name
from tests.lora_files import count, generated_source, read, same_bits

LAYOUT = sd15_layout(1)
# docs/studies/lora_ablation.md, Split: rows -> (train, val, test) and the first indices of each.
SPLITS = {
    11: ((7, 1, 3), "3 5 2 4 9", "6", "10 0 7"),
    100: ((70, 9, 21), "38 0 86 46 10", "25 81 76 56 33", "78 51 27 57 7"),
    1000: ((700, 99, 201), "868 798 164 244 829", "107 614 671 613 638", "678 937 427 612 891"),
    10000: (
        (7000, 989, 2011),
        *("8453 621 3072 96 930", "9934 884 3645 3695 163", "7106 2413 133 5381 8492"),
    ),
    50000: (
        (35000, 4950, 10050),
        "32452 27947 1988 9029 15463",
        "6717 40952 17040 30641 28695",
        "12714 40114 32321 9707 2075",
    ),
    100000: (
        (70000, 9900, 20100),
        "5157 95172 83984 44061 29115",
        "5772 15419 70956 23014 53205",
        "19467 70758 30090 29735 23831",
    ),
}


def scalars(selection):
    return sum(p * q for p, q in (LAYOUT.shapes[i] for i in LAYOUT.selected(selection)))


def test_the_names_are_those_of_the_authors_cache_file():
    key = "50k_spectral_all_layers_" + "_".join(LAYOUT.names)
    assert hashlib.md5(key.encode()).hexdigest() == "c569fac5bea30f42e953985b197f741b"


def test_tensors_and_scalars_of_the_selections_are_the_authors():
    counts = [len(LAYOUT.selected(name)) for name in ("all", "visual", "text")]
    assert counts == [128, 64, 64]
    assert [scalars(name) for name in ("all", "visual", "text")] == [99_648, 49_920, 49_728]
    assert LAYOUT.width == 99_648
    assert sd15_layout(4).width == 4 * 99_648


def test_shapes_are_the_authors():
    assert Counter(LAYOUT.shapes) == {
        (1, 320): 15,
        (1, 640): 15,
        (1, 768): 16,
        (1, 1280): 18,
        (320, 1): 20,
        (640, 1): 20,
        (1280, 1): 24,
    }


def test_a_layout_survives_its_json():
    assert Layout.from_json(LAYOUT.to_json()) == LAYOUT


def test_tensors_of_a_text_encoder_come_last_and_in_no_selection_of_the_unet():
    text = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora.down.weight"
    layout = Layout.of({text: (1, 5), "unet.attn1.to_q.lora.down.weight": (1, 3)})
    assert layout.names[-1] == text
    assert layout.selected("all") == [0]
    assert layout.selected("text_encoder") == [1]
    with pytest.raises(LayoutError, match="text_encoder"):
        LAYOUT.selected("text_encoder")


@pytest.mark.parametrize(
    "module",
    [
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "unet.up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_out.0",
        "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
        "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.2",
        "unet.down_blocks.1.attentions.1.proj_in",
        "unet.down_blocks.1.attentions.1.proj_out",
        "unet.down_blocks.2.resnets.0.time_emb_proj",
        "unet.up_blocks.0.resnets.2.conv_shortcut",
        "unet.up_blocks.0.resnets.2.conv1",
        "unet.down_blocks.0.downsamplers.0.conv",
        "unet.up_blocks.1.upsamplers.0.conv",
        "unet.conv_in",
        "unet.time_embedding.linear_1",
        "text_encoder.text_model.encoder.layers.11.self_attn.out_proj",
        "text_encoder.text_model.encoder.layers.0.mlp.fc1",
    ],
)
def test_the_underscored_path_of_a_kohya_key_is_the_dotted_one(module):
    key = module.replace("unet.", "lora_unet_", 1).replace("text_encoder.", "lora_te_", 1)
    key = key.replace(".", "_")
    assert tensor_name(f"{key}.lora_down.weight") == module + DOWN
    assert tensor_name(f"{key}.lora_up.weight") == module + UP
    assert parse_key(f"{key}.alpha") == (module, "alpha")


@pytest.mark.parametrize("key", ["conv_in.weight", "unet.x.bias", "unet.x.lora_mid.weight", "step"])
def test_what_is_no_lora_tensor_has_no_name(key):
    assert parse_key(key) is None


def test_the_encoder_of_a_text_model_has_one_name_in_all_families():
    module = "text_model.encoder.layers.0.self_attn.q_proj"
    keys = [
        f"text_encoder.{module}.lora_linear_layer.up.weight",
        f"text_encoder.{module}.lora_B.weight",
        f"base_model.model.{module}.lora_B.default.weight",
        f"lora_te_{module.replace('.', '_')}.lora_up.weight",
    ]
    assert {tensor_name(key) for key in keys} == {f"text_encoder.{module}{UP}"}


@pytest.mark.parametrize("n", SPLITS)
def test_the_original_split_draws_the_rows_that_the_authors_library_draws(n):
    sizes, *firsts = SPLITS[n]
    parts = split("original", ["x"] * n, [None] * n)
    for part, size, first in zip(("train", "val", "test"), sizes, firsts, strict=True):
        assert np.count_nonzero(parts == part) == size
        assert (parts[[int(i) for i in first.split()]] == part).all()


@pytest.mark.parametrize("n", [11, 99, 1000])
def test_the_original_split_is_that_of_the_datasets_library(n):
    import datasets

    rows = datasets.Dataset.from_dict({"i": range(n)})
    halves = rows.train_test_split(test_size=0.3, seed=42)
    held_out = halves["test"].train_test_split(test_size=0.67, seed=42)
    parts = split("original", ["x"] * n, [None] * n)
    assert set(halves["train"]["i"]) == set(np.flatnonzero(parts == "train"))
    assert set(held_out["train"]["i"]) == set(np.flatnonzero(parts == "val"))
    assert set(held_out["test"]["i"]) == set(np.flatnonzero(parts == "test"))


@pytest.mark.parametrize("kind", ["original", "stratified", "grouped"])
@pytest.mark.parametrize("n", [0, 1, 10])
def test_ten_adapters_or_fewer_are_refused_as_nobody_would_be_left_to_validate_with(kind, n):
    with pytest.raises(LoadError, match=f"has {n} adapters; a split .* needs 11 or more"):
        split(kind, ["x", "y"] * (n // 2) + ["x"] * (n % 2), [None] * n)
    assert set(split("original", ["x", "y"] * 5 + ["x"], [None] * 11)) == {"train", "val", "test"}


def test_a_stratified_split_gives_every_class_its_share():
    labels = [CLASSES[i % 10] for i in range(1000)]
    parts = split("stratified", labels, [None] * 1000)
    shares = {part: Counter(np.array(labels)[parts == part]) for part in ("train", "val", "test")}
    assert set(shares["train"].values()) == {70}
    assert set(shares["test"].values()) <= {20, 21}
    assert set(shares["val"].values()) <= {9, 10}


def test_a_grouped_split_keeps_every_group_on_one_side():
    groups = [f"leaf-{i % 60}" for i in range(600)]
    parts = split("grouped", ["x"] * 600, groups)
    assert set(parts) == {"train", "val", "test"}
    assert all(len(set(parts[np.array(groups) == group])) == 1 for group in set(groups))
    # Negative control: the original's split does not.
    parts = split("original", ["x"] * 600, groups)
    assert any(len(set(parts[np.array(groups) == group])) > 1 for group in set(groups))


@pytest.mark.parametrize(
    ("kind", "labels", "groups", "said"),
    [
        ("stratified", ["x"] * 99 + ["y"], [None] * 100, "class 'y' has 1"),
        ("stratified", [CLASSES[i % 10] for i in range(50)], [None] * 50, "stratified"),
        ("grouped", ["x"] * 20, ["a"] * 19 + [None], "1 of 20 have none"),
        ("grouped", ["x"] * 20, ["a"] * 20, "1 groups is impossible"),
    ],
)
def test_a_split_that_the_adapters_do_not_allow_is_refused_in_one_sentence(
    kind, labels, groups, said
):
    with pytest.raises(LoadError, match=said) as refused:
        split(kind, labels, groups)
    assert str(refused.value).count(".") == 1


def test_an_adapter_is_the_same_in_any_shard_and_in_any_extension():
    whole = read(generated_source(24), 42, 0, 24)
    assert whole.matrix.shape == (24, 99_648)
    for start, stop in [(0, 1), (5, 12), (23, 24)]:
        part = read(generated_source(1000), 42, start, stop)
        assert same_bits(part.matrix, whole.matrix[start:stop])
        assert part.groups == whole.groups[start:stop]
        assert part.digests() == whole.digests()[start:stop]
    # Negative control: another seed is another data set.
    assert not same_bits(read(generated_source(24), 43, 0, 1).matrix, whole.matrix[:1])


def test_classes_stay_balanced_as_adapters_are_added():
    assert Counter(read(generated_source(20), 42, 0, 20).labels) == dict.fromkeys(CLASSES, 2)
    assert sorted(CLASSES) == list(CLASSES)


@pytest.mark.parametrize("rank", [1, 4])
def test_generated_down_is_its_initialisation_and_up_is_small(rank):
    shard = read(generated_source(8, rank), 42, 0, 8)
    assert shard.layout == sd15_layout(rank)
    assert shard.scales.shape == (8, 64)
    assert (shard.scales == 1).all()
    down, up = (
        shard.matrix[:, : shard.layout.offsets[1]],
        shard.matrix[:, shard.layout.offsets[1] :],
    )
    assert down.std() == pytest.approx(1 / rank, rel=0.1)
    up = up[:, : shard.layout.offsets[2] - shard.layout.offsets[1]]
    assert up.std() == pytest.approx(0.01, rel=0.5)


def test_adapters_of_one_class_share_a_direction_up_to_sign():
    strong = generated_source(40) | {"signal": {"attn1": 1.0, "attn2": 1.0, "leaf": 0.0}}
    shard = read(strong, 42, 0, 40)
    up = shard.matrix[:, shard.layout.offsets[1] : shard.layout.offsets[2]]
    cosines = np.corrcoef(up)
    same = np.array([[a == b for b in shard.labels] for a in shard.labels]) & ~np.eye(
        40, dtype=bool
    )
    assert np.abs(cosines[same]).min() > 0.2
    assert np.abs(cosines[~same & ~np.eye(40, dtype=bool)]).max() < 0.2
    assert cosines[same].min() < -0.2 < 0.2 < cosines[same].max()


def test_counting_generated_adapters_reads_nothing():
    assert count(generated_source(100_000)) == 100_000
