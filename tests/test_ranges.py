"""Values at and beyond the limits of [0, 1]: what rounding leaves is accepted, the rest refused with advice that fits;
where values cannot be looked at, none of them reaches further than 0 or 1 would."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from every_enhancer import METHODS, Function, photo
from facelight import _check, augment, detect, enhance, illumination, losses
from facelight.enhance import _clipping, _refill


def cut(x: Tensor) -> Tensor:
    return detect.crop(x, torch.tensor([1.0, 2.0, 15.0, 19.0]).expand(*x.shape[:-3], 4), (9, 8))


def moved(x: Tensor) -> Tensor:
    landmarks = torch.full((len(x), 68, 2), 0.4)
    return augment.augment_faces(x, landmarks, augment.Augmentation(), torch.Generator().manual_seed(1))[0]


FUNCTIONS: dict[str, Function] = METHODS | {
    "darken": lambda x: illumination.darken(x, 3.0),
    "darken, linear": lambda x: illumination.darken(x, 3.0, linear_light=True, quantize=False),
    "relight": lambda x: illumination.relight(x, 0.4, -0.3, linear_light=True),
    "shade": lambda x: illumination.shade(x, torch.linspace(0, 2, x.shape[-1]), linear_light=True),
    "gamma_correct": lambda x: illumination.gamma_correct(x, 0.4),
    "quantize": illumination.quantize,
    "srgb_to_linear": illumination.srgb_to_linear,
    "linear_to_srgb": illumination.linear_to_srgb,
    "sensor_noise": lambda x: illumination.sensor_noise(x, generator=torch.Generator().manual_seed(0)),
    "to_gray": illumination.to_gray,
    "crop": cut,
    "augment": moved,
}
each = pytest.mark.parametrize("name", FUNCTIONS)
floats = pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])


def resized() -> Tensor:
    """A picture blown out in the middle and black at one side, (2, 1, 24, 20), as `interpolate` leaves it."""
    x = (1.5 * torch.rand(2, 1, 97, 83, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    x[..., 20:60, 20:60] = 1
    x[..., 70:] = 0
    small = F.interpolate(x, (24, 20), mode="bilinear", antialias=True)
    assert small.max() > 1  # the fault of which all this is about
    return small


def pushed(kind: torch.dtype) -> Tensor:
    """A picture (2, 1, 24, 20) whose lightest and darkest pixels are one epsilon beyond white and black."""
    x, eps = photo(2, 1, 24, 20).to(kind), torch.finfo(kind).eps
    x[..., :3, :] = 1 + eps
    x[..., 4:6, 2:7] = -eps
    return x


# What rounding leaves


@each
def test_a_picture_resized_by_torch_is_taken_as_if_clamped(name: str) -> None:
    x = resized()
    before = x.clone()
    assert torch.equal(FUNCTIONS[name](x), FUNCTIONS[name](x.clamp(0, 1)))
    assert torch.equal(x, before)


@each
@floats
def test_an_epsilon_beyond_is_the_limit_with_its_gradient(name: str, kind: torch.dtype) -> None:
    x = pushed(kind)
    beyond, inside = x.clone().requires_grad_(), x.clamp(0, 1).requires_grad_()
    for leaf in (beyond, inside):
        y = FUNCTIONS[name](leaf)
        if y.requires_grad:  # not of `augment`
            y.double().square().sum().backward()
    assert torch.equal(FUNCTIONS[name](beyond), FUNCTIONS[name](inside))
    if name != "augment":
        assert inside.grad is not None
        assert torch.equal(beyond.grad, inside.grad)  # not cut off, as that of a clamp would be


@floats
def test_the_tolerance_is_a_few_epsilons(kind: torch.dtype) -> None:
    step = max(torch.finfo(kind).eps, torch.finfo(torch.float32).eps)
    few = 32 if step < 1e-6 else 2
    assert _check.tolerance(kind) == few * step
    assert _check.tolerance(torch.float32) < 1e-3 / 255
    for value in (1 + few * step, -few * step):
        x = torch.full((1, 1, 2), value, dtype=kind)
        assert _check.images(x).tolist() == [[[min(max(value, 0), 1)] * 2]]
    for value in (1 + (few + 1) * step, -(few + 1) * step):
        with pytest.raises(ValueError, match="clamp"):
            _check.images(torch.full((1, 1, 2), value, dtype=kind))


def test_float32_turned_into_float64_is_accepted_too() -> None:
    x = resized()
    assert _check.images(x.double()).max() == 1


def test_a_picture_inside_is_returned_itself() -> None:
    x, light = torch.tensor([[[0.0, 0.5, 1.0]]]), torch.tensor([0.0, 7.0])
    assert _check.images(x) is x
    assert illumination.to_gray(x) is x
    assert _check.non_negative(light) is light


def test_light_slightly_below_black_is_black() -> None:
    x = torch.tensor([-3e-6, 0.0, 0.5, 70.0], requires_grad=True)
    y = _check.non_negative(x)
    y.square().sum().backward()
    assert y.tolist() == [0, 0, 0.5, 70]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1, 140]
    y = _check.non_negative(x)
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("size", [(5, 5), (64, 64), (31, 17)])
def test_crop_stays_in_the_range(size: tuple[int, int]) -> None:
    """The weights of a pixel add up to 1 + 2e-7: from white, a crop would otherwise be whiter than white."""
    x = torch.ones(1, 3, 997, 1003)
    box = torch.tensor([[0.0, 0.0, 1003.0, 997.0]])
    assert F.interpolate(x, size, mode="bilinear", antialias=True).max() > 1
    y = detect.crop(x.requires_grad_(), box, size)
    assert y.max() == 1
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.sum().item() == pytest.approx(y.numel(), rel=1e-4)  # white passes its gradient


def test_a_resized_heatmap_as_target_has_a_finite_gradient() -> None:
    """With alpha = 2 a target of 1 + 2e-7 would make the exponent less than 1, and the slope at no error infinite."""
    target = torch.tensor([1 + 2e-7, 0.3, -2e-7])
    assert target.max() > 1
    pred = target.clone().requires_grad_()
    loss = losses.adaptive_wing_loss(pred, target, alpha=2.0, reduction="none")
    loss.sum().backward()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()
    assert torch.equal(loss, losses.adaptive_wing_loss(pred, target.clamp(0, 1), alpha=2.0, reduction="none"))


# What is refused, and the advice


def span(low: float, high: float, kind: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor([[[low, high]]], dtype=kind)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (span(0, 1.00001), r"got \[0.0, 1.00001\]: clamp what resizing or noise leaves outside with x.clamp\(0, 1\)"),
        (span(0.1, 1 + 1e-5, torch.float64), r"got \[0.1, 1.00001\]: clamp"),
        (span(0, 1 + 2**-15), r"got \[0.0, 1.0000305\]: clamp"),
        (span(0, 1.0625, torch.bfloat16), r"got \[0.0, 1.0625\]: clamp"),
        (span(-0.124, 1.003), r"got \[-0.124, 1.003\]: clamp"),
        (span(-0.0001, 0.2), r"got \[-1e-04, 0.2\]: clamp"),
        (span(-2.1179, 2.64), r"got \[-2.1179, 2.64\]: undo mean/std normalization, x \* std \+ mean, or clamp noise"),
        (span(-1, 1), r"got \[-1.0, 1.0\]: undo mean/std normalization"),
        (span(0, 255), r"got \[0.0, 255.0\]: divide 8-bit images by 255, x / 255, 16-bit ones by 65535$"),
        (span(-11, 269), r"got \[-11.0, 269.0\]: divide 8-bit images by 255, x / 255, .*, then clamp"),
        (span(0, 65535), r"got \[0.0, 65535.0\]: divide 16-bit images by 65535, x / 65535, 12-bit ones by 4095$"),
        (span(3, 4095), r"divide 16-bit images by 65535, x / 65535, 12-bit ones by 4095$"),
        (span(0, 1e6), r"got \[0.0, 1e\+06\]: divide by the value of white"),
        (span(0, float("inf")), r"expected finite values, got \[0.0, inf\]: look for an overflow or a division"),
        (span(float("-inf"), 1), r"expected finite values, got \[-inf, 1.0\]: look for"),
        (span(float("nan"), 1), "contains NaN; look for a division by zero"),
    ],
)
def test_the_message_says_the_value_and_what_fits_it(x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^x: .*{message}"):
        enhance.clahe(x, grid_size=(1, 1))


def test_the_advice_fits_a_name_that_is_an_expression() -> None:
    with pytest.raises(ValueError, match=r"^x / 255: .*with \(x / 255\).clamp\(0, 1\)"):
        _check.images(span(0, 1.1), "x / 255")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (torch.uint8, r"got torch.uint8: divide 8-bit images by 255, x.float\(\) / 255 or torchvision's v2.ToDtype"),
        (torch.uint16, r"got torch.uint16: divide 16-bit images by 65535, x.float\(\) / 65535$"),
        (torch.int16, r"got torch.int16: convert it with x.float\(\), and divide images of 16 bits by 65535"),
        (torch.int32, r"got torch.int32: convert it with x.float\(\), and divide images of 16 bits by 65535"),
        (torch.int64, r"got torch.int64: convert it with x.float\(\), and divide images of 16 bits by 65535"),
        (torch.bool, r"got torch.bool: convert it with x.float\(\)$"),
    ],
)
def test_whole_numbers_get_the_divisor_of_their_type(kind: torch.dtype, message: str) -> None:
    x = torch.ones(1, 2, 2, dtype=kind)
    for function in (enhance.equalize, illumination.quantize, cut, detect.detect_faces):
        with pytest.raises(TypeError, match=rf"^x: expected a floating-point image in \[0, 1\], {message}"):
            function(x)


def test_what_is_no_picture_gets_no_divisor_of_pictures() -> None:
    with pytest.raises(TypeError, match=r"got torch.int64: convert it with clip_limit.float\(\)$"):
        enhance.clahe(torch.zeros(1, 8, 8), torch.tensor(2))
    with pytest.raises(TypeError, match=r"pred: .*got torch.uint16: divide 16-bit images by 65535, pred.float\(\)"):
        losses.wing_loss(torch.zeros(2, dtype=torch.uint16), torch.zeros(2))


@pytest.mark.parametrize(
    ("low", "message"),
    [
        (-0.124, r"got \[-0.124, 2.0\]: clamp what a bicubic resize or noise leaves below 0 with x.clamp\(min=0\)"),
        (-1e-5, r"got \[-1e-05, 2.0\]: clamp"),
        (-2.1, r"got \[-2.1, 2.0\]: pass the image itself, in \[0, 1\], and leave out mean/std"),
        (float("-inf"), r"expected finite values, got \[-inf, 2.0\]: look for"),
    ],
)
def test_light_below_black_gets_advice_too(low: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _check.non_negative(torch.tensor([low, 2.0]))


# Where values cannot be looked at


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: no decision looks at a value."""
    monkeypatch.setattr(_check, "readable", lambda x: False)


def spoiled() -> Tensor:
    """Three pictures, (3, 1, 23, 19): the first two have pixels far out, the third has none."""
    x = photo(3, 1, 23, 19)
    x[0, 0, 3, 3], x[0, 0, 20, 2], x[0, 0, 22, 18] = 1.1, -0.05, 1.1
    x[1, 0, 5, 5], x[1, 0, 0, 0], x[1, 0, 22, 18], x[1, 0, 7, 7] = 1e30, -1e30, torch.inf, -torch.inf
    return x


@each
def test_unseen_values_are_clamped(name: str, unseen: None) -> None:
    x = spoiled()
    leaf = x.clone().requires_grad_()
    y, clean = FUNCTIONS[name](leaf), FUNCTIONS[name](x.clamp(0, 1))
    assert torch.equal(y, clean)
    assert 0 <= y.min() <= y.max() <= 1
    if y.requires_grad:
        y.square().sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad[x != x.clamp(0, 1)].eq(0).all()


@each
def test_seen_and_unseen_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = photo(2, 1, 23, 19)
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    seen = FUNCTIONS[name](leaf)
    monkeypatch.setattr(_check, "readable", lambda x: False)
    unseen = FUNCTIONS[name](other)
    assert torch.equal(seen, unseen)
    if seen.requires_grad:
        seen.square().sum().backward()
        unseen.square().sum().backward()
        torch.testing.assert_close(leaf.grad, other.grad, atol=1e-4, rtol=1e-4)


@each
def test_an_unseen_nan_spoils_its_own_picture_at_most(name: str, unseen: None) -> None:
    x = photo(3, 1, 23, 19)
    expected = FUNCTIONS[name](x)
    x[1, 0, 8, 9] = torch.nan
    y = FUNCTIONS[name](x)
    torch.testing.assert_close(y[[0, 2]], expected[[0, 2]])
    assert y[1].isnan().any()


@pytest.mark.parametrize("name", [n for n in METHODS if n.startswith(("equalize", "ahe", "clahe", "bbhe", "gamma"))])
def test_compiled_code_clamps(name: str) -> None:
    torch._dynamo.reset()
    x = spoiled()
    compiled = torch.compile(METHODS[name], backend="eager")
    assert torch.allclose(compiled(x), METHODS[name](x.clamp(0, 1)), atol=1e-5)


@pytest.mark.parametrize("name", ["equalize", "clahe", "clahe, matlab, continuous", "bbhe", "tan_triggs", "gamma"])
def test_exported_programs_clamp(name: str) -> None:
    class Layer(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return METHODS[name](x)

    x = spoiled()
    program = torch.export.export(Layer(), (photo(3, 1, 23, 19),), strict=False).module()
    assert torch.allclose(program(x), METHODS[name](x.clamp(0, 1)), atol=1e-5)


@pytest.mark.parametrize("name", ["gbie", "gamma", "log_stretch", "tan_triggs", "local_contrast_normalize"])
@pytest.mark.filterwarnings("ignore")
def test_traced_and_mapped_functions_clamp(name: str) -> None:
    x = spoiled()
    expected = METHODS[name](x.clamp(0, 1))
    traced = torch.jit.trace(METHODS[name], (photo(3, 1, 23, 19),), check_trace=False)
    assert torch.allclose(traced(x), expected, atol=1e-5)
    assert torch.allclose(torch.func.vmap(METHODS[name])(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("limit", "nearest"), [(-0.1, 0.0), (-7.0, 0.0), (1.5, 1.0), (float("inf"), 1.0), (float("nan"), 0.0)]
)
def test_an_unseen_limit_out_of_range_does_not_hang(
    limit: float, nearest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MATLAB's rule would look forever for bins below the limit; a limit on a GPU is not checked."""
    monkeypatch.setattr(_refill, "itertools", SimpleNamespace(cycle=lambda starts: list(starts)))  # end in an error
    counts = torch.zeros(1, 256)
    counts[:, 40] = 256

    def table(c: float) -> Tensor:
        count = _clipping.largest_count(torch.tensor([[c]], dtype=torch.float64), 256, "matlab")
        return _clipping.matlab_tables(counts, (count + 0.5).floor(), 256)

    assert torch.equal(table(limit), table(nearest))


# Whether they can


def test_readable() -> None:
    seen: list[bool] = []

    def look(x: Tensor) -> Tensor:
        seen.append(_check.readable(x))
        return 2 * x

    x = torch.rand(2, 3)
    for run, expected in (
        (look, True),
        (torch.func.grad(lambda v: look(v).sum()), True),
        (torch.func.vmap(look), False),
        (torch.func.vmap(torch.func.grad(lambda v: look(v).sum())), False),
        (torch.func.grad(lambda v: torch.func.vmap(look)(v).sum()), False),
        (torch.func.functionalize(look), True),
    ):
        seen.clear()
        run(x)
        assert seen == [expected]
    seen.clear()
    torch.func.vmap(lambda v: look(x) + v)(x)  # x itself is not mapped over
    assert seen == [True]
    with FakeTensorMode():
        assert not _check.readable(torch.rand(2))
    assert not _check.readable(torch.rand(2, device="meta"))
    assert _check.readable(torch.nn.Parameter(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["compile", "export", "trace", "onnx", "old onnx"])
def test_nothing_is_readable_while_a_program_is_recorded(how: str) -> None:
    seen: list[bool] = []

    class Layer(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if _check.readable(x) else x + 2

    def note(module: Any, inputs: Any) -> None:
        seen.append(_check.readable(inputs[0]))

    x, layer = torch.rand(2, 3), Layer()
    if how == "compile":
        torch._dynamo.reset()
        assert torch.equal(torch.compile(layer, fullgraph=True, backend="eager")(x), x + 2)
        return
    if how == "export":
        assert torch.equal(torch.export.export(layer, (x,)).module()(x), x + 2)
        return
    layer.register_forward_pre_hook(note)
    if how == "trace":
        assert torch.equal(torch.jit.trace(layer, (x,), check_trace=False)(x), x + 2)
    else:
        torch.onnx.export(layer, (x,), io.BytesIO(), dynamo=how == "onnx", verbose=False)
    assert seen
    assert not any(seen)
