"""Families of adapters, told by the names of their tensors, and the selections that each has.

A selection is a pattern that is searched in a module's name (`stem`), root included. Which there
are follows from the network that is adapted: self-attention is `attn1` in a UNet, `self_attn` in
Wan, and a language model has nothing that looks at an image.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DOWN, UP = ".lora.down.weight", ".lora.up.weight"
TEXT_ENCODER = "text_encoder"
HALF = re.compile("^half[0-9]{1,6}$")

# Modules that attend over frames: attn2 of these is self-attention too, but for Stable Video
# Diffusion (temporal_transformer_blocks), where it reads the first image.
OVER_FRAMES = r"motion_modules|temp_attentions|temporal_transformer|transformer_in"
DOUBLE = r"(?<!single_)(transformer_blocks|double_blocks|joint_blocks|double_stream_blocks)"


@dataclass(frozen=True)
class Family:
    """A kind of network: what tells it, its selections, and those of a run that asks for none."""

    about: str
    like: str
    selections: Mapping[str, str]
    usual: tuple[str, ...] = ()


# Of models of the library transformers, and of networks of one's own that call their parts alike.
TRANSFORMERS = {
    "encoder": r"(^|\.)encoder\.",
    "decoder": r"(^|\.)decoder\.",
    "attention": r"attn|[aA]ttention",
    "cross_attention": r"EncDecAttention|encoder_attn|cross_?attn|crossattention",
    "feed_forward": r"mlp|ffn|DenseReluDense|intermediate|\.fc[12]$|feed_forward|experts",
    "vision": r"vision|visual",
    "embeddings": r"embed|wte|wpe|lm_head|shared$",
}

FAMILIES = (
    Family(
        "a UNet",
        r"^unet\.",
        {
            "visual": rf"^(?!.*({OVER_FRAMES})).*\.attn1\.|(motion_modules|temp_attentions"
            r"|transformer_in)\b.*\.attn[12]\.|temporal_transformer_blocks\..*\.attn1\.",
            "text": rf"^(?!.*({OVER_FRAMES})).*\.attn2\.",
            "temporal": OVER_FRAMES,
            "attention": r"\.attn[12]\.|attention_blocks",
            "feed_forward": r"\.ff\.",
            "convolutions": r"resnets|conv|samplers|(in|out|skip)_(layers|connection)",
        },
        ("visual",),
    ),
    Family(
        "a diffusion transformer whose image and text tokens attend to each other",
        r"^transformer(_2)?\..*(\.attn\.|(img|txt)_attn|\.(x|context)_block\.|single_)",
        {
            "visual": rf"{DOUBLE}\.\d+\.(attn\.(to_[qkv]|to_out)|attn2\.|img_attn|x_block\.attn)",
            "text": r"add_[qkv]_proj|to_add_out|txt_attn|context_block\.attn",
            "single": r"single_(transformer_|stream_)?blocks",
            "attention": r"attn",
            "feed_forward": r"\.(ff|ff_context|mlp|img_mlp|txt_mlp|proj_mlp)\b",
        },
        ("visual",),
    ),
    Family(
        "a diffusion transformer",
        r"^transformer(_2)?\.",
        {
            "visual": r"\.(attn1|self_attn)\.(?!add_|to_add_out)",
            "text": r"\.(attn2|cross_attn)\.(?!add_|k_img|v_img|norm_(added_k|k_img))"
            r"|\.attn1\.(add_|to_add_out)",
            "image_prompt": r"\.(attn2|cross_attn)\.(add_[kv]_proj|[kv]_img)",
            "attention": r"attn|attention",
            "feed_forward": r"\.(ff|ffn|mlp|feed_forward)\b",
        },
        ("visual",),
    ),
    Family("a language model", r"^language_model\.", TRANSFORMERS, ("attention", "encoder")),
    Family("another network", r"^other\.", TRANSFORMERS),
)
TEXT_ALONE = Family("text encoders", rf"^{TEXT_ENCODER}", {"attention": r"attn|[aA]ttention"})
PLAIN = Family("weights that are no adapters", "", {})


def stem(name: str) -> str:
    """The module that a down or up tensor belongs to; the name itself of what is none."""
    return name.removesuffix(DOWN).removesuffix(UP)


def is_half(selection: str) -> bool:
    """Whether a selection is a random half."""
    return HALF.match(selection) is not None


def family(names: Iterable[str]) -> Family:
    """The family of an adapter with tensors of these names."""
    names = list(names)
    if not all(name.endswith((DOWN, UP)) for name in names):
        return PLAIN
    modules = [stem(name) for name in names]
    return next(
        (kind for kind in FAMILIES if any(re.search(kind.like, module) for module in modules)),
        TEXT_ALONE,
    )


def selections(names: Iterable[str]) -> dict[str, str]:
    """Pattern of each selection that has a tensor of these names, `all` first, without halves.

    `all` is the network that the family is about; text encoders beside it are `text_encoder`.
    """
    names = list(names)
    modules, kind = {stem(name) for name in names}, family(names)
    texts = {module for module in modules if module.startswith(TEXT_ENCODER)}
    apart = kind not in (TEXT_ALONE, PLAIN) and bool(texts)
    network = rf"^(?!{TEXT_ENCODER})" if kind not in (TEXT_ALONE, PLAIN) else ""
    patterns = {name: f"{network}(?=.*?(?:{own}))" for name, own in kind.selections.items()}
    if apart:
        patterns[TEXT_ENCODER] = rf"^{TEXT_ENCODER}"
    found = {
        name: pattern
        for name, pattern in patterns.items()
        if any(re.search(pattern, module) for module in modules)
    }
    return {"all": network} | found


def usual(names: Iterable[str]) -> list[str]:
    """The selections of a run that asks for none: all, what the family has, and a random half.

    A selection that is all there is again, or a half of one module, would only repeat the others.
    """
    names = list(names)
    modules, patterns = {stem(name) for name in names}, selections(names)
    sets = {
        name: {module for module in modules if re.search(pattern, module)}
        for name, pattern in patterns.items()
    }
    own = [name for name in family(names).usual if sets.get(name, sets["all"]) != sets["all"]]
    return ["all", *own, *(["half0"] if len(sets["all"]) > 1 else [])]
