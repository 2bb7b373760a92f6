"""What two runs conclude: verdicts that must not depend on the processor, and where they differ.

    python -m tests.conclusions results other/results

Compared are each row of every agreement.csv, what a gate decided, and the sentences that the page
stresses, without their numbers. Verdicts on times (ratios, ledger) are of one machine and hour.
"""

import argparse
import html
import json
import re
import sys
from pathlib import Path

import pandas as pd

Conclusions = dict[str, object]
KEY = ["arm", "where", "metric", "test"]
# Numbers, with either minus sign.
NUMBER = re.compile(r"[-+\N{MINUS SIGN}]?\d[\d.,e+-]*")


def conclusions(folder: Path) -> Conclusions:
    """Every verdict below a folder of results, by what it is about."""
    found: Conclusions = {}
    for path in sorted(folder.glob("*/agreement.csv")):
        for row in pd.read_csv(path).to_dict("records"):
            passed = str(row["passed"]).lower()
            found[" ".join([path.parent.name, *(str(row[k]) for k in KEY)])] = passed
    for path in sorted(folder.glob("*/gate.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        found[f"{path.parent.name} gate"] = told.get("outcome", told["solver"])
    for page in folder.glob("report.html"):
        text = page.read_text(encoding="utf-8")
        found |= dict.fromkeys((f"page: {sentence}" for sentence in stressed(text)), "said")
    return found


def stressed(page: str) -> list[str]:
    """Paragraphs and points of the page with words that it stresses, without their numbers."""
    parts = re.findall(r"<(?:p|li)[ >].*?</(?:p|li)>", page, re.DOTALL)
    texts = [part for part in parts if re.search(r"<strong>[^<]*[a-z]{3}[^<]*</strong>", part)]
    plain = [html.unescape(re.sub(r"<[^>]+>", "", text)) for text in texts]
    return [" ".join(NUMBER.sub("#", text).split()) for text in plain]


def differences(one: Conclusions, other: Conclusions) -> list[str]:
    """A line for each conclusion that only one run has, or that they do not share."""
    return [
        f"{about}: {one.get(about, 'not there')} | {other.get(about, 'not there')}"
        for about in [*one, *(other.keys() - one.keys())]
        if one.get(about) != other.get(about)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs=2)
    one, other = (conclusions(folder) for folder in parser.parse_args().results)
    found = differences(one, other)
    print(f"{len(one)} and {len(other)} conclusions, {len(found)} differ", *found, sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
