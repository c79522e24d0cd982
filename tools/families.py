"""Try `with_log_stem` on a network of every family of timm and torchvision; write or check the table of the book.

`write` tries the smallest network of each family and writes book/families.csv. `check` tries the networks
of that table again and fails where something else comes out, or a family is missing. Networks are built on PyTorch's
meta device, without memory and without numbers, so that even the largest takes a second.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import sys
from collections import defaultdict
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn
from tqdm import tqdm

from facelight.layers import LogConv2d, with_log_stem
from facelight.layers._entry import entries

TABLE = Path(__file__).resolve().parents[1] / "book" / "families.csv"
COLUMNS = ("library", "family", "network", "zero_mean", "replaced", "refused")
# Kinds of first layers of which the smallest network of a family has none.
ALSO = ("dm_nfnet_f0", "mobileone_s0", "nf_resnet26", "repvgg_a0", "resnetv2_50x1_bit", "tf_efficientnet_lite0")


def families() -> dict[tuple[str, str], list[str]]:
    """Names of the networks of each family: (library, family), the module that defines them."""
    found: dict[tuple[str, str], list[str]] = {}
    for family in timm.list_modules():
        if names := timm.list_models(module=family):
            found["timm", family] = names
    of_torchvision = defaultdict(list)
    for name in torchvision.models.list_models():
        module = torchvision.models.get_model_builder(name).__module__
        of_torchvision["torchvision", module.removeprefix("torchvision.models.")].append(name)
    return found | dict(sorted(of_torchvision.items()))


def build(library: str, name: str) -> nn.Module:
    """A network without weights, on the meta device where it can be built and run there."""
    if library == "timm":
        make, options = timm.create_model, {"model_name": name}
    else:
        make = torchvision.models.get_model_builder(name)
        known = inspect.signature(make).parameters
        options = {"weights_backbone": None} if "weights_backbone" in known else {}
        options |= {"init_weights": False} if "inception" in name or "googlenet" in name else {}
        if "detection" in make.__module__:  # how many boxes there are is decided by numbers
            return make(**options)
    try:
        with torch.device("meta"):
            return make(**options)
    except (NotImplementedError, RuntimeError):  # it computes with numbers while it is built
        return make(**options)


def outcome(model: nn.Module, *, zero_mean: bool) -> dict[str, str]:
    """The convolutions that were replaced, or why none was.

    Raises:
        AssertionError: the picture enters the copy by something other than a LogConv2d.
    """
    try:
        copy = with_log_stem(model, epsilon=1 / 255, zero_mean=zero_mean)
    except (TypeError, ValueError) as error:
        return {"replaced": "", "refused": str(error).split(": ", 1)[1].split(". ")[0].split(" (1x")[0]}
    names = [name for name, module in copy.named_modules() if isinstance(module, LogConv2d)]
    left = [entry.name for entry in entries(copy) if entry.name not in names]
    assert not left, f"the picture still enters {left} beside {names}"
    return {"replaced": " ".join(names), "refused": ""}


def rows(library: str, family: str, name: str) -> list[dict[str, str]]:
    """What comes out for a network; a second row without zero mean where that makes the difference."""
    model = build(library, name)
    start = {"library": library, "family": family, "network": name}
    tried = [start | {"zero_mean": "yes"} | outcome(model, zero_mean=True)]
    if "kernels of one pixel" in tried[0]["refused"]:
        tried.append(start | {"zero_mean": "no"} | outcome(model, zero_mean=False))
    return tried


def smallest(library: str, names: list[str]) -> str:
    """The network with the fewest parameters."""

    def parameters(name: str) -> int:
        return sum(parameter.numel() for parameter in build(library, name).parameters())

    return min(names, key=parameters)


def read() -> list[dict[str, str]]:
    """The table of the book."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write() -> None:
    """Try every family and write the table."""
    table = []
    for (library, family), names in tqdm(families().items()):
        chosen = [smallest(library, names), *(name for name in ALSO if library == "timm" and name in names)]
        for name in dict.fromkeys(chosen):
            table += rows(library, family, name)
    with TABLE.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def check() -> list[str]:
    """What differs from the table."""
    table, wrong = read(), []
    for library, family in families():
        if not any((row["library"], row["family"]) == (library, family) for row in table):
            wrong.append(f"{library} {family} is not in the table")
    for library, family, name in tqdm(dict.fromkeys((r["library"], r["family"], r["network"]) for r in table)):
        found = rows(library, family, name)
        if found != [row for row in table if row["network"] == name and row["library"] == library]:
            wrong.append(f"{library} {name}: {found}")
    return wrong


def main() -> int:
    """Write or check; the exit status is 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["write", "check"])
    if parser.parse_args().action == "write":
        write()
        return 0
    wrong = check()
    print("\n".join(wrong) or "as in the table")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
