"""Changes for the worse of a study's configuration, and the sentence that refuses them."""

from collections.abc import Callable
from copy import deepcopy

import pytest

from scripts.lib.config import ConfigError


def assert_refused(
    config: dict, changes: dict, checked: Callable[[dict], None], place: str, remedy: str
) -> None:
    """`checked` refuses the changed configuration in one sentence that has place and remedy.

    A change is the new value of a key, which is named by its place ("train.batch").
    """
    config = deepcopy(config)
    for where, value in changes.items():
        *path, key = where.split(".")
        node = config
        for name in path:
            node = node.setdefault(name, {})
        node[key] = value
    with pytest.raises(ConfigError) as error:
        checked(config)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert place in sentence
    assert remedy in sentence
