# SPDX-License-Identifier: Apache-2.0
"""Weights that cannot be loaded."""

from pathlib import Path

import pytest

from depth_recog.errors import WeightsError
from depth_recog.networks.models_in_torch import load_model


def assert_refused(path: Path, network: str, *words: str) -> None:
    """Expect that loading a network fails with one line that contains all words."""
    with pytest.raises(WeightsError) as caught:
        load_model(str(path), network)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"
