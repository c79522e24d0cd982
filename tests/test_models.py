"""Landmark networks and face classifiers: shapes, stems, ImageNet weights through the real download path."""

import copy
import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from facelight.layers import LogConv2d
from facelight.models import CosineLinear, face_classifier, landmark_regressor

LOG_STEM = functools.partial(LogConv2d.from_conv, epsilon=1 / 255, zero_mean=True)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def light(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# landmark_regressor


@pytest.mark.parametrize(
    ("backbone", "features"), [("resnet18", 512), ("resnet18_c4", 256), ("resnet34", 512), ("resnet50", 2048)]
)
def test_landmark_regressor_shape_and_head(backbone, features):
    model = landmark_regressor(backbone, 68, head_width=40, dropout=0.3).eval()
    y = model(light(2, 3, 48, 64))
    assert y.shape == (2, 68, 2)
    assert y.dtype == torch.float32
    first, activation, drop, last = model.body.fc
    assert (first.in_features, first.out_features, last.out_features) == (features, 40, 136)
    assert isinstance(activation, nn.ReLU)
    assert drop.p == 0.3


def test_landmark_regressor_defaults_are_the_paper():
    model = landmark_regressor()
    assert len(model.body.layer3) == 6  # ResNet-34
    assert model.body.fc[-1].out_features == 196
    assert isinstance(model.normalize, nn.Identity)


def test_landmarks_are_x_y_pairs_of_the_head_s_output():
    model = landmark_regressor("resnet18", 5).eval()
    x = light(2, 3, 32, 32)
    assert torch.equal(model(x).flatten(1), model.body(x))


def test_coordinates_are_not_rounded_to_bfloat16():
    """Where autocast rounds, a coordinate near 0.7 is a multiple of 1/256."""
    torch.manual_seed(2)
    model = landmark_regressor("resnet18", 5).eval()
    nn.init.constant_(model.body.fc[-1].bias, 0.7)
    nn.init.normal_(model.body.fc[-1].weight, std=0.01)
    x = light(4, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
        rounded = nn.functional.linear(torch.ones(1, 512), model.body.fc[-1].weight, model.body.fc[-1].bias)
    assert y.dtype == torch.float32
    assert rounded.dtype == torch.bfloat16
    steps = 256 * y
    assert (steps - steps.round()).abs().max() > 0.05
    torch.testing.assert_close(y, model(x), rtol=0.02, atol=0.005)
    last = model.body.fc[-1]
    features = torch.rand(2, 512)
    torch.testing.assert_close(last(features), features @ last.weight.T + last.bias)


def test_batch_equals_loop_and_gray_equals_its_three_copies():
    model = landmark_regressor("resnet18", 5, stem=LOG_STEM).eval()
    x = light(3, 1, 32, 32)
    y = model(x)
    torch.testing.assert_close(y, torch.cat([model(one[None]) for one in x]), rtol=1e-4, atol=1e-5)
    assert torch.equal(model(x.expand(-1, 3, -1, -1)), y)


@pytest.mark.parametrize("build", [landmark_regressor, face_classifier])
def test_stem_replaces_the_first_convolution_and_keeps_its_weights(build):
    seen = []

    def stem(conv):
        seen.append(copy.deepcopy(conv))
        return LOG_STEM(conv)

    model = build("resnet18", 4, stem=stem)
    assert len(seen) == 1
    assert isinstance(model.body.conv1, LogConv2d)
    assert torch.equal(model.body.conv1.weight, seen[0].weight)
    assert model.body.conv1.stride == (2, 2)


def test_landmark_regressor_learns_and_reloads_strictly(tmp_path):
    torch.manual_seed(0)
    model = landmark_regressor("resnet18", 5, stem=LOG_STEM, dropout=0.0)
    x, target = light(4, 3, 32, 32), light(4, 5, 2, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = (model(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = landmark_regressor("resnet18", 5, stem=LOG_STEM)
    other.load_state_dict(torch.load(tmp_path / "model.pt"), strict=True)
    assert torch.equal(other.eval()(x), model.eval()(x))


@pytest.mark.slow
def test_exports_to_onnx_with_the_same_numbers(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = landmark_regressor("resnet18", 5, stem=LOG_STEM).eval()
    x = light(2, 3, 32, 32)
    torch.onnx.export(model, (x,), str(tmp_path / "model.onnx"), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(y, model(x).detach().numpy(), rtol=1e-3, atol=1e-4)


# face_classifier


@pytest.mark.parametrize(
    ("backbone", "size", "drops"),
    [
        ("resnet18", (40, 33), []),
        ("resnet34", (32, 32), []),
        ("resnet50", (32, 32), []),
        ("vgg16", (48, 40), [0.5, 0.5]),
        ("vgg16_small", (48, 42), [0.5, 0.5]),
        ("inception_v3", (75, 80), [0.5]),
    ],
)
def test_face_classifier_shapes_dropout_and_stem(backbone, size, drops):
    torch.manual_seed(0)
    model = face_classifier(backbone, 7, stem=LOG_STEM)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == drops
    assert sum(isinstance(m, LogConv2d) for m in model.modules()) == 1
    for training in (True, False):
        y = model.train(training)(light(2, 3, *size))
        assert isinstance(y, torch.Tensor)  # no auxiliary output
        assert y.shape == (2, 7)
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("backbone", ["resnet18", "vgg16", "inception_v3"])
def test_face_classifier_dropout_is_settable(backbone):
    with torch.device("meta"):  # the structure without the numbers
        model = face_classifier(backbone, 3, dropout=0.2)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.2}


# ImageNet weights


def publish(tmp_path, monkeypatch, backbone, name=None, **options):
    """Save a random torchvision network under the name its hash demands and point the weights entry at it."""
    torch.manual_seed(1)
    network = torchvision.models.get_model(backbone, weights=None, **options)
    path = tmp_path / "served" / "weights.pth"
    path.parent.mkdir()
    torch.save(network.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    path = path.rename(path.with_name(name or f"{backbone}-{digest}.pth"))
    entry = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
    monkeypatch.setattr(entry.value, "url", path.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return network, path, entry


@pytest.fixture
def server(tmp_path):
    """A web server on this machine for the folder of published weights."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "served"))

        def log_message(self, format, *args):
            requests.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", requests
        running.shutdown()


def test_imagenet_weights_are_downloaded_once_and_normalized(tmp_path, monkeypatch, server):
    address, requests = server
    network, path, entry = publish(tmp_path, monkeypatch, "resnet18")
    monkeypatch.setattr(entry.value, "url", f"{address}/{path.name}")
    models = [face_classifier("resnet18", 4, weights="imagenet").eval() for _ in range(2)]
    assert requests == [f"/{path.name}"]
    assert (tmp_path / "home" / "hub" / "checkpoints" / path.name).exists()
    network.fc = models[0].body.fc
    network.eval()
    x = light(2, 3, 32, 32)
    torch.testing.assert_close(models[0](x), network((x - MEAN) / STD))
    assert "normalize.mean" not in models[0].state_dict()  # the same keys with and without


def test_imagenet_weights_under_a_log_stem_are_not_normalized(tmp_path, monkeypatch):
    network, _, _ = publish(tmp_path, monkeypatch, "resnet34")
    model = landmark_regressor(weights="imagenet", stem=LogConv2d.from_conv).eval()
    network.fc = model.body.fc
    x = light(2, 3, 32, 32)
    torch.testing.assert_close(model(x).flatten(1), network.eval()(torch.log1p(x)), rtol=1e-4, atol=1e-5)


def test_inception_weights_drop_the_auxiliary_head_and_center_the_input(tmp_path, monkeypatch):
    network, _, _ = publish(
        tmp_path, monkeypatch, "inception_v3", init_weights=False, aux_logits=True, transform_input=True
    )
    model = face_classifier("inception_v3", 4, weights="imagenet").eval()
    assert model.body.AuxLogits is None
    network.fc = model.body.fc
    x = light(1, 3, 75, 75)
    torch.testing.assert_close(model.normalize(x), network._transform_input((x - MEAN) / STD))
    torch.testing.assert_close(model(x), network.eval()((x - MEAN) / STD), rtol=1e-3, atol=1e-4)


def test_wrong_hash_is_refused_and_nothing_is_kept(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, "resnet18", name="resnet18-00000000.pth")
    with pytest.raises(RuntimeError, match=r"(?s)could not get the ImageNet weights .*hash.*weights=None"):
        face_classifier("resnet18", 4, weights="imagenet")
    assert not list((tmp_path / "home").rglob("*.pth"))


def test_failed_download_says_what_to_do(tmp_path, monkeypatch):
    _, path, _ = publish(tmp_path, monkeypatch, "resnet18")
    path.unlink()
    checkpoints = tmp_path / "home" / "hub" / "checkpoints"
    with pytest.raises(RuntimeError, match=f"(?s)could not get.*put that file into {checkpoints} yourself"):
        landmark_regressor("resnet18", weights="imagenet")


def test_damaged_copy_in_the_cache_is_named(tmp_path, monkeypatch):
    _, path, _ = publish(tmp_path, monkeypatch, "resnet18")
    cached = tmp_path / "home" / "hub" / "checkpoints" / path.name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RuntimeError, match="delete a damaged copy there"):
        face_classifier("resnet18", 4, weights="imagenet")


# errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: landmark_regressor("vgg16"),
            "backbone: expected one of 'resnet18', 'resnet18_c4', 'resnet18_small', 'resnet34', .*, got 'vgg16'",
        ),
        (lambda: face_classifier("resnet101", 3), "backbone: expected one of .*'inception_v3', got 'resnet101'"),
        (lambda: face_classifier("resnet18", 3, weights="IMAGENET"), "weights: expected None or 'imagenet', got 'IMA"),
        (lambda: landmark_regressor("resnet18", weights="None"), "weights: expected None or 'imagenet', got 'None'"),
        (lambda: face_classifier("resnet18", 0), "num_classes: expected at least 1, got 0"),
        (lambda: landmark_regressor("resnet18", 0), "num_landmarks: expected at least 1"),
        (lambda: landmark_regressor("resnet18", head_width=0), "head_width: expected at least 1"),
        (lambda: landmark_regressor("resnet18", dropout=1.0), r"dropout: expected a probability in \[0, 1\), got 1.0"),
    ],
)
def test_construction_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(scope="module")
def small():
    return face_classifier("resnet18", 2).eval()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 3, 32, 32).byte(), TypeError, "floating-point image.*divide 8-bit images by 255"),
        (torch.full((1, 3, 32, 32), 128.0), ValueError, r"values in \[0, 1\], got \[128.0, 128.0\]"),
        (torch.full((1, 3, 32, 32), float("nan")), ValueError, "x: contains NaN"),
        (torch.zeros(1, 4, 32, 32), ValueError, "expected 3 or 1 channels"),
        (torch.zeros(3, 32, 32), ValueError, r"expected a batch \(B, 3, H, W\).*x\[None\]"),
    ],
)
def test_input_errors(small, x, error, message):
    with pytest.raises(error, match=message):
        small(x)


def test_too_small_images_are_named():
    with pytest.raises(ValueError, match="this body needs at least 75x75 pixels"):
        face_classifier("inception_v3", 2).eval()(torch.zeros(1, 3, 74, 80))


def test_resnet18_c4_is_resnet18_up_to_its_stage_conv4() -> None:
    small, whole = face_classifier("resnet18_c4", 5).eval(), face_classifier("resnet18", 5).eval()
    kept = {k: v for k, v in whole.state_dict().items() if "layer4" not in k and ".fc." not in k}
    assert set(small.state_dict()) == {*kept, "body.fc.weight", "body.fc.bias"}
    assert sum(p.numel() for p in small.parameters()) < 0.26 * sum(p.numel() for p in whole.parameters())
    small.load_state_dict(kept, strict=False)
    x = torch.rand(2, 1, 64, 64)
    body = whole.body
    y = body.maxpool(body.relu(body.bn1(body.conv1(x.expand(-1, 3, -1, -1)))))
    expected = small.body.fc(body.layer3(body.layer2(body.layer1(y))).mean((2, 3)))
    torch.testing.assert_close(small(x), expected)


# CosineLinear


def test_cosine_linear_is_the_cosine_whatever_the_lengths():
    torch.manual_seed(0)
    layer, x = CosineLinear(6, 4), torch.randn(3, 6)
    expected = F.cosine_similarity(x[:, None], layer.weight[None], dim=2)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(1000 * x), expected)
    with torch.no_grad():
        layer.weight *= 7
    torch.testing.assert_close(layer(x), expected)
    assert "in_features=6" in repr(layer)


def test_cosine_linear_keeps_float32_under_autocast():
    torch.manual_seed(0)
    layer, x = CosineLinear(64, 4), torch.randn(3, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer(x), rtol=0, atol=0)
