"""Schemas of the configuration for editors, from the models: python -m scripts.spine.schemas.

workflow/schemas/<study>.schema.yaml describes config/<study>.yaml, config.schema.yaml the root. The
workflow itself checks with the models; a test keeps the files equal to them.
"""

import importlib
from pathlib import Path
from typing import Any

import yaml

from scripts.lib.config import Root
from scripts.lib.files import replacing
from scripts.lib.root import ROOT
from scripts.lib.sections import StudySettings
from scripts.lib.yaml_files import LOADER
from scripts.spine.section import two_stage_section, two_stage_studies
from scripts.spine.two_stage import two_stage

FOLDER = ROOT / "workflow/schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def section_of(study: str) -> type[StudySettings]:
    """The model of a study's section."""
    if study in two_stage_studies([study]):
        return two_stage_section(two_stage(study))
    return importlib.import_module(f"scripts.{study}.settings").Section


def schemas() -> dict[Path, dict[str, Any]]:
    """Content of each file."""
    run = yaml.load((ROOT / "config/config.yaml").read_bytes(), Loader=LOADER)["studies"]
    # Studies of two stages may ship without being run by default.
    further = sorted(path.parent.name for path in ROOT.glob("scripts/*/study.py"))
    found = {FOLDER / "config.schema.yaml": Root.model_json_schema()}
    for study in dict.fromkeys([*run, *further]):
        schema = section_of(study).model_json_schema()
        definitions = {"$defs": schema.pop("$defs")}
        whole = {"type": "object", "required": [study], "properties": {study: schema}}
        found[FOLDER / f"{study}.schema.yaml"] = whole | definitions
    return {path: {"$schema": DIALECT} | closed(schema) for path, schema in found.items()}


def closed(node: Any) -> Any:
    """A schema in which a mapping whose keys match a pattern has no others, as in the models."""
    if isinstance(node, list):
        return [closed(part) for part in node]
    if not isinstance(node, dict):
        return node
    found = {key: closed(part) for key, part in node.items()}
    return found | ({"additionalProperties": False} if "patternProperties" in node else {})


if __name__ == "__main__":
    for path, schema in schemas().items():
        with replacing(path) as temporary:
            temporary.write_text(yaml.safe_dump(schema, sort_keys=False, width=100), "utf-8")
