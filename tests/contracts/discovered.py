"""The implementations of each interface, found by walking the package: a new one is tested because it is there.

A class is built once for every combination of its switches (parameters that are Literal or bool), or, where those are more than
MOST_COMBINED, with its defaults and with each switch turned alone; combinations which it refuses with ValueError are left out.
Arguments that have no default, or that keep a test quick, stand in ``ARGUMENTS``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import math
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

import gnnkg.encoders
import gnnkg.features
import gnnkg.losses
import gnnkg.samplers
import gnnkg.scorers
import gnnkg.terms
import gnnkg.transforms
from gnnkg.core import Encoder, Scorer, ScoreTerm
from gnnkg.losses import CrossEntropy
from gnnkg.samplers import Uniform

ARGUMENTS: dict[str, dict[str, Any]] = {
    "gnnkg.scorers": {"dim": 4, "hidden_dim": 5},
    "gnnkg.scorers.ConvE": {"dim": 3, "height": 1, "num_filters": 3, "kernel": 2},
    "gnnkg.encoders.Table": {"sparse": False},  # sparse gradients: tests/encoders/test_table.py
    "gnnkg.encoders.Sampled": {"encoder": gnnkg.encoders.RGCN, "fanout": 3},
    "gnnkg.encoders.SNAG": {
        "modalities": {"relations": gnnkg.features.RelationBag()},
        "read_out": "mean",
        "graph_projection": True,
        "tanh": True,
        "missing": "masked",
        "mask_unseen": True,
        "views": True,
    },
    "gnnkg.encoders": {"num_layers": 2, "block_size": 2, "dropout": 0.0, "hidden_dropout": 0.0, "hides": "facts"},
    "gnnkg.samplers": {"num_negatives": 5, "chunk": 2, "walks": 20, "hops": 2, "on_disk": False, "cache_size": 4},
    "gnnkg.samplers.Typed": {"sampler": Uniform(5, share="query")},
    "gnnkg.samplers.WithPositives": {"sampler": Uniform(5), "num_positives": 3},
    "gnnkg.transforms.EMU": {"keep": 0.5},
    "gnnkg.transforms.DeMix": {"upper": "inf", "cap": "lowest", "max_rule": True, "mix_true": True},
    "gnnkg.transforms.Noise": {"sigma": 0.5, "per_entity": False},
    "gnnkg.terms": {"weight": 0.1},
    "gnnkg.terms.Denoising": {"sigma": 0.5, "per_entity": False, "mode": "eval"},
    "gnnkg.terms.Ranking": {"loss": CrossEntropy()},
}
"""for every class of a family, or for one class: taken where the constructor has a parameter of the name"""
MOST_COMBINED = 32


def classes(family: Any) -> list[type]:
    """The public classes that the modules of a family define."""
    path = getattr(family, "__path__", None)
    names = [m.name for m in pkgutil.walk_packages(path, family.__name__ + ".")] if path else []
    found = {}
    for name in [family.__name__, *names]:
        for key, value in vars(importlib.import_module(name)).items():
            if inspect.isclass(value) and value.__module__ == name and not key.startswith("_"):
                found[f"{name}.{key}"] = value
    return list(found.values())


def _is(family: Any) -> Callable[[type], bool]:
    """Whether a class of the family's modules is one of the family: by its base class where there is one."""
    base = {"gnnkg.scorers": Scorer, "gnnkg.encoders": Encoder}.get(family.__name__)
    if base is not None:
        return lambda cls: issubclass(cls, base) and not inspect.isabstract(cls)
    return lambda cls: {"__call__", "forward"} & vars(cls).keys() or issubclass(cls, ScoreTerm)


def variants(cls: type, family: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A readable name and the arguments of each combination of a class's switches."""
    parameters = inspect.signature(cls).parameters
    hints = get_type_hints(cls if is_dataclass(cls) else cls.__init__)
    given = ARGUMENTS.get(family.__name__, {}) | ARGUMENTS.get(f"{family.__name__}.{cls.__name__}", {})
    fixed = {name: value for name, value in given.items() if name in parameters}
    choices = {}
    for name in parameters:
        hint = hints.get(name)
        options = get_args(hint) if get_origin(hint) is Literal else (False, True) if hint is bool else ()
        if options and name not in fixed:
            choices[name] = options
    for switches in _combinations(choices, {name: parameters[name].default for name in choices}):
        told = [f"{k}={v}" for k, v in switches.items() if v is not parameters[k].default]
        yield "-".join([cls.__name__, *told]), fixed | switches


def _combinations(choices: dict[str, tuple[Any, ...]], defaults: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if math.prod(map(len, choices.values())) <= MOST_COMBINED:
        for values in itertools.product(*choices.values()):
            yield dict(zip(choices, values, strict=True))
        return
    yield defaults
    for name, options in choices.items():
        yield from (defaults | {name: option} for option in options if option != defaults[name])


def makers(family: Any, at_least: int) -> list[Any]:
    """One pytest parameter for every variant: a function that builds it. Fails where fewer classes were found than known."""
    found = [cls for cls in classes(family) if _is(family)(cls)]
    assert len(found) >= at_least, f"{family.__name__} should have {at_least} implementations or more: {found}"
    made = []
    for cls in found:
        for name, arguments in variants(cls, family):
            make = _maker(cls, arguments)
            if family is not gnnkg.encoders and _refused(make):
                continue
            made.append(pytest.param(make, id=name))
    return made


def _maker(cls: type, arguments: dict[str, Any]) -> Callable[..., Any]:
    def make(*late: Any, **changes: Any) -> Any:
        return cls(*late, **(arguments | changes))

    make.cls, make.arguments = cls, arguments  # type: ignore[attr-defined]
    return make


def _refused(make: Callable[[], Any]) -> bool:
    try:
        make()
    except ValueError:
        return True
    return False


def settled(scorer: Scorer) -> Scorer:
    """The scorer as it ranks: without dropout, and normalising by statistics that a training has moved."""
    draw = torch.Generator().manual_seed(0)
    for name, buffer in scorer.named_buffers():
        moved = 0.5 * torch.rand(buffer.shape, generator=draw)
        buffer += -moved if name.endswith("mean") else moved  # lower means: no unit of a tiny network is dead
    return scorer.eval()


def _settled(one: Any) -> Any:
    (make,) = one.values
    ready = functools.wraps(make)(
        lambda *late, **changes: settled(make(*late, **changes))
    )  # with its cls and arguments
    return pytest.param(ready, id=one.id)


scorers_in_training = makers(gnnkg.scorers, at_least=10)
scorers = [_settled(one) for one in scorers_in_training]
encoders = makers(gnnkg.encoders, at_least=6)
samplers = makers(gnnkg.samplers, at_least=7)
transforms = makers(gnnkg.transforms, at_least=2)
ENCODING = "Denoising-part=boundary", "Denoising-part=table"
"""terms that encode again, and so belong to an objective: tests/terms/test_denoising_inputs.py"""
terms = [one for one in makers(gnnkg.terms, at_least=6) if one.id not in ENCODING]
losses = makers(gnnkg.losses, at_least=4)
