"""The page "Networks and runtimes": its tables against what comes out."""

import csv
import io
from collections import defaultdict
from pathlib import Path

import families
import pytest
import torch
import torchvision
from torch import Tensor, nn

from every_enhancer import MODULES
from facelight.enhance import CLAHE
from facelight.layers import ContrastNorm2d, LogConv2d, with_log_stem

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "networks.md").read_text()
TABLE = families.read()

# One network of each kind of beginning: two entries, branches, "same" padding, standardized weights, no convolution,
# a transform of the picture first, video, a patch, a hybrid.
SOME = [
    "crossvit_tiny_240", "mobileone_s0", "repvgg_a0", "fastvit_t8", "tf_efficientnet_lite0", "nf_resnet26",
    "resnetv2_50x1_bit", "naflexvit_base_patch16_parfac_gap", "csatv2", "s3d", "test_vit", "vit_tiny_r_s16_p8_224",
    "levit_128s", "coat_tiny", "raft_small", "fasterrcnn_mobilenet_v3_large_320_fpn", "quantized_resnet18",
    "lraspp_mobilenet_v3_large", "inception_v3", "swin_t", "maxvit_t",
]  # fmt: skip


def table_under(heading: str) -> list[list[str]]:
    """The cells of the first table of a section, without the line of dashes."""
    lines = PAGE.split(f"## {heading}\n")[1].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return [found[0], *found[2:]]


@pytest.mark.parametrize("name", SOME)
def test_the_table_of_families_says_what_comes_out(name):
    pytest.importorskip("timm")
    wanted = [row for row in TABLE if row["network"] == name]
    assert wanted
    library, family = wanted[0]["library"], wanted[0]["family"]
    wanted = [row for row in wanted if row["library"] == library]
    assert families.rows(library, family, name) == wanted


def test_every_family_is_in_the_table_and_the_counts_are_right():
    timm = pytest.importorskip("timm")
    versions = {"timm": timm.__version__, "torchvision": torchvision.__version__.partition("+")[0]}
    for library, version in versions.items():
        if f"{library} {version} " not in PAGE:
            pytest.skip(f"the page is not about {library} {version}: python tools/families.py write makes it so")
    by_family = defaultdict(list)
    for row in TABLE:
        by_family[row["library"], row["family"]].append(row)
    assert set(by_family) == set(families.families())
    counts = {"timm": [0, 0, 0, 0], "torchvision": [0, 0, 0, 0]}
    for (library, _), tried in by_family.items():
        with_mean = all(row["replaced"] for row in tried)
        place = 1 if with_mean else 2 if any(row["replaced"] for row in tried) else 3
        counts[library][0] += 1
        counts[library][place] += 1
    (families_of_timm, whole, part, _), (families_of_torchvision, others, none, _) = counts.values()
    promise = f"{whole} of {families_of_timm} families of timm and {others} of {families_of_torchvision} of torchvision"
    assert promise in (ROOT / "README.md").read_text()
    assert (part, none) == (2, 0)  # "two more of timm's"
    expected = [[f"{library} {versions[library]}", *map(str, counts[library])] for library in counts]
    assert table_under("Networks")[1:] == expected


def test_merged_branches_take_kernels_of_zero_mean():
    timm = pytest.importorskip("timm")
    model = timm.utils.reparameterize_model(timm.create_model("mobileone_s0", pretrained=False).eval())
    log_model = with_log_stem(model, epsilon=1 / 255, zero_mean=True, padding_mode="replicate")
    assert [name for name, module in log_model.named_modules() if isinstance(module, LogConv2d)] == [
        "stem.reparam_conv"
    ]


@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn"])
def test_a_detector_without_a_mean_takes_the_layer(name):
    options = {"weights": None, "weights_backbone": None, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    model = torchvision.models.get_model(name, min_size=64, max_size=128, **options)
    names = [n for n, module in with_log_stem(model).named_modules() if isinstance(module, LogConv2d)]
    assert names == ["backbone.body.0.0" if "mobilenet" in name else "backbone.body.conv1"]


# runtimes

WAYS = table_under("Runtimes")[0][1:]


def subject(name: str) -> nn.Module:
    """A module of the table, by the name that it has there."""
    torch.manual_seed(0)
    options = {"epsilon": 1 / 255, "zero_mean": True, "padding_mode": "replicate"}
    if name == "LogConv2d":
        return LogConv2d(3, 4, 3, padding=1, **options)
    if name == "ContrastNorm2d":
        return ContrastNorm2d()
    if name == "with_log_stem":
        body = [nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        return with_log_stem(nn.Sequential(*body), then=ContrastNorm2d(), **options).eval()
    arguments = {"AHE": ((4, 4),), "CLAHE": (2.0, (4, 4)), "ModifiedCLAHE": (2.0, (4, 4)), "Gamma": (0.5,)}
    return MODULES[name](*arguments.get(name, ()))


ROWS = {name: row[1:] for row in table_under("Runtimes")[1:] for name in row[0].split("`")[1::2]}
UNLISTED = {name: ["yes"] * len(WAYS) for name in MODULES if name not in ROWS}  # "runs everywhere", says the page


def pictures(number: int = 2) -> Tensor:
    return torch.rand(number, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def fx(model: nn.Module, x: Tensor) -> Tensor:
    graph = torch.fx.symbolic_trace(nn.Sequential(model))
    assert sum(node.op in ("call_module", "call_function") for node in graph.graph.nodes) <= 5
    return graph(x)


def export(model: nn.Module, x: Tensor) -> Tensor:
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(nn.Sequential(model), (x,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(program(pictures(5)), model(pictures(5)), rtol=0, atol=1e-4)
    return program(x)


def compiled(model: nn.Module, x: Tensor) -> Tensor:
    torch._dynamo.reset()
    return torch.compile(model, fullgraph=True, backend="eager")(x)


def onnx(model: nn.Module, x: Tensor) -> Tensor:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    stream = io.BytesIO()
    torch.onnx.export(nn.Sequential(model), (x,), stream, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def traced(model: nn.Module, x: Tensor) -> Tensor:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), stream)
    stream.seek(0)
    return torch.jit.load(stream)(x)


def mapped(model: nn.Module, x: Tensor) -> Tensor:
    slope = torch.func.vmap(torch.func.grad(lambda one: model(one[None]).square().sum()))(x)
    twin = x.clone().requires_grad_()
    model(twin).square().sum().backward()
    torch.testing.assert_close(slope, twin.grad, rtol=1e-3, atol=1e-4)
    return torch.func.vmap(lambda one: model(one[None])[0])(x)


RUN = dict(zip(WAYS, (fx, export, compiled, onnx, traced, mapped), strict=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*ROWS, *UNLISTED])
def test_the_table_of_runtimes_says_what_comes_out(name, way):
    model, x, said = subject(name).eval(), pictures(), (ROWS | UNLISTED)[name][WAYS.index(way)]
    if said == "no":
        with pytest.raises(NotImplementedError, match="pass all images at once"):
            RUN[way](model, x)
        return
    with torch.no_grad():
        expected = model(x)
    out = RUN[way](model, x)
    near = 0.5 / 255 if way == "ONNX" and "CLAHE" in name else 1e-4
    torch.testing.assert_close(out.detach(), expected, rtol=0, atol=near)
    if way == "trace":
        slope = traced(model, x.clone().requires_grad_()).requires_grad
        assert slope == (said == "yes")


def test_the_table_has_a_module_once_and_none_that_is_not_there():
    names = [name for row in table_under("Runtimes")[1:] for name in row[0].split("`")[1::2]]
    assert len(names) == len(set(names))
    assert set(names) <= {*MODULES, "LogConv2d", "ContrastNorm2d", "with_log_stem"}
    assert {"LogConv2d", "ContrastNorm2d", "with_log_stem", "CLAHE"} <= set(names)


def test_a_layer_and_an_enhancer_are_nodes_of_torchvisions_feature_extractor():
    from torchvision.models.feature_extraction import create_feature_extractor

    torch.manual_seed(0)
    model = with_log_stem(torchvision.models.resnet18(), then=ContrastNorm2d(), epsilon=1 / 255, zero_mean=True).eval()
    model = nn.Sequential(CLAHE(2.0, (4, 4)), model).eval()
    features = create_feature_extractor(model, {"0": "even", "1.conv1.0": "first", "1.layer1": "deep"})(pictures())
    torch.testing.assert_close(features["even"], CLAHE(2.0, (4, 4))(pictures()))
    torch.testing.assert_close(features["first"], model[1].conv1[0](features["even"]))
    assert features["deep"].shape[1] == 64


@pytest.mark.parametrize("make", ["face_classifier", "landmark_regressor"])
def test_the_networks_of_the_library_go_through_the_feature_extractor(make):
    from torchvision.models.feature_extraction import create_feature_extractor

    from facelight import models

    torch.manual_seed(0)
    options = {"num_classes": 4} if make == "face_classifier" else {}
    model = getattr(models, make)("resnet18", stem=LogConv2d.from_conv, **options).eval()
    features = create_feature_extractor(model, ["body.layer2", "body.fc"])(pictures())
    assert features["body.layer2"].shape == (2, 128, 4, 4)
    torch.testing.assert_close(features["body.fc"].flatten(1), model(pictures()).flatten(1))


def test_a_function_inside_a_network_is_a_node_and_the_root_module_is_refused():
    from facelight.enhance import clahe

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.conv(clahe(x, 2.0, grid_size=(4, 4)))

    network = Network()
    graph = torch.fx.symbolic_trace(network)
    torch.testing.assert_close(graph(pictures()), network(pictures()))
    with pytest.raises(ValueError, match="values in"):
        graph(2 * pictures())  # the check runs with the real picture
    with pytest.raises(TypeError, match=r"LogConv2d is one node.*torch.nn.Sequential"):
        torch.fx.symbolic_trace(LogConv2d(3, 4, 3))


def test_the_table_file_has_the_columns_of_the_tool():
    with families.TABLE.open(newline="") as stream:
        assert next(csv.reader(stream)) == list(families.COLUMNS)
