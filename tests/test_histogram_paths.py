"""Histogram methods by numba's loops and by PyTorch's operations: the same pictures and gradients, on any threads."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from facelight import enhance
from facelight.enhance import _clipping_numba, _levels_numba, _loops, paths

HISTOGRAMS = {
    "equalize": enhance.equalize,
    "equalize, continuous": partial(enhance.equalize, exact=False),
    "bbhe": enhance.bbhe,
    "ahe": partial(enhance.ahe, grid_size=(3, 2)),
    "clahe": partial(enhance.clahe, clip_limit=2.0, grid_size=(4, 3)),
    "clahe, continuous": partial(enhance.clahe, clip_limit=2.0, grid_size=(4, 3), exact=False),
    "clahe, matlab": partial(enhance.clahe, clip_limit=0.02, grid_size=(2, 4), convention="matlab"),
    "clahe, matlab, continuous": partial(
        enhance.clahe, clip_limit=0.02, grid_size=(2, 4), convention="matlab", exact=False
    ),
    "modified_clahe": partial(enhance.modified_clahe, clip_limit=2.0, grid_size=(4, 4)),
}


def pictures(kind: str, *shape: int) -> Tensor:
    """Noise, smooth pictures between levels, or the latter at 8-bit levels."""
    if kind == "noise":
        return torch.rand(shape)
    small = torch.rand(*shape[:2], 4, 5)
    x = torch.nn.functional.interpolate(small, shape[2:], mode="bilinear")
    return (255 * x).round() / 255 if kind == "levels" else x


def value_and_gradient(path: str, function, x: Tensor) -> tuple[Tensor, Tensor]:
    with enhance.use_histogram_path(path):
        leaf = x.clone().requires_grad_()
        out = function(leaf)
        (gradient,) = torch.autograd.grad(out.square().sum(), leaf)
        with torch.no_grad():
            assert torch.equal(function(x), out)  # without a derivative the levels are overwritten
    return out.detach(), gradient


@pytest.mark.parametrize("kind", ["noise", "smooth", "levels"])
@pytest.mark.parametrize("name", HISTOGRAMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_paths_give_the_same(name, kind, dtype):
    x = pictures(kind, 2, 3, 37, 50).to(dtype)
    (one, slope), (other, other_slope) = (value_and_gradient(path, HISTOGRAMS[name], x) for path in paths.PATHS)
    off = (one - other).abs()
    assert off.max() <= 1.3e-6  # what is half-way between two levels is moved up or down by 1/8192 of one
    assert (off > 3e-7).float().mean() < 1e-3
    torch.testing.assert_close(slope, other_slope, rtol=1e-4, atol=5e-5 * slope.abs().max().item())


def test_a_limit_that_is_learned_gets_the_same_gradient():
    x, found = pictures("levels", 3, 1, 40, 40), []
    for path in paths.PATHS:
        with enhance.use_histogram_path(path):
            limit = torch.tensor([4.0, 8.0, 0.0], requires_grad=True)
            found.append(torch.autograd.grad(enhance.clahe(x, limit, (4, 4)).square().sum(), limit)[0])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    assert found[0][:2].abs().min() > 0


@pytest.mark.parametrize("path", paths.PATHS)
def test_any_strides_do(path):
    x = pictures("smooth", 4, 3, 40, 30)
    wanted = enhance.clahe(x, 2.0, (4, 4))
    last, flipped = x.contiguous(memory_format=torch.channels_last), x.transpose(-1, -2).contiguous().transpose(-1, -2)
    with enhance.use_histogram_path(path):
        for same in (last, flipped):
            torch.testing.assert_close(enhance.clahe(same, 2.0, (4, 4)), wanted, rtol=0, atol=3e-7)
            torch.testing.assert_close(enhance.clahe(same[1:3, 1:], 2.0, (4, 4)), wanted[1:3, 1:], rtol=0, atol=3e-7)


@pytest.fixture
def many_threads(monkeypatch):
    """As many threads as a test says, for pictures of any size."""
    monkeypatch.setattr(_loops, "_NUMBERS_A_THREAD", 1)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(1, 1, 64, 48), (3, 2, 33, 47), (7, 1, 20, 20), (1, 1, 8, 8)])
def test_threads_change_nothing(many_threads, shape):
    x = pictures("smooth", *shape)
    for function in (HISTOGRAMS["clahe"], HISTOGRAMS["clahe, matlab"], HISTOGRAMS["bbhe"]):
        found = []
        for threads in (1, 2, 3, 5):
            many_threads(threads)
            found.append(value_and_gradient("numba", function, x))
        for other in found[1:]:
            assert torch.equal(found[0][0], other[0])
            assert torch.equal(found[0][1], other[1])


def test_white_leaves_the_next_table_alone():
    """It may be another thread's; -0.0 becomes 0.0 when nothing is added to it."""
    lines = (torch.tensor([[255.0, 254.5, 0.25, 255.0]], dtype=torch.float64) / 255).numpy()
    row, column = np.zeros(1, "int32"), np.zeros(4, "int32")
    counts = np.full(512, -0.0)
    _levels_numba._count(0, 1, lines, 1e-9, row, column, counts)
    assert counts[:256].sum() == pytest.approx(4)
    assert np.signbit(counts[256:]).all()
    spread = np.full(512, -0.0)
    where = row, column, row, column, np.zeros(1), np.zeros(4), np.array([0, 4])
    _levels_numba._spread(0, 1, lines, 1e-9, np.full_like(lines, 255), *where, spread)
    assert spread[:256].sum() == pytest.approx(4)
    assert np.signbit(spread[256:]).all()


def test_torch_says_how_many_threads(many_threads, monkeypatch):
    asked, pool = [], _loops._threads()

    class Counting:
        def submit(self, *call):
            asked.append(call)
            return pool.submit(*call)

    monkeypatch.setattr(_loops, "_threads", Counting)
    x = pictures("levels", 4, 1, 32, 32)
    many_threads(1)
    enhance.clahe(x, 2.0, (2, 2))
    assert asked == []
    many_threads(3)
    enhance.clahe(x, 2.0, (2, 2))
    assert {len([call for call in asked if call[0] is run]) for run in {call[0] for call in asked}} == {2}


def test_small_pictures_stay_on_one_thread(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert _loops.parts(torch.zeros(100, 100).numpy()) == [0, 100]
    assert len(_loops.parts(torch.zeros(1024, 1024).numpy())) == 9


def test_several_threads_may_call_at_once(many_threads):
    many_threads(2)
    batches = [pictures("smooth", 2, 1, 50, 40 + i) for i in range(8)]
    wanted = [HISTOGRAMS["clahe"](x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for one, other in zip(pool.map(HISTOGRAMS["clahe"], batches), wanted, strict=True):
                assert torch.equal(one, other)


FORK = """
import os, torch
from facelight import enhance
from facelight.enhance import _loops
_loops._NUMBERS_A_THREAD = 1
torch.set_num_threads(2)
x = torch.rand(4, 1, 60, 60)
wanted = enhance.clahe(x, 2.0, (4, 4))
lines, bounds = x.flatten(0, 2).numpy(), [0, 80, 160, 240]
@_loops.loop
def twice(start, stop, lines, out):
    out[start:stop] = 2 * lines[start:stop]
child = os.fork()
if child == 0:
    out = lines.copy()
    _loops.in_parts(twice, bounds, lines, out)  # on threads of the child's own
    torch.set_num_threads(1)  # as PyTorch's loader does: its own OpenMP cannot go on after a fork
    same = torch.equal(enhance.clahe(x, 2.0, (4, 4)), wanted) and (out == 2 * lines).all()
    os._exit(0 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.equal(enhance.clahe(x, 2.0, (4, 4)), wanted))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_after_use_is_safe():
    assert python(FORK).stdout.split() == ["0", "True"]


class Enhanced(Dataset[Tensor]):
    """Rows that are enhanced where they are loaded, and how many threads were there."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return enhance.clahe(self.x[i], 2.0, (4, 4)), len(_loops.parts(torch.zeros(512, 512).numpy())) - 1


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader_take_one_thread_each(start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {start}")
    x = pictures("levels", 6, 1, 32, 32)
    wanted = enhance.clahe(x, 2.0, (4, 4))
    loader = DataLoader(Enhanced(x), batch_size=3, num_workers=2, multiprocessing_context=start, timeout=300)
    rows = list(loader)
    assert torch.equal(torch.cat([images for images, _ in rows]), wanted)
    assert torch.cat([threads for _, threads in rows]).tolist() == [1] * 6


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )


USE = "import torch; from facelight import enhance; print(enhance.clahe(torch.rand(1, 16, 16), 2.0, (2, 2)).mean() > 0)"


def test_numba_is_imported_at_first_use():
    code = f"import sys; import facelight.enhance; print('numba' in sys.modules); {USE}; print('numba' in sys.modules)"
    assert python(code).stdout.split() == ["False", "tensor(True)", "True"]


def test_what_is_compiled_is_said_once_and_kept(tmp_path):
    first = python(USE, NUMBA_CACHE_DIR=str(tmp_path))
    assert first.stderr.count("numba compiled") == 1, first.stderr
    assert str(tmp_path) in first.stderr
    assert "numba compiled" not in python(USE, NUMBA_CACHE_DIR=str(tmp_path)).stderr


def test_without_a_folder_to_write_to_loops_are_compiled_all_the_same():
    space: dict = {}
    exec("def twice(start, stop, x):\n    return 2 * x[start:stop].sum()", space)  # no file, so no place for a cache
    twice = _loops.loop(space["twice"])
    with pytest.warns(UserWarning, match="by this process only") if not _loops._said else _nothing():
        assert _loops.in_parts(twice, [0, 3], torch.ones(3).numpy()) == [6.0]


class _nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def test_without_numba_pytorch_does_it():
    code = f"import sys; sys.modules['numba'] = None; {USE}; print(enhance.histogram_path())"
    assert python(code).stdout.split() == ["tensor(True)", "torch"]
    code = f"import sys; sys.modules['numba'] = None; {USE}\nwith enhance.use_histogram_path('numba'): pass"
    with pytest.raises(subprocess.CalledProcessError) as error:
        python(code)
    assert 'pip install "facelight[fast]"' in error.value.stderr


def test_the_environment_may_choose(monkeypatch):
    monkeypatch.setenv("FACELIGHT_HISTOGRAMS", "torch")
    assert enhance.histogram_path() == "torch"
    with enhance.use_histogram_path("numba"):
        assert enhance.histogram_path() == "numba"
    monkeypatch.setenv("FACELIGHT_HISTOGRAMS", "cuda")
    with pytest.raises(ValueError, match=r"FACELIGHT_HISTOGRAMS.*'numba'.*'torch'.*'cuda'"):
        enhance.histogram_path()
    with pytest.raises(ValueError, match=r"path.*'fast'"), enhance.use_histogram_path("fast"):
        pass


def test_what_looks_at_the_program_sees_pytorch(monkeypatch):
    """Compiled loops have no graph; a trace through one would keep its result for ever."""
    for module, names in ((_levels_numba, ("count", "blended")), (_clipping_numba, ("opencv_tables",))):
        for name in names:
            monkeypatch.setattr(module, name, None)
    x = pictures("levels", 1, 1, 16, 16)
    traced = torch.jit.trace(lambda v: enhance.clahe(v, 2.0, (2, 2)), x, check_trace=False)
    monkeypatch.undo()
    other = pictures("levels", 1, 1, 16, 16)
    torch.testing.assert_close(traced(other), enhance.clahe(other, 2.0, (2, 2)), rtol=0, atol=1e-6)


def test_the_loops_are_kept_out_of_what_is_installed():
    """What is compiled lies beside the file, or in the user's cache; neither is to be committed."""
    root = Path(__file__).resolve().parents[1]
    ignored = subprocess.run(["git", "check-ignore", "lib/facelight/enhance/__pycache__/x.nbi"], cwd=root)
    assert ignored.returncode == 0
