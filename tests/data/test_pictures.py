"""Pictures in folders and archives, and the networks that see them."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gnnkg import load
from gnnkg.cli import main
from gnnkg.data import DataError
from gnnkg.data.networks import network
from gnnkg.data.pictures import pictures, vectors_of_pictures
from tests.data.test_images import plain, png

RED, GREEN, BLUE = (png(plain(*colour)) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
NESTED = {"a.png": RED, "b/0.jpg": GREEN, "b/deep/1.PNG": BLUE, "b/notes.txt": b"no picture", "b/._0.jpg": b"of a Mac"}


def as_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def as_tar(path, files):
    with tarfile.open(path.with_name(f"{path.name}.tar.gz"), "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path.with_name(f"{path.name}.tar.gz")


def as_zip(path, files):
    with zipfile.ZipFile(path.with_name(f"{path.name}.zip"), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.with_name(f"{path.name}.zip")


every_form = pytest.mark.parametrize("form", [as_folder, as_tar, as_zip])


@every_form
def test_a_picture_is_named_by_its_file_or_by_the_folder_that_it_lies_in(form, tmp_path):
    found = sorted(pictures(form(tmp_path / "some", NESTED)))
    assert found == [("a", "a.png", RED), ("b", "b/0.jpg", GREEN), ("b", "b/deep/1.PNG", BLUE)]


@every_form
def test_folders_around_everything_name_nothing(form, tmp_path):
    for around in ("images", "data/of/mine"):
        files = {f"{around}/{name}": content for name, content in NESTED.items()}
        found = sorted(pictures(form(tmp_path / around.replace("/", " "), files)))
        assert [(name, content) for name, _, content in found] == [("a", RED), ("b", GREEN), ("b", BLUE)]
    files = {f"a/b/{name}/0.png": RED for name in ("Q42", "Q43", ".NET")}
    assert sorted(each.name for each in pictures(form(tmp_path / "deep", files))) == [".NET", "Q42", "Q43"]


def first_bytes(contents):
    return np.array([[content[0], len(content)] for content in contents], np.float32)


def test_several_pictures_of_one_thing_are_averaged(tmp_path):
    files = {f"{i}.png": bytes([i]) for i in range(40)} | {"x/1.png": b"\x02", "x/2.png": b"\x04ab"}
    vectors = vectors_of_pictures(as_folder(tmp_path / "some", files), first_bytes)
    assert vectors.keys is not None
    found = dict(zip(vectors.keys, vectors.values.tolist(), strict=True))
    assert len(found) == 41
    assert found["39"] == [39, 1]
    assert found["x"] == [3, 2]
    assert vectors.pooled == 1


def test_what_cannot_be_read_is_told(tmp_path):
    for name in ("damaged.zip", "damaged.tar"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(DataError, match=f"{name} is no archive that can be read"):
            list(pictures(tmp_path / name))
    with pytest.raises(DataError, match="there is no folder and no archive"):
        list(pictures(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="holds no picture"):
        vectors_of_pictures(as_folder(tmp_path / "none", {"a.txt": b""}), first_bytes)

    def sees_no_blue(contents):
        if BLUE in contents:
            raise ValueError("blue")
        return first_bytes(contents)

    with pytest.raises(DataError, match=r"some, c\.png: blue"):
        vectors_of_pictures(as_folder(tmp_path / "some", {"a.png": RED, "b.png": GREEN, "c.png": BLUE}), sees_no_blue)


@pytest.mark.parametrize("form", [as_tar, as_zip])
def test_an_archive_with_a_wrong_byte_is_refused(form, tmp_path):
    noise = np.random.default_rng(0).bytes(20_000)
    path = form(tmp_path / "some", {"a.png": noise, "b.png": noise[::-1]})
    whole = bytearray(path.read_bytes())
    for place in np.linspace(100, len(whole) - 200, 20).astype(int):
        damaged = whole.copy()
        damaged[place] ^= 255
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="is no archive that can be read"):
            list(pictures(path))


class Small(nn.Module):
    """The mean of each channel through one layer, and a head that is to be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(3, 4), nn.Linear(4, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x.mean((2, 3))))

    pretrained_cfg: ClassVar = {"classifier": "fc"}  # of timm

    def reset_classifier(self, num_classes: int) -> None:
        assert num_classes == 0
        self.fc = nn.Identity()


def to_tensor(picture):
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255


@pytest.fixture
def libraries(monkeypatch):
    """What is asked of torchvision and timm, of which the test environment has neither."""
    models, timm, data = ModuleType("torchvision.models"), ModuleType("timm"), ModuleType("timm.data")
    weights = SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: to_tensor))

    def get_model(name, weights):
        assert name == "small"
        assert weights is None
        return Small()

    vars(models).update(
        list_models=lambda module: ["small"], get_model=get_model, get_model_weights=lambda name: weights
    )
    vars(timm).update(is_model=lambda name: name == "small", create_model=lambda name, pretrained: Small())
    vars(data).update(
        resolve_model_data_config=lambda model: {"input_size": (3, 8, 8)},
        create_transform=lambda input_size, is_training: to_tensor,
    )
    named = {"torchvision": ModuleType("torchvision"), "torchvision.models": models, "timm": timm, "timm.data": data}
    for name, module in named.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("form", ["state.safetensors", "state.pth", "nested.pth", "headless.pth", "other classes.pth"])
def test_a_network_gives_what_its_last_layer_would_read(library, form, libraries, tmp_path):
    torch.manual_seed(0)
    trained = Small()
    state = dict(trained.state_dict())
    if form.startswith("headless"):
        state = {name: value for name, value in state.items() if not name.startswith("fc")}
    elif form.startswith("other"):
        state |= {"fc.weight": torch.zeros(7, 4), "fc.bias": torch.zeros(7)}
    path = tmp_path / form
    parallel = {f"module.{name}": value for name, value in state.items()}
    if path.suffix == ".safetensors":
        save_file(parallel, path)
    else:
        torch.save({"epoch": 3, "state_dict": parallel} if form.startswith("nested") else state, path)
    found = network(f"{library}:small", path)([RED, BLUE])
    expected = trained.body(torch.tensor([[1.0, 0, 0], [0, 0, 1]]))
    assert torch.allclose(torch.from_numpy(found), expected.detach(), atol=1e-6)


def test_a_network_that_there_is_not_and_weights_of_another_are_told(libraries, tmp_path):
    torch.save(Small().state_dict(), good := tmp_path / "good.pth")
    torch.save(nn.Linear(3, 4).state_dict(), other := tmp_path / "other.pth")
    torch.save(Small().state_dict() | {"body.weight": torch.zeros(2, 2)}, wide := tmp_path / "wide.pth")
    torch.save([1, 2], values := tmp_path / "values.pth")
    for name, weights, message in (
        ("resnet50", good, "torchvision:NAME or timm:NAME, such as torchvision:resnet50, not 'resnet50'"),
        ("torchvision:large", good, "torchvision has no model 'large'"),
        ("timm:large", good, "timm has no model 'large'"),
        ("timm:small", tmp_path / "none.pth", "there is no file"),
        ("timm:small", other, "is not of timm:small: it lacks body.weight, body.bias and has weight, bias"),
        ("timm:small", wide, "is not of timm:small: .*size mismatch for body.weight"),
        ("timm:small", values, "holds no weights"),
    ):
        with pytest.raises(DataError, match=message):
            network(name, weights)


def test_a_missing_library_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    torch.save(Small().state_dict(), tmp_path / "good.pth")
    with pytest.raises(ImportError, match="pip install timm"):
        network("timm:small", tmp_path / "good.pth")


def test_pictures_become_a_feature(libraries, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/train.txt").write_text("a\tr\tb\nb\tr\tc\n")
    as_folder(tmp_path / "seen", {**NESTED, "z.png": RED})
    torch.save(Small().state_dict(), "small.pth")
    to = ["--dataset", "own"]
    assert main(["convert", "seen", "plain.safetensors", *to]) == 0
    out = capsys.readouterr().out
    assert "2 of 3 entities have 155 numbers" in out
    assert "1 of them the mean of several vectors" in out
    assert "1 rows are of no entity of own" in out
    assert main(["convert", "seen", "deep.npz", *to, "--network", "timm:small", "--weights", "small.pth"]) == 0
    dataset = load("own", features={"plain": "plain.safetensors", "deep": "deep.npz"})
    assert [len(dataset.features[name].names) for name in ("plain", "deep")] == [155, 4]
    assert dataset.features["deep"].has.tolist() == [True, True, False]

    torch.save(torch.ones(3, 2), "table.pth")
    for arguments, message in (
        (["seen", "x.npz", *to, "--network", "timm:small"], "--network and --weights go together"),
        (["table.pth", "x.npz", *to, "--network", "timm:small", "--weights", "small.pth"], "no archive of pictures"),
        (["seen", "x.npz", *to, "--key", "image"], "--key names an array of a file"),
    ):
        try:
            code = main(["convert", *arguments])
        except SystemExit as exit:
            code = exit.code
        assert code == 2
        assert message in capsys.readouterr().err
