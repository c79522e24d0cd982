"""The command on pictures and networks of one's own: train, measure, predict, enhance, export."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import facelight_render
from facelight import checkpoints, enhance, finders, weights
from facelight_lab import command
from facelight_lab.commands import exporting, measuring, predicting, training
from facelight_lab.landmarks import regressor
from facelight_lab.landmarks.regressor import Network

TINY = Network("resnet18_small", head_width=8)
PLAN = training.Plan(faces=12, epochs=2, batch=6, size=32, network=TINY)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A network of each first layer, trained for a moment."""
    folder = tmp_path_factory.mktemp("models")
    for stem in ("light", "linear"):
        plan = training.Plan(stem=stem, faces=12, epochs=1, batch=6, size=32, network=TINY)
        training.run(plan, folder / f"landmarks_{stem}.pt", progress=False)
    return folder


@pytest.fixture(scope="module")
def faces():
    return facelight_render.landmarks("val", 24, size=192)


@pytest.fixture
def photos(faces, tmp_path, monkeypatch):
    """A folder with two faces that are found and a picture without one; the folder one works in is beside it."""
    levels = [np.ascontiguousarray(face.permute(1, 2, 0).numpy()) for face in faces.image]
    votes = [finders.viola_jones(picture).score.sum() for picture in levels]
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, row in zip(("a.png", "more/b.jpg"), np.argsort(votes)[-2:], strict=True):
        cv2.imwrite(str(folder / name), levels[row][:, :, ::-1])
    cv2.imwrite(str(folder / "none.png"), np.full((60, 80), 99, np.uint8))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def predict(models, *words, model="light"):
    return command.main(["predict", *map(str, words), "--model", str(models / f"landmarks_{model}.pt")])


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# training


@pytest.mark.parametrize(("stem", "points"), [("light", 98), ("linear", 68)])
def test_training_writes_a_network_that_knows_what_it_is(tmp_path, capsys, stem, points):
    out = tmp_path / "new" / "model.pt"
    plan = training.Plan(stem=stem, points=points, faces=12, epochs=1, batch=6, size=32, network=TINY)
    card, digest = training.run(plan, out, command="facelight train landmarks", progress=False)
    assert capsys.readouterr() == ("", "")
    model, read = weights.load_model(out)
    assert read == card
    assert (read.stem, len(read.points), read.size, read.license) == (stem, points, 32, "CC0-1.0")
    assert "11 faces" in read.data
    assert len(digest) == 64
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, points, 2)
    assert [p.name for p in out.parent.iterdir()] == ["model.pt"]  # no checkpoint
    with pytest.raises(FileExistsError, match="is there already"):
        training.run(plan, out)


def test_the_network_in_the_file_is_the_one_that_was_trained(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        training, "plain", lambda model, card, plain=training.plain: seen.append(model) or plain(model, card)
    )
    training.run(PLAN, tmp_path / "model.pt", progress=False)
    x = torch.rand(4, 3, 32, 32)
    pred = weights.load_model(tmp_path / "model.pt")[0](x)
    assert torch.allclose(pred, seen[0].eval()(x), atol=5e-3)  # float16
    assert pred.std(0).max() > 1e-4


def test_a_killed_training_goes_on_to_the_same_network(tmp_path, monkeypatch):
    whole = training.run(PLAN, tmp_path / "whole.pt", progress=False)[1]
    fit = regressor.train.fit
    monkeypatch.setattr(regressor.train, "fit", lambda *a, **k: fit(*a, **k, seconds_between_saves=0.0))
    epochs = []

    def save_and_die(*given, save=checkpoints.save):
        save(*given)
        epochs.append(given[4])
        if len(epochs) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save", save_and_die)
    out = tmp_path / "part" / "model.pt"
    with pytest.raises(KeyboardInterrupt):
        training.run(PLAN, out, progress=False)
    assert len(list(out.parent.iterdir())) == 1
    assert training.run(PLAN, out, progress=False)[1] == whole
    assert epochs == [1, 2]  # the first one is not trained again
    assert [p.name for p in out.parent.iterdir()] == ["model.pt"]


def test_rendered_faces_come_in_parts(monkeypatch):
    monkeypatch.setattr(training, "CHUNK", 5)
    faces = training.load(PLAN)
    assert len(faces) == len(set(faces.name)) == 12
    assert not (faces.image[0] == faces.image[5]).all()


def test_ones_own_pictures(tmp_path, faces):
    from facelight.data.landmarks import LANDMARKS_68

    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), faces.image[i].permute(1, 2, 0).numpy()[:, :, ::-1])
        points = faces.landmarks[i][list(LANDMARKS_68)].numpy() + 1
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        (tmp_path / f"{i}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    cv2.imwrite(str(tmp_path / "unmarked.png"), np.zeros((9, 9, 3), np.uint8))
    plan = training.Plan(data=str(tmp_path), epochs=1, batch=2, size=32, network=TINY)
    card, _ = training.run(plan, tmp_path / "model.pt", progress=False)
    assert len(card.points) == 68
    assert "4 faces" in card.data
    assert "that of the pictures" in card.license
    (tmp_path / "0.pts").write_text("n_points: 68 {1 2}")
    assert command.main(["train", "landmarks", "--data", str(tmp_path), "-o", str(tmp_path / "other.pt")]) == 1


def test_what_cannot_be_trained(tmp_path, capsys):
    for words, message in (
        (["--data", str(tmp_path / "none")], "a folder of pictures with .pts files"),
        (["--data", str(tmp_path)], "expected pictures with their landmarks"),
        (["--data", "w300", "--points", "98"], "w300 has 68 landmarks"),
        (["--faces", "1"], "--faces"),
        (["--epochs", "0"], "epochs"),
    ):
        assert command.main(["train", "landmarks", *words, "-o", str(tmp_path / "model.pt")]) == 1
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# measuring


def test_errors_compare_the_landmarks_that_both_have():
    from facelight.data.landmarks import LANDMARKS_68

    all_of_them = torch.rand(3, 98, 2)
    fewer = all_of_them[:, list(LANDMARKS_68)]
    five = all_of_them[:, list(measuring.FIVE)]
    for pred, target in ((all_of_them, fewer), (fewer, all_of_them), (all_of_them, five), (fewer, fewer)):
        assert measuring.errors(pred, target).tolist() == [0, 0, 0]
        moved = measuring.errors(pred + torch.tensor([0.3, 0.4]), target)
        eyes = {98: (60, 72), 68: (36, 45), 5: (0, 1)}[target.shape[1]]
        distance = (target[:, eyes[0]] - target[:, eyes[1]]).norm(dim=-1)
        assert moved.tolist() == pytest.approx((0.5 / distance).tolist(), rel=1e-4)


def test_measure_prints_errors_by_light(models, capsys, monkeypatch):
    monkeypatch.setattr(measuring, "RENDERED", 10)
    model = str(models / "landmarks_light.pt")
    assert command.main(["measure", model, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rendered"]
    assert list(found) == list(measuring.UNDER)
    assert 0.02 < found["x1"] < 2
    assert command.main(["measure", model]) == 0
    assert f"{100 * found['/6 noise']:.2f}" in capsys.readouterr().out


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["w300", "wflw_crops", "net7876"])
def test_measure_on_real_faces(models, name, request):
    request.getfixturevalue(f"{name}_root")
    found = measuring.measure(models / "landmarks_light.pt", [name], ["x1"], every=50)
    assert 0.05 < found[name]["x1"] < 2


# predicting


def test_a_folder_is_drawn_and_told(photos, models, capsys):
    before = contents(photos)
    assert predict(models, photos) == 0
    assert contents(photos) == before
    out = photos.parent / "work" / "landmarks"
    names = {str(p) for p in contents(out)}
    assert names == {f"{n}.{kind}" for n in ("a", "more/b", "none") for kind in ("jpg", "json")}
    told = json.loads((out / "a.json").read_text())
    assert (told["status"], told["width"], told["height"], told["model"]["stem"]) == ("found", 192, 192, "light")
    face = told["faces"][0]
    points = np.array(face["landmarks"])
    assert points.shape == (98, 2) == (len(told["model"]["points"]), 2)
    assert face["box"] == pytest.approx([*points.min(0), *points.max(0)], abs=0.02)
    assert face["score"] >= 4
    assert face["spread"] > 0
    drawing, picture = (cv2.imread(str(p)) for p in (out / "a.jpg", photos / "a.png"))
    assert drawing.shape == picture.shape
    changed = np.abs(drawing.astype(int) - picture).max(2) > 60
    x0, y0, x1, y1 = (int(v) for v in face["box"])
    assert changed[max(0, y0 - 3) : y1 + 4, max(0, x0 - 3) : x1 + 4].sum() > 98
    assert json.loads((out / "none.json").read_text())["status"] == "not found"
    printed = capsys.readouterr().out
    assert "no face found" in printed
    assert "1 face -> " in printed


def test_json_writes_nothing_unless_asked_and_quiet_prints_nothing(photos, models, capsys):
    assert predict(models, photos, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in lines] == ["found", "found", "not found"]
    assert predict(models, photos / "a.png", "--quiet", "-o", "one.png") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert {str(p) for p in contents(photos.parent / "work")} == {"one.png", "one.json"}


def test_darkened_pictures_are_drawn_dark(photos, models):
    assert predict(models, photos / "a.png", "--darken", 6, "-o", "dark.png") == 0
    dark, picture = (cv2.imread(str(p)) for p in ("dark.png", photos / "a.png"))
    corner = np.s_[:12, :12]
    assert np.abs(dark[corner].astype(int) - (picture[corner] / 6)).max() <= 1
    assert json.loads((photos.parent / "work" / "dark.json").read_text())["divided_by"] == 6
    assert predict(models, photos / "a.png", "--darken", 0.5) == 1


def test_no_input_is_overwritten(photos, models, capsys):
    before = contents(photos)
    assert predict(models, photos / "a.png", "-o", photos / "a.png") == 1
    assert "nothing was written: choose another name" in capsys.readouterr().err
    assert predict(models, photos, "-o", photos) == 1  # more/b.jpg
    assert command.main(["enhance", str(photos / "a.png"), "-o", str(photos)]) == 1
    assert contents(photos) == before


def test_two_pictures_of_one_name_stay_apart(photos, models, capsys):
    cv2.imwrite(str(photos / "a.jpg"), cv2.imread(str(photos / "a.png")))
    assert predict(models, photos, "-o", "out") == 0
    assert {"a.png.jpg", "a.jpg.jpg", "a.png.json", "a.jpg.json"} <= {p.name for p in contents(photos.parent / "work")}
    assert predict(models, photos / "a.jpg", photos / "more" / ".." / "a.jpg", "-o", "other") == 1
    assert "two files would become" in capsys.readouterr().err


def test_a_damaged_picture_does_not_stop_the_others(photos, models, capsys):
    (photos / "bad.png").write_bytes(b"no picture")
    assert predict(models, photos, "--json") == 1
    printed = capsys.readouterr()
    assert "bad.png: damaged" in printed.err or "bad.png: not a picture" in printed.err
    states = {line["file"].rpartition("/")[2]: line["status"] for line in map(json.loads, printed.out.splitlines())}
    assert states == {"a.png": "found", "bad.png": "not read", "b.jpg": "found", "none.png": "not found"}


def test_what_cannot_be_predicted(photos, models, capsys, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, message in (
        ([tmp_path / "none.jpg"], "none.jpg: there is no such file"),
        ([tmp_path / "empty"], "no picture in this folder"),
        ([photos / "a.png", "-o", "a.gif"], "would be written as .jpg"),
        ([photos / "a.png", "--finder", "yunet.onnx"], "face_detection_yunet"),
    ):
        assert predict(models, *words) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    assert command.main(["predict", str(photos)]) == 1
    assert "train one with: facelight train landmarks --data rendered -o model.pt" in capsys.readouterr().err
    assert command.main(["predict", str(photos), "--model", str(photos / "a.png")]) == 1
    assert "a.png: not a model file of facelight" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        command.main(["predict", str(photos), "--modle", "x"])
    assert stopped.value.code == 2


def test_a_turned_picture_is_drawn_upright(photos, models):
    picture = Image.open(photos / "a.png")
    exif = picture.getexif()
    exif[0x0112] = 8
    picture.rotate(-90).save(photos / "turned.jpg", exif=exif, quality=98)
    for name in ("a.png", "turned.jpg"):
        assert predict(models, photos / name, "-o", f"{name}.png") == 0
    upright, turned = (json.loads((photos.parent / "work" / f"{n}.json").read_text()) for n in ("a.png", "turned.jpg"))
    off = np.array(upright["faces"][0]["landmarks"]) - turned["faces"][0]["landmarks"]
    assert np.abs(off).mean() < 3  # the finder's box may differ by some pixels


def test_networks_side_by_side_as_the_light_falls(photos, models, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", models)
    assert command.main(["predict", str(photos / "a.png"), "--compare", "-o", "sheet.png"]) == 0
    told = json.loads((photos.parent / "work" / "sheet.json").read_text())["compare"]
    assert list(told) == ["linear", "light"]
    for row in told.values():
        assert row["divided_by"] == list(predicting.FALLING)
        assert row["moved"][0] == 0
        assert len(row["moved"]) == len(predicting.FALLING)
    assert told["light"]["moved"][1] < told["linear"]["moved"][-1]
    sheet = cv2.imread("sheet.png")
    assert sheet.shape[0] == 2 * (predicting.CELL + 26)
    means = [sheet[30:260, 244 * i + 5 : 244 * i + 235].mean() for i in range(5)]
    assert means == sorted(means, reverse=True)
    assert command.main(["predict", str(photos / "none.png"), "--compare", "-o", "none.jpg"]) == 0
    assert command.main(["predict", str(photos / "a.png"), "--compare", "--against", "none", "-o", "x.png"]) == 1


def test_video(photos, models, capsys):
    picture = cv2.imread(str(photos / "a.png"))
    film = cv2.VideoWriter(str(photos / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (192, 192))
    for frame in (picture, np.zeros_like(picture), picture):
        film.write(frame)
    film.release()
    assert predict(models, photos / "film.avi", "-o", "out") == 0
    assert "a face in 2 of 3 frames" in capsys.readouterr().out
    told = json.loads((photos.parent / "work" / "out" / "film.json").read_text())
    assert [frame["time"] for frame in told["frames"]] == [0, 0.1, 0.2]
    assert [len(frame["faces"]) for frame in told["frames"]] == [1, 0, 1]
    drawn = cv2.VideoCapture("out/film.mp4")
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), round(drawn.get(cv2.CAP_PROP_FPS))) == (3, 10)
    assert {p.name for p in (photos.parent / "work" / "out").iterdir()} == {"film.mp4", "film.json"}
    (photos / "bad.mp4").write_bytes(b"no video")
    assert predict(models, photos / "bad.mp4", "-o", "out") == 1
    assert "OpenCV cannot read this video" in capsys.readouterr().err
    assert predict(models, photos / "film.avi", "--compare") == 1
    assert predict(models, photos / "film.avi", "-o", "film.png") == 1


# enhancing


def test_one_enhancer(photos, capsys):
    assert (
        command.main(["enhance", str(photos / "a.png"), "--method", "clahe", "--clip-limit", "2", "-o", "out.png"]) == 0
    )
    assert capsys.readouterr().out == "out.png\n"
    x = torch.from_numpy(cv2.imread(str(photos / "a.png"))[:, :, ::-1].copy()).permute(2, 0, 1) / 255
    wanted = (255 * enhance.clahe(x, clip_limit=2.0, luminance_only=True)).round().permute(1, 2, 0).numpy()
    assert np.array_equal(cv2.imread("out.png")[:, :, ::-1], wanted)


def test_every_enhancer_on_one_sheet(photos):
    from facelight_lab.commands.enhancing import COLUMNS
    from facelight_lab.enhancers import FAMILY

    assert command.main(["enhance", str(photos / "a.png"), "-o", "new/all.png"]) == 0
    sheet = cv2.imread("new/all.png")
    assert sheet.shape[:2] == (-(-len(FAMILY) // COLUMNS) * (192 + 26), COLUMNS * 196 - 4)
    assert np.array_equal(sheet[26:218, :192], cv2.imread(str(photos / "a.png")))  # the picture itself comes first


def test_what_cannot_be_enhanced(photos, capsys):
    for words, message in (
        (["--method", "claeh"], "'clahe'"),
        (["--method", "clahe", "--clip-limt", "2"], "clip_limt"),
        (["--clip-limit", "2"], "name it with --method"),
        (["--method", "clahe", "--clip-limit"], "expected --setting value"),
        (["-o", "a.gif"], "would be written as"),
    ):
        assert command.main(["enhance", str(photos / "a.png"), *words]) == 1
        assert message in capsys.readouterr().err
    assert command.main(["enhance", str(photos)]) == 1


# exporting


@pytest.mark.parametrize("stem", ["light", "linear"])
def test_export_computes_the_same_in_any_batch(models, tmp_path, capsys, stem):
    onnx, onnxruntime = (pytest.importorskip(name) for name in ("onnx", "onnxruntime"))
    pytest.importorskip("onnxscript")
    file, out = models / f"landmarks_{stem}.pt", tmp_path / "new" / "model.onnx"
    assert command.main(["export", str(file), "--onnx", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "differs from PyTorch by at most" in printed
    assert float(printed.split("at most ")[1].split()[0]) < 1e-5
    model, card = weights.load_model(file)
    x = torch.rand(3, 3, 32, 32)
    session = onnxruntime.InferenceSession(str(out))
    assert np.abs(session.run(None, {"image": x.numpy()})[0] - model(x).detach().numpy()).max() < 1e-5
    about = {prop.key: prop.value for prop in onnx.load(out).metadata_props}
    assert (about["stem"], about["size"], about["range"], about["license"]) == (stem, "32", "[0, 1]", "CC0-1.0")
    assert json.loads(about["points"]) == list(card.points)
    assert out.stat().st_size < 1.2 * file.stat().st_size  # weights as float16
    assert str(file.parent).encode() not in out.read_bytes()
    assert b"site-packages" not in out.read_bytes()
    assert command.main(["export", str(file), "--onnx", str(out)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_an_export_that_differs_is_not_written(models, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(exporting, "exported", lambda network, card: b"")
    monkeypatch.setattr(exporting, "difference", lambda *given: 1e-3)
    assert command.main(["export", str(models / "landmarks_light.pt"), "--onnx", str(tmp_path / "m.onnx")]) == 1
    assert "onnxruntime differs from PyTorch by 0.001" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_extra_is_named_where_it_is_missing(models, tmp_path, capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "onnxruntime" else find(name, *a))
    assert command.main(["export", str(models / "landmarks_light.pt"), "--onnx", str(tmp_path / "m.onnx")]) == 1
    assert 'pip install "facelight[onnx]"' in capsys.readouterr().err
