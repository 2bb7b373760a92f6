"""Adapters of any family: whose network a tensor is of, which selections there are, and a run."""

import re

import numpy as np
import pytest
import yaml

from scripts.lib.config import ConfigError
from scripts.lora_ablation.checks import chosen
from scripts.lora_ablation.data import sources
from scripts.lora_ablation.data.families import selections, usual
from scripts.lora_ablation.data.tensor_keys import UnknownRoot, parse_key
from tests.lora_cells import section
from tests.lora_families import ALPHA, EXPECTED, R, overlay, save_family
from tests.lora_files import data_source, load_job, outputs, read_all
from tests.project import Project, copy_code
from tests.stages import run_stage


@pytest.mark.parametrize("family", EXPECTED)
def test_adapters_of_a_family_are_read_with_their_root_scale_and_selections(family, tmp_path):
    root, tensors, chosen_by_default = EXPECTED[family]
    source = save_family(family, tmp_path / "adapters", 4)
    found = read_all(source, 4)
    roots = {name.split(".")[0] for name in found.layout.names}
    assert root in roots
    assert all(name == root or name.startswith("text_encoder") for name in roots)
    assert len(found.layout.selected("all")) == tensors
    assert (found.scales == ALPHA / R).all()
    # By headers alone the workflow knows the same before the first job.
    names = sources.names(data_source(source))
    assert sorted(names) == sorted(found.layout.names)
    assert usual(names) == chosen_by_default
    for name in selections(names):
        assert found.layout.selected(name)


@pytest.mark.parametrize("family", EXPECTED)
def test_adapters_of_a_family_go_through_load_index_and_features(family, monkeypatch, tmp_path):
    source, out = save_family(family, tmp_path / "adapters", 24), outputs(tmp_path / "out")
    job = load_job(source, 0, 24)
    assert run_stage(monkeypatch, "lora_ablation/load.py", job, output=out) is None
    read = {"indexes": [out["index"]], "layouts": [out["layout"]]}
    made = {"index": tmp_path / "index.parquet", "data": tmp_path / "data.csv"}
    split = {"split": "stratified"}
    assert run_stage(monkeypatch, "lora_ablation/index.py", split, read, made) is None
    assert '"alpha / r"' in made["data"].read_text()
    family_job = {"family": "norms", "names": ["frob", "l1", "linf"], "pairs": False}
    features = {"features": tmp_path / "norms.parquet"}
    assert run_stage(monkeypatch, "lora_ablation/features.py", family_job, out, features) is None


def modules(*names: str) -> list[str]:
    return [name + ending for name in names for ending in (".lora.down.weight", ".lora.up.weight")]


@pytest.mark.parametrize(
    ("key", "module"),
    [
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_down.weight",
         "text_encoder_3.encoder.block.0.layer.0.SelfAttention.q"),
        ("lora_prior_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
         "text_encoder.text_model.encoder.layers.0.mlp.fc1"),
        ("text_encoders.t5xxl.transformer.encoder.block.1.layer.0.SelfAttention.v.lora_A.weight",
         "text_encoder_3.encoder.block.1.layer.0.SelfAttention.v"),
        ("clip_g.text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight",
         "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj"),
        ("_orig_mod.base_model.model.mid_block.resnets.0.conv1.lora_A.weight",
         "unet.mid_block.resnets.0.conv1"),
        ("base_model.model.model.layers.0._orig_mod.self_attn.q_proj.lora_A.default.weight",
         "language_model.model.layers.0.self_attn.q_proj"),
        ("module.unet.module.mid_block.attentions.0.proj_in.lora_A.weight",
         "unet.mid_block.attentions.0.proj_in"),
        ("unet.base_model.model.up_blocks.1.resnets.0.conv2.lora_B.weight",
         "unet.up_blocks.1.resnets.0.conv2"),
        ("base_model.model.transformer.h.3.attn.c_attn.lora_A.weight",
         "language_model.transformer.h.3.attn.c_attn"),
        ("transformer.single_transformer_blocks.3.attn.to_q.lora_A.weight",
         "transformer.single_transformer_blocks.3.attn.to_q"),
        ("lora_unet_double_blocks_0_img_attn_proj.lora_down.weight",
         "transformer.double_blocks.0.img_attn.proj"),
        ("lora_unet_joint_blocks_7_context_block_adaLN_modulation_1.alpha",
         "transformer.joint_blocks.7.context_block.adaLN_modulation.1"),
        ("lora_transformer_single_transformer_blocks_0_proj_mlp.lora_up.weight",
         "transformer.single_transformer_blocks.0.proj_mlp"),
        ("diffusion_model.blocks.39.cross_attn.k_img.lora_B.weight",
         "transformer.blocks.39.cross_attn.k_img"),
        ("lycoris_blocks_2_ffn_0.lora_down.weight", "transformer.blocks.2.ffn.0"),
        ("diffusion_model.layers.1.feed_forward.w2.lora_A.weight",
         "transformer.layers.1.feed_forward.w2"),
        ("base_model.model.layers.0.attention.wq.lora_A.weight",
         "language_model.layers.0.attention.wq"),
        ("lora_unet_out_2.lora_up.weight", "unet.out.2"),
        ("base_model.model.gpt_neox.layers.0.attention.query_key_value.lora_A.weight",
         "language_model.gpt_neox.layers.0.attention.query_key_value"),
        ("base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight",
         "language_model.bert.encoder.layer.0.attention.self.query"),
        ("base_model.model.model.embed_tokens.lora_embedding_A",
         "language_model.model.embed_tokens"),
    ],
)  # fmt: skip
def test_a_key_says_whose_network_it_is_of(key, module):
    found, _ = parse_key(key)
    assert found == module


@pytest.mark.parametrize(
    "key",
    [
        "lora_xyz_blocks_0_attn.lora_down.weight",
        "vae.encoder.mid.lora_A.weight",
        "base_model.model.fc1.lora_A.weight",
        "image_encoder.layer.0.lora_down.weight",
        "lycoris_something_else.alpha",
        "controlnet.down_blocks.0.attn.lora_A.weight",
        "base_model.model.blocks.0.att.key.lora_A.weight",  # RWKV
        "base_model.model.blocks.0.attn.qkv.lora_A.weight",  # a vision transformer, or a DiT
        "base_model.model.layers.0.feed_forward.w1.lora_A.weight",
    ],
)
def test_a_key_of_no_known_network_is_of_none_but_where_the_user_says_so(key):
    with pytest.raises(UnknownRoot, match=re.escape(key.split(".")[0])):
        parse_key(key)
    assert parse_key(key, "other")[0].startswith("other.")


MOTION = "unet.down_blocks.0.motion_modules.0.transformer_blocks.0"
SPACE = "unet.down_blocks.0.attentions.0.transformer_blocks.0"


def test_attention_over_frames_is_no_text():
    names = modules(*(f"{at}.attn{k}.to_q" for at in (MOTION, SPACE) for k in (1, 2)))
    found = selections(names)
    chosen_names = {
        name: {module for module in names if re.search(pattern, module.split(".lora.")[0])}
        for name, pattern in found.items()
    }
    assert chosen_names["text"] == set(modules(f"{SPACE}.attn2.to_q"))
    assert chosen_names["temporal"] == set(modules(f"{MOTION}.attn1.to_q", f"{MOTION}.attn2.to_q"))
    assert chosen_names["visual"] == {*names} - chosen_names["text"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("unet.mid_block.temp_attentions.0.transformer_blocks.0.attn2.to_k", False),
        ("unet.up_blocks.0.attentions.0.temporal_transformer_blocks.0.attn2.to_k", False),
        ("unet.transformer_in.transformer_blocks.0.attn2.to_k", False),
        ("transformer.transformer_blocks.0.attn2.to_k", True),  # PixArt, LTX
        ("transformer.blocks.0.attn2.add_k_proj", False),  # Wan: an image is read
        ("transformer.transformer_blocks.0.attn1.add_k_proj", True),  # Mochi
        ("unet.up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", True),
    ],
)
def test_text_is_what_reads_the_text(name, text):
    other = name.split(".")[0] + ".transformer_blocks.0.attn1.to_q"
    pattern = selections(modules(name, other)).get("text")
    assert bool(pattern and re.search(pattern, name)) is text


def test_the_second_attention_of_a_joint_block_is_of_the_image():
    names = modules("transformer.transformer_blocks.0.attn.to_q",
                    "transformer.transformer_blocks.0.attn2.to_q",
                    "transformer.transformer_blocks.0.attn.add_q_proj")  # fmt: skip
    found = selections(names)
    assert re.search(found["visual"], "transformer.transformer_blocks.0.attn2.to_q")
    assert not re.search(found["text"], "transformer.transformer_blocks.0.attn2.to_q")


LLAMA = modules(*(f"language_model.model.layers.{i}.self_attn.q_proj" for i in range(3)))


def test_a_selection_without_tensors_is_refused_before_any_job_and_those_there_are_are_named():
    with pytest.raises(ConfigError) as refused:
        chosen(section(selections=["all", "visual"]), LLAMA)
    assert "lora_ablation.selections[1] is 'visual'" in str(refused.value)
    assert "all, attention, half0" in str(refused.value)
    assert chosen(section(selections=["all", "half3"]), LLAMA).selections == ["all", "half3"]


def test_what_is_usual_is_chosen_by_the_tensors():
    assert chosen(section(), LLAMA).selections == ["all", "half0"]
    unet = modules(*(f"{SPACE}.attn{k}.to_q" for k in (1, 2)))
    assert chosen(section(), unet).selections == ["all", "visual", "half0"]
    # Of one module there is no half: the default arm that trains on one is left out.
    one = chosen(section(), LLAMA[:2])
    assert one.selections == ["all"]
    assert one.runs_of("half_layers") == 0


def test_adapters_that_are_not_here_yet_need_selections_by_name():
    with pytest.raises(ConfigError, match="selections must be given"):
        chosen(section(), None)
    assert chosen(section(selections=["all", "visual"]), None).selections == ["all", "visual"]


def test_patterns_of_ones_own_are_selections(tmp_path):
    layers = {"early": r"layers\.[01]\.", "q": "q_proj$"}
    made = chosen(section(layers=layers, selections=["all", "early", "q"]), LLAMA)
    assert made.selections == ["all", "early", "q"]
    found = read_all(save_family("llama", tmp_path, 2), 2).layout
    early = found.selected("early", own={"early": r"layers\.0\."})
    assert {found.names[i].split(".")[3] for i in early} == {"0"}
    assert len(early) == 14


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": {"early": "("}}, "layers.early is '(', which is no regular expression"),
        ({"layers": {"all": "x"}}, "layers.all is another selection's name"),
        ({"layers": {"half1": "x"}}, "layers.half1 is another selection's name"),
        ({"layers": {"early": "x"}, "selections": ["erly"]}, "'early'"),
    ],
)
def test_a_faulty_pattern_is_one_sentence(changes, said):
    with pytest.raises(ConfigError) as refused:
        section(**changes)
    assert said in str(refused.value)


def test_a_pattern_without_tensors_is_refused():
    with pytest.raises(ConfigError, match="selections\\[0\\] is 'late'"):
        chosen(section(layers={"late": r"layers\.9\."}, selections=["late"]), LLAMA)


def test_an_overlay_of_five_lines_is_enough(tmp_path):
    assert len(overlay(tmp_path).splitlines()) <= 6


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_family_goes_from_a_folder_to_its_page(family, tmp_path):
    project = Project(copy_code(tmp_path / "project"), "lora_ablation")
    save_family(family, tmp_path / "adapters", 40)
    (project.folder / "own.yaml").write_text(overlay(tmp_path / "adapters"))
    least = yaml.safe_load((project.folder / project.tiny).read_text())
    least["lora_ablation"] = {
        key: value
        for key, value in least["lora_ablation"].items()
        if key not in ("sources", "selections")
    }
    (project.folder / "least.yaml").write_text(yaml.safe_dump(least))
    project.make(config="least.yaml own.yaml", cores=1)
    page = (project.folder / "results/report.html").read_text()
    assert "a language model" in page
    assert "by adapter_config.json" in page
    grid = (project.results / "tables/grid.csv").read_text()
    chosen = EXPECTED[family][2]
    assert set(re.findall(rf'"({"|".join(chosen)})"', grid)) == set(chosen)
    assert np.isfinite([float(line.split(",")[4]) for line in grid.splitlines()[1:]]).all()
