"""Begin a study of two stages: python -m scripts.spine.new_study NAME.

Writes scripts/NAME/study.py and config/NAME.yaml from workflow/template/ and adds the name to
`studies` of config/config.yaml. Nothing that is there already is touched.
"""

import keyword
import re
import sys
from pathlib import Path

from scripts.lib.config import Root
from scripts.lib.faults import ConfigError
from scripts.lib.root import ROOT

TEMPLATE = {"study.py": "scripts/{name}/study.py", "study.yaml": "config/{name}.yaml"}
# Folders of scripts/ and results/, and keys beside the sections of studies.
TAKEN = {"lib", "spine", "logs", "records", *Root.model_fields}
STUDIES = re.compile(r"^studies: \[(.*)\]", re.MULTILINE)


def new_study(name: str, root: Path = ROOT) -> list[str]:
    """Paths of the files of the new study; ConfigError if the name cannot be taken."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ConfigError(
            f"NAME is {name!r}; use lower-case letters, digits and _, a letter first, as in: "
            "make study NAME=my_study."
        )
    paths = [path.format(name=name) for path in TEMPLATE.values()]
    if name in TAKEN or any((root / path).exists() for path in paths):
        raise ConfigError(f"NAME is {name!r}, which is taken; choose another.")
    config = root / "config/config.yaml"
    text = config.read_text(encoding="utf-8")
    if not STUDIES.search(text):
        raise ConfigError("config/config.yaml has no line `studies: [...]`; write the name there.")
    for template, path in zip(TEMPLATE, paths, strict=True):
        content = (root / "workflow/template" / template).read_text(encoding="utf-8")
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(content.replace("NAME", name), encoding="utf-8")
    config.write_text(STUDIES.sub(rf"studies: [\1, {name}]", text), encoding="utf-8")
    return paths


if __name__ == "__main__":
    try:
        made = new_study(*(sys.argv[1:2] or [""]))
    except ConfigError as error:
        sys.exit(str(error))
    print(f"Written: {', '.join(made)}; added to studies in config/config.yaml. Next: make run")
