"""Tensor keys of the LoRA file families, mapped to one name: module, and role in its pair."""

import re

from scripts.lora_ablation.layout import DOWN, TEXT_ENCODER, UNET, UP

# (what ends a key, what it leaves of the module path); the group names the role.
FAMILIES = [
    (re.compile(r"\.lora\.(down|up)\.weight$"), ""),  # diffusers
    (re.compile(r"\.lora_linear_layer\.(down|up)\.weight$"), ""),  # diffusers, text encoder
    (re.compile(r"(?:\.processor)?\.to_out_lora\.(down|up)\.weight$"), ".to_out.0"),  # legacy
    (re.compile(r"(?:\.processor)?\.(?P<to>to_[qkv])_lora\.(down|up)\.weight$"), r".\g<to>"),
    (re.compile(r"\.lora_([AB])(?:\.[^.]+)?\.weight$"), ""),  # PEFT, with or without adapter name
    (re.compile(r"\.lora_(down|up)\.weight$"), ""),  # kohya
    (re.compile(r"\.(alpha)$"), ""),
]
ROLES = {"down": "down", "A": "down", "up": "up", "B": "up", "alpha": "alpha"}
KOHYA = {"lora_unet_": UNET, "lora_te_": "text_encoder.", "lora_te1_": "text_encoder."}
KOHYA |= {"lora_te2_": "text_encoder_2."}
# Module names with an underscore of their own; in a kohya key every other underscore is a dot.
COMPOUND = (
    *("time_emb_proj", "conv_shortcut", "conv_norm_out", "time_embedding", "transformer_blocks"),
    *("down_blocks", "up_blocks", "mid_block", "to_q", "to_k", "to_v", "to_out", "proj_in"),
    *("proj_out", "conv_in", "conv_out", "linear_1", "linear_2", "text_model", "self_attn"),
    *("q_proj", "k_proj", "v_proj", "out_proj", "text_projection", "position_embedding"),
)
UNDERSCORE = re.compile(rf"(?<![a-z])({'|'.join(COMPOUND)})(?![a-z])|_")


def parse(key: str) -> tuple[str, str] | None:
    """Module and role (down, up or alpha) of a key of any family; None if it is no LoRA tensor.

    The module has diffusers' dotted path after `unet.` or `text_encoder.`, as in
    ("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "down").
    """
    for pattern, rest in FAMILIES:
        if match := pattern.search(key):
            role = next(ROLES[group] for group in match.groups() if group in ROLES)
            return _module(key[: match.start()] + match.expand(rest)), role
    return None


def canonical(key: str) -> str | None:
    """Name of a down or up tensor in the store; None if the key is of neither."""
    module, role = parse(key) or ("", "alpha")
    return {"down": module + DOWN, "up": module + UP, "alpha": None}[role]


def _module(path: str) -> str:
    for prefix, root in KOHYA.items():
        if path.startswith(prefix):
            tail = path.removeprefix(prefix)
            return root + UNDERSCORE.sub(lambda match: match[1] or ".", tail)
    path = path.removeprefix("base_model.model.")
    if path.startswith("text_model."):
        return "text_encoder." + path
    return path if path.startswith((UNET, TEXT_ENCODER)) else UNET + path
