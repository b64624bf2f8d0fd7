"""The run directory: what it refuses, and which file it names when one is damaged."""

from __future__ import annotations

import pytest
import torch

from gnnkg.holding import held
from gnnkg.run import NAMES, NotARun, RunDirectory
from gnnkg.stored import DamagedFile
from tests.test_train import parts, ring


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", {"seed": 7, "name": "Zürich"}, ring())


def test_what_is_written_is_read(run):
    again = RunDirectory.open(run.path)
    assert again.config == {"seed": 7, "name": "Zürich"}
    assert again.vocabulary["entities"][:2] == ["e0", "e1"]
    assert again.environment["versions"]["torch"] == torch.__version__
    again.check(ring())


def test_a_run_is_not_overwritten(run):
    with pytest.raises(FileExistsError, match="resume it, or choose another"):
        RunDirectory.create(run.path, {}, ring())


@pytest.mark.parametrize("name", [*NAMES[1:], ".lock"])
def test_a_folder_that_holds_something_by_the_name_of_a_file_of_a_run_is_left_as_it_is(tmp_path, name):
    if name in ("results", "tensorboard"):
        (tmp_path / name).mkdir()
        mine = tmp_path / name / "mine.txt"
    else:
        mine = tmp_path / name
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name}"):
        RunDirectory.create(tmp_path, {}, ring())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_the_lock_of_a_process_that_holds_the_folder_is_no_obstacle(tmp_path):
    with held(tmp_path):
        RunDirectory.create(tmp_path, {}, ring())


def test_a_run_that_could_not_be_begun_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError("no space left on device")

    monkeypatch.setattr("gnnkg.run.write_atomically", full)
    with pytest.raises(OSError, match="no space"):
        RunDirectory.create(tmp_path / "run", {}, ring())
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(NotARun, match=r"has no config\.yaml"):
        RunDirectory.open(tmp_path)
    with pytest.raises(NotARun, match="there is no folder"):
        RunDirectory.open(tmp_path / "absent")


def test_other_data_are_refused(run):
    with pytest.raises(ValueError, match="facts or names have changed"):
        run.check(ring(seed=1))


def test_weights_come_back_with_what_is_known_of_them(run):
    model, _ = parts(ring())
    run.save_weights(model, step=5, **{"valid/mrr": 0.25})
    other, _ = parts(ring(), seed=1)
    assert run.load_weights(other) == {"step": 5, "valid/mrr": 0.25}
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "name", ["config.yaml", "vocabulary.json", "environment.json", "weights.safetensors", "checkpoint.safetensors"]
)
def test_a_damaged_file_is_named(run, name):
    model, _ = parts(ring())
    run.save_weights(model)
    run.save_checkpoint({"x": torch.zeros(3)})
    (run.path / name).write_bytes(b"\xff\xfe{[")
    damaged = RunDirectory.open(run.path)
    with pytest.raises(DamagedFile, match=name.replace(".", r"\.")):
        _ = (
            damaged.config,
            damaged.vocabulary,
            damaged.environment,
            damaged.load_checkpoint(),
            damaged.load_weights(model),
        )


def test_changed_names_are_noticed(run):
    file = run.path / "vocabulary.json"
    file.write_text(file.read_text().replace('"e3"', '"someone else"'))
    with pytest.raises(DamagedFile, match=r"vocabulary\.json is damaged"):
        RunDirectory.open(run.path).check(ring())


def test_weights_of_another_model_are_refused(run):
    model, _ = parts(ring())
    run.save_weights(torch.nn.Linear(2, 2))
    with pytest.raises(DamagedFile, match=r"weights\.safetensors does not fit the model"):
        run.load_weights(model)
