"""What identifies a recognition run: `Recognition`."""

from __future__ import annotations

from dataclasses import dataclass, field

from facelight import _check, train
from facelight_lab.enhancers import Enhancer
from facelight_lab.recognition import competitors, protocols
from facelight_lab.recognition.networks import Network

DATASETS = ("yaleb", "pie", "ar", "synthetic")


@dataclass(frozen=True)
class Recognition:
    """Train on some pictures, name the others.

    A picture is resized, bilinearly with antialiasing, rounded to gray levels, and only then enhanced.

    Args:
        dataset: "yaleb", "pie", "ar" or "synthetic", rendered faces under the lights of Extended Yale B.
        protocol: who is trained on and who is tested, see `protocols.split`.
        enhancer: with its settings.
        seed: of the split and, for a network, of weights, batches and changes.
        size: (H, W) of the pictures that are enhanced and compared.
        methods: of `competitors.METHODS`; with a network none, or "kernel ridge".
        network: what is trained. "kernel ridge" beside it sees the same pictures without the enhancer, and its values
            are added to the network's probabilities.
    """

    dataset: str = "yaleb"
    protocol: str = "random"
    enhancer: Enhancer = field(default_factory=Enhancer)
    seed: int = 0
    size: tuple[int, int] = (96, 84)
    methods: tuple[str, ...] = ()
    network: Network | None = None

    def __post_init__(self) -> None:
        _check.one_of(self.dataset, DATASETS, "dataset")
        _check.one_of(self.protocol, protocols.PROTOCOLS, "protocol")
        for method in self.methods:
            _check.one_of(method, tuple(competitors.METHODS), "methods")
        if not isinstance(self.enhancer, Enhancer):
            raise TypeError(f"enhancer: expected an Enhancer, got {self.enhancer!r}: write Enhancer({self.enhancer!r})")
        if not self.methods and self.network is None:
            raise ValueError("methods, network: expected one of them: name methods or give a network")
        if self.network is not None and self.methods not in ((), ("kernel ridge",)):
            raise ValueError(f"methods: expected none, or only 'kernel ridge', beside a network, got {self.methods}")

    @property
    def device(self) -> str:
        """Where the run takes place; not part of what identifies it."""
        return "cpu" if self.network is None else train.best_device()
