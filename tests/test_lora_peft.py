"""PEFT's configurations are read as PEFT reads them: its own scales are the specification."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.lib.faults import LoadError
from scripts.lora_ablation.data.adapter_file import read_file
from tests.lora_files import save_adapter

MODULES = [
    f"{block}.attentions.0.{attention}.{projection}"
    for block in ("mid_block", "down_blocks.0", "up_blocks.1")
    for attention in ("attn1", "attn2")
    for projection in ("to_q", "to_v")
]
FULL = MODULES[0]
# What a configuration says beside r = 4; alpha is 8 where nothing is said.
CONFIGS = {
    "nothing": {},
    "alpha": {"lora_alpha": 16},
    "a number with a point": {"lora_alpha": 0.5},
    "rslora": {"lora_alpha": 6, "use_rslora": True},
    "a suffix": {"alpha_pattern": {"attn1.to_q": 64}},
    "an anchored name": {"alpha_pattern": {f"^{FULL}": 64}},
    "an anchored part, which is no whole name": {"alpha_pattern": {"^to_q": 64}},
    "two that match, of which the first counts": {"alpha_pattern": {"to_q": 4, "attn1.to_q": 64}},
    "the same in the other order": {"alpha_pattern": {"attn1.to_q": 64, "to_q": 4}},
    "part of a name": {"alpha_pattern": {"q": 64}},
    "alternatives": {"alpha_pattern": {"attn[12].(to_q|to_v)": 2}},
    "any beginning": {"alpha_pattern": {r".*down_blocks\.0.*to_v": 2}},
    "ranks": {"rank_pattern": {"attn2.to_v": 2, "to_v": 6}},
    "ranks and alphas": {
        "rank_pattern": {f"^{FULL}": 1, "attn1.to_q": 2},
        "alpha_pattern": {"attn1.to_q": 3, f"^{FULL}": 5},
        "use_rslora": True,
    },
    "ranks of one block": {"rank_pattern": {r"down_blocks\.0\.attentions\.0\.attn1\.to_q": 7}},
}


def network() -> torch.nn.Module:
    model = torch.nn.Module()
    for module in MODULES:
        at, (*path, last) = model, module.split(".")
        for part in path:
            if not hasattr(at, part):
                at.add_module(part, torch.nn.Module())
            at = getattr(at, part)
        at.add_module(last, torch.nn.Linear(8, 8, bias=False))
    return model


def saved(folder: Path, said: dict) -> dict[str, float]:
    """An adapter that PEFT makes of what a configuration file says; its scales by module."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig.from_peft_type(
        peft_type="LORA", r=4, target_modules=["to_q", "to_v"], **said
    )
    adapted = peft.get_peft_model(network(), config)
    adapted.save_pretrained(folder)
    # The file says what a user may have left of it.
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4} | said))
    return {module: adapted.base_model.model.get_submodule(module).scaling["default"]
            for module in MODULES}  # fmt: skip


def scales(path: Path) -> dict[str, float]:
    found = read_file(path, path.name)
    modules = list(dict.fromkeys(name.split(".lora.")[0] for name in found.layout.names))
    return dict(zip(modules, found.scales, strict=True))


# PEFT warns of patterns that match nothing.
@pytest.mark.filterwarnings("ignore:The following")
@pytest.mark.parametrize("case", CONFIGS)
def test_scales_are_those_of_the_peft_package(case, tmp_path):
    truth = saved(tmp_path, CONFIGS[case])
    found = scales(tmp_path / "adapter_model.safetensors")
    assert found == pytest.approx({f"unet.{name}": value for name, value in truth.items()}, rel=0)


def factors(modules=MODULES, before="base_model.model.", rank=4) -> dict[str, np.ndarray]:
    found = {}
    for module in modules:
        found[f"{before}{module}.lora_A.weight"] = np.ones((rank, 8), "f4")
        found[f"{before}{module}.lora_B.weight"] = np.ones((8, rank), "f4")
    return found


def adapter(folder: Path, said: dict | str | bytes, **options) -> Path:
    path = folder / "adapter_model.safetensors"
    save_adapter(path, factors(**options))
    words = json.dumps(said) if isinstance(said, dict) else said
    beside = folder / "adapter_config.json"
    beside.write_bytes(words) if isinstance(words, bytes) else beside.write_text(words)
    return path


@pytest.mark.parametrize(
    ("said", "first", "others"),
    [
        ({}, 2.0, 2.0),  # PEFT's default is 8, not the rank
        ({"alpha_pattern": {f"^{FULL}": 64}}, 16.0, 2.0),
        ({"alpha_pattern": {"to_q": 4, "attn1.to_q": 64}}, 1.0, None),
        ({"lora_alpha": 16, "use_rslora": True}, 8.0, 8.0),
        ({"lora_alpha": 16, "use_rslora": None}, 4.0, 4.0),
    ],
)
def test_golden_scales(said, first, others, tmp_path):
    found = scales(adapter(tmp_path, said))
    assert found[f"unet.{FULL}"] == first
    if others is not None:
        assert {value for name, value in found.items() if name != f"unet.{FULL}"} == {others}


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = adapter(tmp_path, b"\xef\xbb\xbf" + b'{"lora_alpha": 12}')
    assert set(scales(path).values()) == {3.0}


def test_a_pattern_is_held_against_the_name_in_the_language_model(tmp_path):
    said = {"alpha_pattern": {"^model.layers.0.self_attn.q_proj": 40, "q_proj": 4}}
    modules = [f"model.layers.{i}.self_attn.q_proj" for i in range(2)]
    found = scales(adapter(tmp_path, said, modules=modules))
    assert [*found.values()] == [10.0, 1.0]


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"use_dora": True}, ["use_dora", "DoRA"]),
        ({"use_dora": "false"}, ["use_dora is 'false'", "true or false"]),
        ({"use_qalora": True}, ["use_qalora", "QALoRA"]),
        ({"kasa_config": {"beta": 1}}, ["kasa_config", "KaSA"]),
        ({"peft_type": "LOHA"}, ["peft_type is 'LOHA'"]),
        ({"r": 8}, ["states rank 8", "have rank 4"]),
        ({"r": 4, "rank_pattern": {"attn1.to_q": 2}}, ["states rank 2", "attn1.to_q"]),
        ({"r": "4"}, ["r is '4'", "whole number"]),
        ({"rank_pattern": {"to_q": 0}}, ["to_q is 0"]),
        ({"lora_alpha": None}, ["lora_alpha is None"]),
        ({"lora_alpha": "8"}, ["lora_alpha is '8'"]),
        ({"alpha_pattern": {"to_q": "8"}}, ["alpha_pattern: to_q is '8'"]),
        ({"rank_pattern": ["to_q"]}, ["rank_pattern is a list"]),
        ({"alpha_pattern": {"to_q[": 8}}, ["'to_q['"]),
        ('{"lora_alpha": 8', ["no JSON"]),
        (b"\xff\xfe\x00", ["no JSON"]),
    ],
)
def test_what_peft_would_read_otherwise_is_refused_with_the_name_of_its_file(said, wrong, tmp_path):
    with pytest.raises(LoadError) as refused:
        read_file(adapter(tmp_path, said), "a")
    assert str(tmp_path / "adapter_config.json") in str(refused.value)
    assert all(part in str(refused.value) for part in wrong), str(refused.value)


def with_header(folder: Path, said: dict, **options) -> Path:
    path = folder / "a.safetensors"
    save_adapter(path, factors(**options), {"lora_adapter_metadata": json.dumps(said)})
    return path


@pytest.mark.parametrize("root", ["unet", "transformer", "text_encoder", "text_encoder_3"])
def test_the_header_of_diffusers_is_about_the_network_that_it_names(root, tmp_path):
    modules = ["transformer_blocks.0.attn.to_q", "single_transformer_blocks.0.attn.to_v"]
    said = {f"{root}.lora_alpha": 16, f"{root}.alpha_pattern": {f"^{modules[0]}": 2}}
    found = scales(with_header(tmp_path, said, modules=modules, before=f"{root}."))
    assert found == {f"{root}.{modules[0]}": 0.5, f"{root}.{modules[1]}": 4.0}


def test_of_a_network_that_the_header_is_silent_about_alpha_is_the_rank(tmp_path):
    path = with_header(tmp_path, {"text_encoder.lora_alpha": 16}, before="unet.")
    assert set(scales(path).values()) == {1.0}


@pytest.mark.parametrize("kind", ["i1", "i8", "u1", "u8", "f2", "f8"])
def test_an_alpha_of_any_type_of_number_is_read(kind, tmp_path):
    values = factors(modules=[FULL]) | {f"base_model.model.{FULL}.alpha": np.array(2, kind)}
    save_adapter(tmp_path / "a.safetensors", values)
    assert scales(tmp_path / "a.safetensors") == {f"unet.{FULL}": 0.5}


@pytest.mark.parametrize(
    "alpha", [np.array(0), np.array(-1, "i1"), np.array(True), np.array(np.nan), np.ones(2)]
)
def test_an_alpha_that_is_no_scale_is_refused(alpha, tmp_path):
    values = factors(modules=[FULL]) | {f"base_model.model.{FULL}.alpha": alpha}
    save_adapter(tmp_path / "a.safetensors", values)
    with pytest.raises(LoadError, match=r"who: .*alpha.*one finite number above 0"):
        read_file(tmp_path / "a.safetensors", "who")


def test_an_alpha_of_a_module_without_factors_is_not_lost_silently(tmp_path):
    values = factors(modules=[FULL]) | {f"base_model.model.{MODULES[1]}.alpha": np.array(2.0)}
    save_adapter(tmp_path / "a.safetensors", values)
    with pytest.raises(LoadError, match="has an alpha and no factors"):
        read_file(tmp_path / "a.safetensors", "who")


@pytest.mark.parametrize(
    ("ending", "method"),
    [
        ("dora_scale", "DoRA"), ("lora_magnitude_vector", "DoRA"), ("hada_w1_a", "LoHa"),
        ("lokr_w1", "LoKr"), ("lora_mid.weight", "LoCon in CP form"), ("diff", "whole weights"),
        ("lora_B.bias", "a bias of up"), ("oft_blocks", "OFT"),
    ],
)  # fmt: skip
def test_another_method_is_called_by_its_name(ending, method, tmp_path):
    for more in ({}, factors()):  # alone too it is no set of plain weights
        save_adapter(tmp_path / "a.safetensors", more | {f"unet.{FULL}.{ending}": np.ones((4, 4))})
        with pytest.raises(LoadError, match=f"{ending}.* but of .*{method}"):
            read_file(tmp_path / "a.safetensors", "who")
