"""Several processes that train one network: the numbers of one process, one checkpoint, one record of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facelight import distributed, train
from facelight.train import Recipe
from patience import python

IMAGES = torch.rand((19, 1, 9, 9), generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(19) % 3
RECIPE = Recipe(3, 7, learning_rate=0.01, weight_decay=0.1, warmup=0.1, clip=0.5, bf16=False)  # 7, 6 and 6 pictures


def net() -> nn.Module:
    """Without batch normalization and dropout, which differ between one process and several."""
    train.seed_everything(1)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.Flatten(), nn.Linear(72, 3))


def noisy(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return IMAGES[index] + 0.3 * torch.randn(IMAGES[index].shape, generator=generator), LABELS[index]


def learn(checkpoint: Path | None = None, recipe: Recipe = RECIPE) -> tuple[nn.Module, train.Curve]:
    model = net()
    watch = lambda model: {"mean": model(IMAGES).mean().item()}  # noqa: E731
    options = {"seed": 4, "checkpoint": checkpoint, "seconds_between_saves": 0.0, "on_epoch_end": watch}
    return model, train.fit(model, noisy, 19, F.cross_entropy, recipe, **options)


WORK = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_distributed as t
import test_runs as runs
from facelight import distributed, train
from facelight_lab.runs import measure_all
from facelight_lab.results import records

records._git = lambda *words: None
folder = Path(sys.argv[2])
os.environ["FACELIGHT_RESULTS"] = str(folder / "results")
with distributed.process_group() as rank:
    assert (distributed.rank(), distributed.world_size()) == (rank, 2)
    rows = distributed.shard(torch.arange(7)).tolist()
    assert rows == [[0, 1, 2, 3], [4, 5, 6]][rank]
    model, curve = t.learn(folder / "run.pt")
    torch.save({"state": model.state_dict(), "curve": curve}, folder / f"end{rank}.pt")
    _, again = t.learn(folder / "run.pt")  # nothing is left to do, in any of them
    assert again == curve
    try:
        t.learn(recipe=t.replace(t.RECIPE, batch=1))
    except ValueError as error:
        told = str(error)

    log = []

    def measure(config, faces, place):
        log.append(config.name)
        return {"rank": rank, "total": distributed.all_reduce_mean(torch.tensor(float(rank + 1)))}, "all", 2

    first = measure_all(runs.toys(runs.TOYS[:3], measure))
    second = measure_all(runs.toys(runs.TOYS[:4], measure))
    assert [item.metrics["rank"] for item in second] == [0] * 4
    assert {item.provenance["device"] for item in second} == {"cpu, 2 processes"}
    assert [item.metrics["total"] for item in second] == [1.5] * 4
    (folder / f"log{rank}.json").write_text(json.dumps({"log": log, "told": told}))
assert (distributed.rank(), distributed.world_size()) == (0, 1)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind, started by `torchrun`."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "work.py").write_text(WORK)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = python(*start, str(folder / "work.py"), str(Path(__file__).parent), str(folder), OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_learn_what_one_does(two: Path) -> None:
    """Order, augmentation, uneven shares, clipping, the loss of an epoch: all as in one process."""
    model, curve = learn()
    for rank in (0, 1):
        found = torch.load(two / f"end{rank}.pt")
        for name, values in curve.items():
            assert found["curve"][name] == pytest.approx(values, rel=1e-4)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(found["state"][name], value, rtol=1e-3, atol=1e-4)
    zero, one = (torch.load(two / f"end{rank}.pt") for rank in (0, 1))
    assert zero["curve"] == one["curve"]
    assert all(torch.equal(zero["state"][name], value) for name, value in one["state"].items())
    plain = net().state_dict()
    assert max((plain[name] - value).abs().max() for name, value in one["state"].items()) > 0.01


def test_the_checkpoint_belongs_to_two_processes(two: Path) -> None:
    with pytest.raises(train.CheckpointError, match="4 in 2 processes\nnot to"):
        learn(two / "run.pt")
    assert torch.load(two / "run.pt", weights_only=True)["epoch"] == 3


def test_a_run_is_measured_by_both_and_recorded_once(two: Path) -> None:
    for rank in (0, 1):
        found = json.loads((two / f"log{rank}.json").read_text())
        assert found["log"] == ["a", "b", "c", "d"]  # what is recorded is not measured again
        assert found["told"] == "a batch of 1 cannot be shared by 2 processes: enlarge `batch`, or start fewer"
    assert len(list((two / "results" / "toy").glob("*.json"))) == 4


def test_alone_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(3, 2)
    model = net()
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.process_group() as rank:
        assert rank == 0
        assert (distributed.rank(), distributed.world_size()) == (0, 1)
        assert distributed.shard(x) is x
        assert distributed.data_parallel(model) is model
        assert distributed.weighted(x, 1, 3) is x
        assert distributed.all_reduce_mean(x[0, 0]) == x[0, 0].item()
        assert distributed.broadcast(model) is model
    assert not torch.distributed.is_initialized()


def test_weights_of_uneven_shares_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means 2 over four rows and 5 over three: the mean over seven is (8 + 15) / 7."""
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    parts = [distributed.weighted(torch.tensor(value), rows, 7).item() for value, rows in ((2.0, 4), (5.0, 3))]
    assert sum(parts) / 2 == pytest.approx(23 / 7)


def test_a_recipe_of_one_process_is_not_told_how_many(tmp_path: Path) -> None:
    learn(tmp_path / "run.pt", replace(RECIPE, epochs=1))
    assert "processes" not in torch.load(tmp_path / "run.pt", weights_only=True)["identity"]
