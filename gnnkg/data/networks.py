"""Pictures as a trained network sees them: what its last linear layer would read, of a model of torchvision or timm."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gnnkg.data.images import opened
from gnnkg.data.plain_pickle import read_tensors
from gnnkg.data.triples import DataError

LIBRARIES = ("torchvision", "timm")
DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""how layers are called in published files of DenseNet, which torchvision renames as well"""
NESTED = ("state_dict", "model")
"""under which names training scripts keep weights among other things"""


class Loaded(NamedTuple):
    """A model with all its layers, and what belongs to it."""

    model: nn.Module
    heads: tuple[str, ...]
    """the layers behind what is wanted"""
    behead: Callable[[], object]
    """takes them off"""
    prepare: Callable[..., Tensor]
    """a picture -> (3, height, width)"""


def network(name: str, weights: Path) -> Callable[[Sequence[bytes]], np.ndarray]:
    """What turns files of pictures into vectors (F,): ``name`` is ``torchvision:resnet50`` or ``timm:vit_base_patch16_224``.

    ``weights``: .safetensors, or what ``torch.save`` wrote of tensors alone (.pth, .pt, .bin), read without running code. Weights
    of the last layer may be there or not, for any number of classes. Pictures are scaled, cut and normalised as the library does
    for its own best weights of that model.

    Raises DataError for an unknown name and for weights of another model; ImportError, with the command that mends it, where the
    library is missing or cannot be loaded beside this torch.
    """
    library, _, model_name = name.partition(":")
    if library not in LIBRARIES or not model_name:
        raise DataError(f"a network is named torchvision:NAME or timm:NAME, such as torchvision:resnet50, not {name!r}")
    state = _weights(weights)  # before a library is looked for
    model, heads, behead, prepare = (_torchvision if library == "torchvision" else _timm)(model_name)
    behind = tuple(f"{head}." for head in heads)
    _fill(model, {key: value for key, value in state.items() if not key.startswith(behind)}, behind, name, weights)
    behead()
    model.eval()

    @torch.inference_mode()
    def see(contents: Sequence[bytes]) -> np.ndarray:
        seen = model(torch.stack([prepare(opened(content)) for content in contents]))
        return seen.flatten(1).float().numpy()

    return see


def _torchvision(name: str) -> Loaded:
    models = _imported("torchvision.models")
    if name not in models.list_models(module=models):
        raise DataError(
            f"torchvision has no model {name!r} that classifies pictures: torchvision.models.list_models() lists all"
        )
    model = models.get_model(name, weights=None)
    if hasattr(model, "transform_input"):
        model.transform_input = True  # as Inception and GoogLeNet do under published weights
    *_, head = [place for place, module in model.named_modules() if isinstance(module, nn.Linear)] or [None]
    if head is None:
        raise DataError(f"torchvision:{name} has no linear layer whose input could be taken")
    prepare = models.get_model_weights(name).DEFAULT.transforms()
    return Loaded(model, (head,), lambda: model.set_submodule(head, nn.Identity()), prepare)


def _timm(name: str) -> Loaded:
    timm = _imported("timm")
    if not timm.is_model(name):
        raise DataError(f"timm has no model {name!r}: timm.list_models() lists them")
    model, data = timm.create_model(name, pretrained=False), _imported("timm.data")
    heads = model.pretrained_cfg.get("classifier") or ()
    prepare = data.create_transform(**data.resolve_model_data_config(model), is_training=False)
    return Loaded(
        model, (heads,) if isinstance(heads, str) else tuple(heads), lambda: model.reset_classifier(0), prepare
    )


def _imported(module: str) -> Any:
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # RuntimeError: compiled for another torch
        raise ImportError(
            f"a network of {library} needs {library}, built for the torch that is installed ({torch.__version__}): "
            f"pip install {library}. It says: {error}"
        ) from error


def _weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        try:
            found = load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path} is no safetensors file ({error})") from error
    else:
        found = read_tensors(path)
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"{path} holds no weights: expected tensors by name, as model.state_dict() gives them")
    return {DENSENET.sub(r"\1\2", str(key).removeprefix("module.")): value for key, value in found.items()}


def _fill(model: nn.Module, state: dict[str, Tensor], behind: tuple[str, ...], name: str, path: Path) -> None:
    try:
        missing, strange = model.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:  # other shapes, or another version of the layers
        raise DataError(f"{path} is not of {name}: {' '.join(str(error).split())}") from error
    missing = [key for key in missing if not key.startswith(behind)]
    if missing or strange:
        told = [f"lacks {', '.join(missing[:3])}"] * bool(missing) + [f"has {', '.join(strange[:3])}"] * bool(strange)
        raise DataError(f"{path} is not of {name}: it {' and '.join(told)}")
