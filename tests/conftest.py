"""What all tests share: one torch thread, reproducible Hypothesis runs, the folders of the real data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from facelight.data.sources import data_root

settings.register_profile(
    "book",
    deadline=None,
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("book")
torch.set_num_threads(1)


def _data_set(folder: str) -> Path:
    path = data_root() / folder
    if not path.is_dir():
        pytest.skip(f"{path} is not there: set FACELIGHT_DATA to the folder that holds {folder}")
    return path


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def yaleb_root() -> Path:
    """The folder that holds CroppedYale."""
    return _data_set("CroppedYale").parent


@pytest.fixture
def pie_root() -> Path:
    """The folder that holds PIE."""
    return _data_set("PIE").parent


@pytest.fixture
def w300_root() -> Path:
    """The folder that holds 300w."""
    return _data_set("300w").parent
