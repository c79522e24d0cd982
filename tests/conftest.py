"""What all tests share: a fixed start, nothing left changed for the next test, the folders of the real data sets."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from facelight.data.sources import data_root
from facelight.enhance import use_histogram_path
from facelight.train import seed_everything

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes and notebooks that tests start: workers share the CPU

settings.register_profile(
    "book",
    deadline=None,
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("book")
torch.set_num_threads(1)


def _give_a_home() -> None:
    """An account without a home directory borrows one: Jupyter, Kornia and scikit-image do not start without."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.mkdtemp(prefix="facelight-home-")
        atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)


_give_a_home()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every test starts with the same generators and nothing compiled: the order of the tests does not matter."""
    seed_everything(0)
    if "torch._dynamo" in sys.modules:  # it gives up on a function that others have had compiled for many inputs
        torch._dynamo.reset()


def _state() -> dict[str, Any]:
    """What one test can spoil for all that follow it in the same process."""
    state = {
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.are_deterministic_algorithms_enabled()": torch.are_deterministic_algorithms_enabled(),
        "cv2.getNumThreads()": cv2.getNumThreads(),
        "np.geterr()": np.geterr(),
        "Path.cwd()": Path.cwd(),
    }
    state |= {f"${name}": value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    if "matplotlib.pyplot" in sys.modules:
        pyplot = sys.modules["matplotlib.pyplot"]
        state |= {"plt.get_fignums()": pyplot.get_fignums()}
        state |= {f"plt.rcParams[{name!r}]": value for name, value in pyplot.rcParams.items()}
    return state


@pytest.fixture(autouse=True)
def nothing_is_left_changed() -> Iterator[None]:
    """A test that changes the state of the process puts it back; else this one fails, and not a later one."""
    before = _state()
    yield
    after = _state()
    names = {*before, *(name for name in after if name.startswith("$FACELIGHT_"))}  # an import may add others
    changed = {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}
    assert not changed, f"put this back at the end of the test, it was and is now: {changed}"


@pytest.fixture(params=["numba", "torch"])
def either_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Histogram methods on one of their two paths."""
    with use_histogram_path(request.param):
        yield request.param


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


@pytest.fixture
def ar_root() -> Path:
    """The folder that holds AR."""
    return _data_set("AR").parent


@pytest.fixture
def net7876_root() -> Path:
    """The folder that holds net7876."""
    return _data_set("net7876").parent


@pytest.fixture
def wflw_crops_root() -> Path:
    """The folder that holds WFLW_crops."""
    return _data_set("WFLW_crops").parent
