"""Who is trained on and who is tested: splits that are functions of a data set and a seed alone. No training here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facelight import _check
from facelight.data.ar import ArFaces
from facelight.data.pie import PieFaces, PoseFaces
from facelight.data.samples import LitFaces

PROTOCOLS = ("random", "subset 1", "held-out lights", "one image", "one flash", "room light", "even light")
SHARE = 0.2  # of pictures ("random") or lights ("held-out lights") that are for training
FRONTAL = 27  # camera of "one flash"
FLASHES = 21
_OTHERS = {PieFaces: "'random', 'one flash' or 'room light'", ArFaces: "'random' or 'even light'"}  # without angles


@dataclass(frozen=True)
class Split:
    """Positions of pictures in a set, disjoint.

    Args:
        train: (M,), int64, ascending.
        test: (N,), int64, ascending.
    """

    train: Tensor
    test: Tensor


def split(faces: LitFaces, protocol: str, seed: int = 0) -> Split:
    """Which pictures are for training and which for testing.

    - "random": round(0.2 n) of each person's n pictures, drawn at random, are for training, all others for testing:
      probably the M-CLAHE paper's split. Nearly every light of a test picture is among the training pictures of others.
    - "subset 1": subset 1, where the light is within 12 degrees of the camera, is for training, the other subsets for
      testing. The seed does not matter.
    - "held-out lights": round(0.2 L) of the L directions of light, drawn at random and the same for all people, are for
      training, and pictures under all others for testing: about as many pictures as with "random", no light shared.
    - "one image": the picture of each person under the light (0, 0) is for training, all others for testing. The seed
      does not matter.
    - "one flash": of the frontal camera's pictures with a flash and without room lights, those of flash number
      1 + (4 + 8 seed) mod 21 in the order of the files are for training, those of the others for testing. Nobody can
      be known who has no picture under that flash: subject 38 lacks the flashes 9 to 11 and is then left out of the
      test (67 people instead of 68).
    - "room light": pictures with room lights and without a flash are for training, those with a flash and without room
      lights for testing, of all cameras and sessions. The seed does not matter.
    - "even light": pictures of session 1 in even light, four expressions, are for training, those with light from one
      side or both, of both sessions, for testing. The seed does not matter.

    The first works with every set; the next three need the directions of the lights, which CMU PIE and AR lack; the
    next two are for CMU PIE, as `facelight.data.pie.load` returns it, the last for AR, see `facelight.data.ar.load`.

    Args:
        faces: N pictures.
        protocol: one of `PROTOCOLS`.
        seed: of what is drawn.

    Raises:
        ValueError: an unknown protocol, one that does not fit the set, too few pictures of a person or too few lights,
            or a person in the test who is not in the training part; names the person and one of the pictures.

    Source: Bendjillali et al. (2020), doi:10.11591/ijeecs.v18.i2.pp1015-1027 (a fifth for training; how it was drawn is
        not said); Georghiades, Belhumeur, Kriegman (2001), doi:10.1109/34.927464 (the subsets).
    """
    _check.one_of(protocol, PROTOCOLS, "protocol")
    if protocol in ("one flash", "room light"):
        train, test = _of_pie(faces, protocol, seed)
        return _checked(faces, protocol, train.nonzero()[:, 0], test.nonzero()[:, 0])
    if protocol == "even light":
        return _checked(faces, protocol, *_of_ar(faces))
    generator, everything = torch.Generator().manual_seed(seed), torch.arange(len(faces))
    if protocol == "random":
        train = _some_of_each_person(faces, everything, SHARE, 5, generator)
    elif protocol == "held-out lights":
        train = _some_lights(faces, everything, SHARE, 5, generator)
    elif protocol == "subset 1":
        _need_lights(faces)
        train = everything[faces.subset == 1]
    else:
        _need_lights(faces)
        train = everything[(faces.azimuth == 0) & (faces.elevation == 0)]
    return _checked(faces, protocol, train, _without(everything, train))


def validation(faces: LitFaces, train: Tensor, protocol: str, seed: int = 0, share: float = 0.25) -> Split:
    """Divides the training positions again, to tune on a part of them; the test positions are not looked at.

    With "held-out lights" the pictures under round(share * L) of the L training lights are for validation (`test` of
    what is returned); with the others round(share * n) of each person's n training pictures. At least one.

    Args:
        faces: the set that was split.
        train: positions, `Split.train`.
        protocol: that made them.
        seed: of what is drawn.
        share: in (0, 1).

    Raises:
        ValueError: as `split`; or the protocol is "one image" or "one flash", which leave no picture to spare.
    """
    _check.one_of(protocol, PROTOCOLS, "protocol")
    if protocol in ("one image", "one flash"):
        raise ValueError(f"protocol {protocol!r}: each person has one training picture: choose settings on another set")
    if not 0 < share < 1:
        raise ValueError(f"share: expected a number in (0, 1), got {share}")
    generator = torch.Generator().manual_seed(seed)
    draw = _some_lights if protocol == "held-out lights" else _some_of_each_person
    held = draw(faces, train, share, 2, generator)
    return _checked(faces, protocol, _without(train, held), held)


def groups(faces: LitFaces) -> Tensor:
    """What rates are reported by, (N,), int64: the camera for CMU PIE, the illumination subset for all others.

    For AR session and subset: 23 is session 2, light from the person's right.
    """
    if isinstance(faces, ArFaces):
        return 10 * faces.session + faces.subset
    return faces.camera if isinstance(faces, PieFaces | PoseFaces) else faces.subset


def leak(faces: LitFaces, parts: Split) -> dict[str, float]:
    """How far the lights of the test pictures are from those that were trained on.

        angle(p) = min_t  angle between l_p and l_t,   t: the training pictures of the person in the test picture p

    l = (sin A cos E, sin E, cos A cos E) is the unit vector to the light at azimuth A and elevation E. Where a person
    has one picture under each light, as in Yale B, nobody is tested under a light of their own training pictures: what
    "random" lets through is the light as it was seen on others.

    Args:
        faces: the set that was split.
        parts: its split.

    Returns:
        `shared`, the share of test pictures whose exact light occurs in training, with any person; `mean` and `median`
        of the angle in degrees.

    Raises:
        ValueError: the set lacks the directions of the lights, or a person in the test is not in training.
    """
    _need_lights(faces)
    _checked(faces, "leak", parts.train, parts.test)
    light = _lights(faces)
    a, e = torch.deg2rad(faces.azimuth.double()), torch.deg2rad(faces.elevation.double())
    vector = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], 1)
    nearest = []
    for person in faces.identity[parts.test].unique():
        u, v = (vector[part[faces.identity[part] == person]] for part in (parts.test, parts.train))
        difference, total = (u[:, None] - v).norm(dim=2), (u[:, None] + v).norm(dim=2)
        nearest.append(2 * torch.atan2(difference, total).amin(1))  # arccos would lose small angles
    angles = np.degrees(torch.cat(nearest).numpy())
    shared = torch.isin(light[parts.test], light[parts.train]).double().mean().item()
    return {"shared": shared, "mean": float(angles.mean()), "median": float(np.median(angles))}


def _of_pie(faces: LitFaces, protocol: str, seed: int) -> tuple[Tensor, Tensor]:
    """Masks of the training and of the test pictures."""
    if not isinstance(faces, PieFaces):
        raise ValueError(f"protocol {protocol!r}: expected CMU PIE from facelight.data.pie.load(), got {faces.source}")
    flash_only = (faces.flash > 0) & ~faces.room_lights
    if protocol == "room light":
        return faces.room_lights & (faces.flash == 0), flash_only
    frontal = flash_only & (faces.camera == FRONTAL)
    train = frontal & (faces.flash == 1 + (4 + 8 * seed) % FLASHES)
    return train, frontal & ~train & torch.isin(faces.identity, faces.identity[train])


def _of_ar(faces: LitFaces) -> tuple[Tensor, Tensor]:
    """Positions of the training and of the test pictures."""
    if not isinstance(faces, ArFaces):
        raise ValueError(f"protocol 'even light': expected AR from facelight.data.ar.load(), got {faces.source}")
    even = faces.subset == 1
    return (even & (faces.session == 1)).nonzero()[:, 0], (~even).nonzero()[:, 0]


def _need_lights(faces: LitFaces) -> None:
    if bool((faces.azimuth.isnan() | faces.elevation.isnan()).any()):
        kind = next((kind for kind in _OTHERS if isinstance(faces, kind)), LitFaces)
        others = _OTHERS.get(kind, "'random'")
        raise ValueError(
            f"{faces.source}: the directions of the lights are not known, only the protocol {others} can be used"
        )


def _lights(faces: LitFaces) -> Tensor:
    """Number of the direction of each picture's light."""
    directions = torch.stack([faces.azimuth, faces.elevation], 1)
    return directions.unique(dim=0, return_inverse=True)[1]


def _some_of_each_person(
    faces: LitFaces, among: Tensor, share: float, least: int, generator: torch.Generator
) -> Tensor:
    """The positions of round(share * n) of each person's n pictures, at least one, drawn at random."""
    chosen = [among[:0]]
    for person in faces.identity[among].unique():
        own = among[faces.identity[among] == person]
        if len(own) < least:
            raise ValueError(
                f"{faces.source}: person {int(person)} has {len(own)} picture(s) to draw from, such as "
                f"{faces.name[own[0]]!r}: expected at least {least}; leave the person out, or add pictures"
            )
        chosen.append(own[torch.randperm(len(own), generator=generator)[: max(1, round(share * len(own)))]])
    return torch.cat(chosen).sort().values


def _some_lights(faces: LitFaces, among: Tensor, share: float, least: int, generator: torch.Generator) -> Tensor:
    """The positions of the pictures under round(share * L) of the L lights, at least one, drawn at random."""
    _need_lights(faces)
    light = _lights(faces)[among]
    kinds = light.unique()
    if len(kinds) < least:
        raise ValueError(f"{faces.source}: {len(kinds)} directions of light to draw from: expected at least {least}")
    drawn = kinds[torch.randperm(len(kinds), generator=generator)[: max(1, round(share * len(kinds)))]]
    return among[torch.isin(light, drawn)]


def _without(positions: Tensor, others: Tensor) -> Tensor:
    return positions[~torch.isin(positions, others)]


def _checked(faces: LitFaces, protocol: str, train: Tensor, test: Tensor) -> Split:
    """The split, after a look whether there is something to test and everybody in the test was trained on."""
    if not len(train) or not len(test):
        raise ValueError(
            f"{faces.source}, protocol {protocol!r}: {len(train)} pictures for training and {len(test)} for testing: "
            "expected some of each; load the complete set, or use another protocol"
        )
    lost = test[~torch.isin(faces.identity[test], faces.identity[train])]
    if len(lost):
        raise ValueError(
            f"{faces.source}, protocol {protocol!r}: person {int(faces.identity[lost[0]])} is tested, with "
            f"{faces.name[lost[0]]!r}, but has no picture for training: leave the person out, or use another protocol"
        )
    return Split(train, test)
