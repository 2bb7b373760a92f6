"""Keys of adapter files: which module a tensor belongs to, and its role in the module's pair.

A module's name in the store begins with its root, the network that it is part of: `unet.`,
`transformer.`, `text_encoder.` (`_2`, `_3`, `_4`), `language_model.` or `other.`. The root is told
by the key's own beginning, else by how the network calls its parts, and never guessed.
"""

import re
from typing import NamedTuple, get_args

from scripts.lora_ablation.data.families import DOWN, UP
from scripts.lora_ablation.specs import Network

# (what ends a key, what it leaves of the module path); the group names the role.
KEY_FAMILIES = [
    (re.compile(r"\.lora\.(down|up)\.weight$"), ""),  # diffusers
    (re.compile(r"\.lora_linear_layer\.(down|up)\.weight$"), ""),  # diffusers, text encoder
    (re.compile(r"(?:\.processor)?\.to_out_lora\.(down|up)\.weight$"), ".to_out.0"),  # legacy
    (re.compile(r"(?:\.processor)?\.(?P<to>to_[qkv])_lora\.(down|up)\.weight$"), r".\g<to>"),
    (re.compile(r"\.lora_([AB])(?:\.[^.]+)?\.weight$"), ""),  # PEFT, with or without adapter name
    (re.compile(r"\.lora_embedding_([AB])(?:\.[^.]+)?$"), ""),  # PEFT, embeddings
    (re.compile(r"\.lora_(down|up)\.weight$"), ""),  # kohya
    (re.compile(r"\.(alpha)$"), ""),
]
ROLES = {"down": "down", "A": "down", "up": "up", "B": "up", "alpha": "alpha"}
# Tensors of methods whose update is not alpha/r up @ down, and what to call the method.
OTHERS = [
    (re.compile(r"dora_scale|lora_magnitude_vector"), "DoRA"),
    (re.compile(r"\.hada_"), "LoHa"),
    (re.compile(r"\.lokr_"), "LoKr"),
    (re.compile(r"\.lora_mid\."), "LoCon in CP form"),
    (re.compile(r"\.b?oft_|\.oft_"), "OFT"),
    (re.compile(r"\.ia3_|\.on_input$"), "IA3"),
    (re.compile(r"vera_lambda|vera_[AB]"), "VeRA"),
    (re.compile(r"\.(diff|diff_b|w_norm|b_norm)$"), "differences of whole weights"),
    (re.compile(r"\.lora_[AB](\.[^.]+)?\.bias$|\.lora_(up|B)\.bias$"), "a bias of up"),
    (re.compile(r"\.lora_|\.lora\.|_lora\.|^lora_"), "an unknown form of LoRA"),
]

# Segments that a wrapper puts anywhere into a path, and beginnings that it puts before it.
WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
PEFT = "base_model.model."
WRAPPERS = (PEFT, "module.", "model.diffusion_model.", "diffusion_model.")

UNET, TRANSFORMER, TEXT, LANGUAGE = "unet.", "transformer.", "text_encoder.", "language_model."
ROOTS = get_args(Network)
# Beginnings that name a root. The longest that fits is taken.
STATED = {
    "unet.": UNET,
    "transformer.": TRANSFORMER,
    "transformer_2.": "transformer_2.",
    "text_encoder.": TEXT,
    "text_encoders.clip_l.": TEXT,
    "text_encoders.clip_g.": "text_encoder_2.",
    "text_encoders.t5xxl.": "text_encoder_3.",
    "clip_l.": TEXT,
    "clip_g.": "text_encoder_2.",
    "t5xxl.": "text_encoder_3.",
    "language_model.": LANGUAGE,
    **{f"text_encoder_{k}.": f"text_encoder_{k}." for k in (2, 3, 4)},
}
# kohya and those who follow it: dots are underscores. `lora_unet_` stands for any image network, as
# `diffusion_model.` does: what is no UNet is a transformer there.
UNDERSCORED = {
    "lora_unet_": UNET,
    "lora_prior_unet_": UNET,
    "lora_transformer_": TRANSFORMER,
    "lora_te_": TEXT,
    "lora_te1_": TEXT,
    "lora_prior_te_": TEXT,
    **{f"lora_te{k}_": f"text_encoder_{k}." for k in (2, 3, 4)},
    "lycoris_": "",
}
# How each kind of network calls its parts; what a path without a stated root is held against.
PARTS = {
    UNET: r"(down_blocks|up_blocks|mid_block|input_blocks|middle_block|output_blocks|conv_in"
    r"|conv_out|conv_norm_out|time_embed|time_embedding\.(linear_\d|cond_proj)|add_embedding|label_emb"
    r"|class_embedding|encoder_hid_proj|transformer_in|motion_modules|position_net|out\.\d)\b",
    TEXT: r"text_model\.",
    LANGUAGE: r"(transformer\.(h|wte|wpe|ln_f|layer|layers|encoder|decoder|word_embeddings)\."
    r"|transformer\.blocks\.\d+\.(attn\.(Wqkv|out_proj)|ffn\.)"
    r"|model\.(layers|encoder|decoder|embed_tokens|shared|norm|language_model|text_model|visual"
    r"|vision_tower|vision_model|multi_modal_projector|model)\b"
    r"|h\.\d|wte|wpe|gpt_neox|bert|roberta|xlm_roberta|deberta|distilbert|electra|albert|mpnet"
    r"|(encoder|decoder)\.(block|layers?|embed_tokens)\b|shared|lm_head|embed_tokens|embeddings"
    r"|layers\.\d+\.(self_attn\.|mlp\.|block_sparse_moe\.|mixer\.|attention\.w[qkvo]\b)"
    r"|backbone\.(layers|embeddings)\b)",
    TRANSFORMER: r"((single_|joint_)?transformer_blocks|(double|single|joint)_blocks"
    r"|(double|single)_stream_blocks|x_embedder|context_embedder|img_in|txt_in|time_in"
    r"|blocks\.\d+\.(attn[12]|self_attn|cross_attn|ffn|modulation)\b"
    r"|vector_in|guidance_in|final_layer|condition_embedder|patch_embedding|patch_embed"
    r"|text_embedding|time_embedding\.\d|time_projection|time_text_embed|proj_out|proj_in|norm_out"
    r"|caption_projection|adaln_single|pos_embed|noise_refiner|context_refiner|cap_embedder"
    r"|[ty]_embedder|img_emb|distilled_guidance_layer|token_refiner"
    r"|layers\.\d+\.(attention\.(to_|qkv|out\b)|adaLN_modulation))",
}
LIKE = {root: re.compile(pattern) for root, pattern in PARTS.items()}

# Module names with an underscore of their own; in a kohya key every other underscore is a dot.
COMPOUND = (
    # UNet of diffusers, and of Stability AI
    *("time_emb_proj", "conv_shortcut", "conv_norm_out", "time_embedding", "transformer_blocks"),
    *("down_blocks", "up_blocks", "mid_block", "to_q", "to_k", "to_v", "to_out", "proj_in"),
    *("proj_out", "conv_in", "conv_out", "linear_1", "linear_2", "add_embedding", "motion_modules"),
    *("temporal_transformer", "temp_attentions", "temporal_transformer_blocks", "transformer_in"),
    *("input_blocks", "middle_block", "output_blocks", "emb_layers", "in_layers", "out_layers"),
    *("skip_connection", "label_emb", "time_embed", "attention_blocks"),
    # text encoders
    *("text_model", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj", "text_projection"),
    *("position_embedding", "token_embedding", "wi_0", "wi_1", "gate_proj", "up_proj", "down_proj"),
    *("o_proj", "relative_attention_bias", "layer_norm", "final_layer_norm"),
    # diffusion transformers
    *("double_blocks", "single_blocks", "joint_blocks", "single_transformer_blocks"),
    *("joint_transformer_blocks", "double_stream_blocks", "single_stream_blocks", "context_block"),
    *("x_block", "img_attn", "txt_attn", "img_mlp", "txt_mlp", "img_mod", "txt_mod", "ff_context"),
    *("cross_attn", "k_img", "v_img", "adaLN_modulation", "final_layer", "img_in", "txt_in"),
    *("time_in", "vector_in", "guidance_in", "in_layer", "out_layer", "x_embedder", "t_embedder"),
    *("y_embedder", "context_embedder", "time_text_embed", "timestep_embedder", "text_embedder"),
    *("guidance_embedder", "norm_out", "norm1_context", "to_add_out", "add_q_proj", "add_k_proj"),
    *("add_v_proj", "proj_mlp", "condition_embedder", "time_embedder", "token_refiner"),
    *("individual_token_refiner", "patch_embedding", "text_embedding", "time_projection"),
    *("feed_forward", "noise_refiner", "context_refiner", "cap_embedder", "image_embedder"),
)
UNDERSCORE = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(COMPOUND, key=len, reverse=True))})(?![a-z])|_"
)


class UnknownRoot(ValueError):
    """A key is not known to belong to a network; the message says which and what to do."""


class Key(NamedTuple):
    """Module with its root, role (down, up or alpha), and the module's name in its network."""

    module: str
    role: str
    name: str


def read_key(key: str, root: str | None = None) -> Key | None:
    """What a key of any family names; None if it is no LoRA tensor.

    The module has diffusers' dotted path after its root, as in
    ("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "down", ...). `root`, one of
    ROOTS, is that of modules whose path does not tell; without it they raise UnknownRoot.
    """
    for pattern, rest in KEY_FAMILIES:
        if match := pattern.search(key):
            role = next(ROLES[group] for group in match.groups() if group in ROLES)
            path = key[: match.start()] + match.expand(rest)
            module, name = _module(path, key, root)
            return Key(module, role, name)
    return None


def parse_key(key: str, root: str | None = None) -> tuple[str, str] | None:
    """Module and role of a key, as `read_key` has them."""
    found = read_key(key, root)
    return (found.module, found.role) if found else None


def tensor_name(key: str, root: str | None = None) -> str | None:
    """Name of a down or up tensor in the store; None if the key is of neither."""
    module, role = parse_key(key, root) or ("", "alpha")
    return {"down": module + DOWN, "up": module + UP, "alpha": None}[role]


def method(key: str) -> str | None:
    """What to call the method that a key of no down, up or alpha tensor belongs to, if any."""
    return next((name for pattern, name in OTHERS if pattern.search(key)), None)


def is_plain(keys: list[str]) -> bool:
    """Whether no key is of an adapter of any kind, so that the tensors are weights themselves."""
    patterns = [pattern for pattern, _ in [*KEY_FAMILIES, *OTHERS]]
    return not any(pattern.search(key) for pattern in patterns for key in keys)


def _module(path: str, key: str, root: str | None) -> tuple[str, str]:
    """A module with its root, and its name in the network that the adapter was made for."""
    path = ".".join(part for part in path.split(".") if part not in WRAPPED)
    path, wrappers = _unwrapped(path)
    by_peft = PEFT in wrappers
    for prefix, stated in UNDERSCORED.items():
        if path.startswith(prefix):
            name = UNDERSCORE.sub(lambda match: match[1] or ".", path.removeprefix(prefix))
            if stated == UNET:
                stated = _like(name, (UNET,)) or TRANSFORMER
            return (stated or _like(name, (UNET, TRANSFORMER)) or _told(root, key)) + name, name
    if any(wrapper.endswith("diffusion_model.") for wrapper in wrappers):
        return (_like(path, (UNET,)) or TRANSFORMER) + path, path
    # Before the stated roots: GPT-2 calls its parts transformer.h.
    if LIKE[LANGUAGE].match(path):
        return LANGUAGE + path, path
    for prefix in sorted(STATED, key=len, reverse=True):
        if path.startswith(prefix):
            name, _ = _unwrapped(path.removeprefix(prefix))
            if prefix.startswith(("text_encoders.", "clip_", "t5xxl")):
                name = name.removeprefix("transformer.")
            # Where PEFT itself saved the adapter, its model had the root as an attribute.
            return STATED[prefix] + name, path if by_peft else name
    return (_like(path, tuple(LIKE)) or _told(root, key)) + path, path


def _unwrapped(path: str) -> tuple[str, list[str]]:
    """A path without what wrappers put before it, each once, and these."""
    left, found = list(WRAPPERS), []
    while wrapper := next((wrapper for wrapper in left if path.startswith(wrapper)), None):
        path = path.removeprefix(wrapper)
        left.remove(wrapper)
        found.append(wrapper)
    return path, found


def _like(path: str, roots: tuple[str, ...]) -> str | None:
    """The first of these roots whose network calls its parts so."""
    return next((root for root in roots if LIKE[root].match(path)), None)


def _told(root: str | None, key: str) -> str:
    """The root that the user states for modules whose path does not tell."""
    if root is None:
        raise UnknownRoot(
            f"{key} belongs to no network that is known by its name; say which it is with the data "
            f"source's key root: {', '.join(ROOTS)}"
        )
    return root + "."
