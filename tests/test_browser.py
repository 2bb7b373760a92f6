"""The page in Chromium: it asks for nothing, complains of nothing, and is reached by keyboard."""

import subprocess

import pytest

from scripts.lib.code import ROOT


@pytest.mark.slow
def test_a_browser_has_nothing_to_say_against_the_page(finished, tmp_path):
    page = finished.folder / "results/report.html"
    command = [ROOT / ".ci/browser", page, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    said = done.stdout.splitlines()
    if done.stdout.startswith("SKIPPED"):
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in said if line.startswith("FAIL")]
    assert len([line for line in said if line.startswith("ok")]) >= 35
    assert len(list(tmp_path.glob("*.png"))) >= 8
