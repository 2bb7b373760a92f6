"""Small adapters of seven families in their trainers' own key layouts: two classes, any number."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.lora_files import save_adapter

R, WIDTH, ALPHA = 2, 12, 4
Modules = dict[str, tuple[int, int]]  # module: (in, out)


def blocks(count: int, *paths: str, width: int = WIDTH) -> Modules:
    """Modules of the first blocks; `{}` stands for the number of the block."""
    return {path.format(i): (width, width) for i in range(count) for path in paths}


LLAMA = blocks(2, *(f"model.layers.{{}}.self_attn.{p}_proj" for p in "qkvo"))
LLAMA |= blocks(2, *(f"model.layers.{{}}.mlp.{p}_proj" for p in ("gate", "up", "down")))
GPT2 = {f"transformer.h.{i}.attn.c_attn": (WIDTH, 3 * WIDTH) for i in range(2)}
GPT2 |= blocks(2, "transformer.h.{}.attn.c_proj", "transformer.h.{}.mlp.c_fc")
T5 = blocks(2, *(f"encoder.block.{{}}.layer.0.SelfAttention.{p}" for p in "qv"))
T5 |= blocks(2, *(f"decoder.block.{{}}.layer.0.SelfAttention.{p}" for p in "qv"))
T5 |= blocks(2, *(f"decoder.block.{{}}.layer.1.EncDecAttention.{p}" for p in "qv"))
SDXL = {
    f"lora_unet_{at}_1_transformer_blocks_0_attn{k}_{p}": (WIDTH, WIDTH)
    for at in ("input_blocks_4", "middle_block", "output_blocks_5")
    for k, p in ((1, "to_q"), (1, "to_out_0"), (2, "to_k"), (2, "to_v"))
}
SDXL |= blocks(2, *(f"lora_te{k}_text_model_encoder_layers_{{}}_self_attn_q_proj" for k in (1, 2)))
FLUX = blocks(
    2,
    *(
        f"transformer_blocks.{{}}.attn.{p}"
        for p in ("to_q", "to_out.0", "add_q_proj", "add_k_proj")
    ),
    *("transformer_blocks.{}.ff.net.2", "single_transformer_blocks.{}.attn.to_v"),
    "single_transformer_blocks.{}.proj_mlp",
)
WAN = blocks(
    2, *(f"blocks.{{}}.{p}" for p in ("self_attn.q", "self_attn.o", "cross_attn.k", "ffn.0"))
)
SD3 = blocks(2, *(f"transformer.transformer_blocks.{{}}.attn.{p}" for p in ("to_q", "add_k_proj")))
SD3 |= blocks(1, "text_encoder.text_model.encoder.layers.{}.self_attn.q_proj")
SD3 |= blocks(1, "text_encoder_2.text_model.encoder.layers.{}.self_attn.q_proj")
SD3 |= blocks(1, "text_encoder_3.encoder.block.{}.layer.0.SelfAttention.q")


def factors(rng: np.random.Generator, size: float, inputs: int, outputs: int) -> tuple:
    return rng.standard_normal((R, inputs), "f4"), size * rng.standard_normal((outputs, R), "f4")


def pairs(modules: Modules, rng, size: float, before: str, down: str, up: str) -> dict:
    found = {}
    for module, shape in modules.items():
        found[before + module + down], found[before + module + up] = factors(rng, size, *shape)
    return found


def by_peft(modules: Modules) -> Callable:
    """As PEFT saves: a folder with its configuration."""

    def save(folder: Path, name: str, rng, size: float) -> None:
        found = pairs(modules, rng, size, "base_model.model.", ".lora_A.weight", ".lora_B.weight")
        save_adapter(folder / name / "adapter_model.safetensors", found)
        config = {"peft_type": "LORA", "r": R, "lora_alpha": ALPHA, "fan_in_fan_out": True}
        (folder / name / "adapter_config.json").write_text(json.dumps(config))

    return save


def by_kohya(modules: Modules) -> Callable:
    """As kohya's trainers save: underscores, and an alpha of each module."""

    def save(folder: Path, name: str, rng, size: float) -> None:
        found = pairs(modules, rng, size, "", ".lora_down.weight", ".lora_up.weight")
        alphas = {f"{module}.alpha": np.array(ALPHA, "f2") for module in modules}
        save_adapter(folder / f"{name}.safetensors", found | alphas)

    return save


def by_diffusers(modules: Modules, before: str) -> Callable:
    """As diffusers saves: alpha in the header, by the model."""

    def save(folder: Path, name: str, rng, size: float) -> None:
        found = pairs(modules, rng, size, before, ".lora_A.weight", ".lora_B.weight")
        roots = {key.split(".")[0] for key in found}
        told = {
            f"{root}.{key}": v for root in roots for key, v in (("lora_alpha", ALPHA), ("r", R))
        }
        header = {"format": "pt", "lora_adapter_metadata": json.dumps(told)}
        save_adapter(folder / f"{name}.safetensors", found, header)

    return save


SAVERS = {
    "llama": by_peft(LLAMA),
    "gpt2": by_peft(GPT2),
    "t5": by_peft(T5),
    "sdxl": by_kohya(SDXL),
    "flux": by_diffusers(FLUX, "transformer."),
    "wan": by_kohya({f"diffusion_model.{module}": shape for module, shape in WAN.items()}),
    "sd3": by_diffusers(SD3, ""),
}
# By family: the root of its network, tensors of `all`, and the selections of a run that asks none.
EXPECTED = {
    "llama": ("language_model", 28, ["all", "attention", "half0"]),
    "gpt2": ("language_model", 12, ["all", "attention", "half0"]),
    "t5": ("language_model", 24, ["all", "encoder", "half0"]),
    "sdxl": ("unet", 24, ["all", "visual", "half0"]),
    "flux": ("transformer", 28, ["all", "visual", "half0"]),
    "wan": ("transformer", 16, ["all", "visual", "half0"]),
    "sd3": ("transformer", 8, ["all", "visual", "half0"]),
}


def save_family(family: str, folder: Path, adapters: int) -> dict:
    """Adapters in a folder for each class, and the data source that reads them."""
    rng = np.random.default_rng(5)
    for i in range(adapters):
        label = ("bird", "cat")[i % 2]
        SAVERS[family](folder / label, f"a{i:02d}", rng, (0.1, 0.12)[i % 2])
    return {"kind": "safetensors", "path": str(folder), "labels": "folder"}


def overlay(folder: Path) -> str:
    """All that a user writes to run the study on adapters of his own."""
    return f"""studies: [lora_ablation]
lora_ablation:
  source: mine
  sources:
    mine: {{kind: safetensors, path: '{folder}', labels: folder}}
"""
