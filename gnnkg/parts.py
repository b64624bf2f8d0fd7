"""Parts of an experiment as YAML names them: ``{class_path: DistMult, init_args: {dim: 100}}``, or ``DistMult`` alone.

A short name is looked up where its place says: a sampler in ``gnnkg.samplers``, an optimiser in ``torch.optim``. A dotted name is
any class that can be imported. The place is known from the type hint of the parameter that the part is meant for.
"""

from __future__ import annotations

import collections.abc
import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from jsonargparse.typing import register_type
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gnnkg.config import ConfigError
from gnnkg.core import Encoder, Loss, MakeFeature, Sampler, Scorer, Space, Term, Transform
from gnnkg.graph import KnowledgeGraph
from gnnkg.strength import Alpha

MakeScorer = Callable[[], Scorer]
MakeEncoder = Callable[[KnowledgeGraph, Space], Encoder]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeSchedule = Callable[[Optimizer], LRScheduler]
Init = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True)
class Place:
    """Where the classes for one kind of parameter live."""

    word: str
    module: str
    base: type = object
    late: int = 0
    """how many leading arguments of the constructor are given when the experiment is built"""
    also: tuple[str, ...] = ()
    """further modules with such classes"""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """classes of the module that no experiment can use, by their short names, and why"""

    def paths(self) -> dict[str, str]:
        """The full names of the classes, by their short ones."""
        found = {
            name: f"{place}.{name}"
            for place in (self.module, *self.also)
            for name, value in vars(importlib.import_module(place)).items()
            if inspect.isclass(value)
            and value.__module__.startswith(place)
            and issubclass(value, self.base)
            and value is not self.base
            and not name.startswith("_")
            and name not in self.unusable
        }
        return dict(sorted(found.items()))

    def why_not(self, cls: type) -> str | None:
        """Why no experiment can use a class; None where it can."""
        return self.unusable.get(cls.__name__) if cls.__module__.startswith(self.module) else None

    def classes(self) -> dict[str, type]:
        """The classes by their short names."""
        full = ((name, path.rpartition(".")[0]) for name, path in self.paths().items())
        return {name: getattr(importlib.import_module(module), name) for name, module in full}


OPTIMIZERS = {
    "LBFGS": "it computes a loss several times a step, and a step of training draws one batch",
    "SparseAdam": "it takes sparse gradients only, and those of relations are dense; Table(sparse=True) learns by Adagrad or SGD",
}
SCHEDULES = {
    "LambdaLR": "its lr_lambda is a function, which cannot be written in YAML; fit in Python takes it",
    "MultiplicativeLR": "its lr_lambda is a function, which cannot be written in YAML; fit in Python takes it",
    "SequentialLR": "its schedulers are of an optimizer that is not there yet; fit in Python takes it",
    "ChainedScheduler": "its schedulers are of an optimizer that is not there yet; fit in Python takes a function that makes it",
}

PLACES: dict[Any, Place] = {
    MakeScorer: Place("scorer", "gnnkg.scorers", Scorer),
    MakeEncoder: Place("encoder", "gnnkg.encoders", Encoder, late=2),
    Init: Place("init", "gnnkg.encoders.init"),
    MakeFeature: Place("feature", "gnnkg.features", also=("gnnkg.alignment.propagation",)),
    Sampler: Place("sampler", "gnnkg.samplers"),
    Term: Place("term", "gnnkg.terms"),
    Loss: Place("loss", "gnnkg.losses"),
    Transform: Place("transform", "gnnkg.transforms"),
    Alpha: Place("schedule of alpha", "gnnkg.strength.schedules"),
    MakeOptimizer: Place("optimizer", "torch.optim", Optimizer, late=1, unusable=OPTIMIZERS),
    MakeSchedule: Place("schedule", "torch.optim.lr_scheduler", LRScheduler, 1, ("gnnkg.schedules",), SCHEDULES),
}


T = TypeVar("T")


def _refuse_nan(value: Any, where: str = "") -> None:
    """No setting is NaN, and no comparison finds one out of range."""
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        _refuse_nan(entry, f"{where}.{key}" if where else str(key))
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError(f"{where}: expected a number, found nan")


def read_as(kind: type[T], config: Mapping[str, Any], source: str) -> T:
    """An object of a dataclass, built from a mapping with the parts that it names; its field ``config`` is that mapping, complete.

    Raises ConfigError, which names the source, the place in it, what was expected and what stood there.
    """
    try:
        _refuse_nan(config)
        complete = expand_arguments(dict(config), kind, "", hidden="config")
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip={"config"})
    # jsonargparse would give a part that takes the place of a default one the latter's arguments, where names agree.
    parser.set_defaults(
        {name: None for name, value in complete.items() if isinstance(value, dict) and "class_path" in value}
    )
    try:
        namespace = parser.parse_object(complete)
        resolved = yaml.safe_load(parser.dump(namespace, skip_unset=False, skip_validation=True))
        return kind(**vars(parser.instantiate(namespace)), **{"config": resolved})
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"{source}: {_field_of(kind, complete)}{_innermost(error)}") from error


def _field_of(kind: type, complete: Mapping[str, Any]) -> str:
    """The field whose value no object can be made of, "sampler: "; nothing where each by itself will do."""
    for name, value in complete.items():
        parser = ArgumentParser(exit_on_error=False)
        others: set[str | int] = {other for other in inspect.signature(kind).parameters if other != name}
        parser.add_class_arguments(kind, skip=others)
        try:
            parser.instantiate(parser.parse_object({name: value}))
        except (ArgumentError, ValueError):
            return f"{name}: "
    return ""


def _innermost(error: BaseException) -> BaseException:
    """What a constructor said, without the layers that jsonargparse puts around it."""
    inner = error.__cause__ or error.__context__
    return error if inner is None else _innermost(inner)


def _no_tensor(value: object) -> Tensor:
    raise ValueError("a tensor cannot be written in YAML")


# Otherwise jsonargparse takes a loss, which is called and returns a tensor, for a maker of tensors.
register_type(Tensor, _no_tensor, _no_tensor)


def expand(value: Any, hint: Any, where: str) -> Any:
    """``value`` with every class by its full name. Raises ConfigError for an unknown class or key and for a wrong type."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in kinds:
        return None
    parts = [kind for kind in kinds if kind in PLACES or is_dataclass(kind)]
    plain = not isinstance(value, str | dict) and any(kind in (int, float) for kind in kinds)  # a number, or a part
    hint = parts[0] if parts and not plain else hint
    if hint in PLACES:
        return _expand_part(value, PLACES[hint], where)
    if get_origin(hint) is dict and get_args(hint)[1] in PLACES:
        items = _mapping(value, where)
        return {name: expand(item, get_args(hint)[1], f"{where}.{name}") for name, item in items.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return expand_arguments(_mapping(value, where), hint, where)
    check_type(value, hint, where)
    return value


def _expand_part(value: Any, place: Place, where: str) -> dict[str, Any]:
    spec = {"class_path": value} if isinstance(value, str) else value
    if not isinstance(spec, dict) or not {"class_path"} <= set(spec) <= {"class_path", "init_args"}:
        raise ConfigError(
            f"{where}: expected a name, or class_path (a name) and init_args (its arguments), found {value!r}"
        )
    path, cls = find_class(str(spec["class_path"]), place, where)
    arguments = expand_arguments(_mapping(spec.get("init_args") or {}, where), cls, where, place.late)
    return {"class_path": path, "init_args": arguments}


def find_class(name: str, place: Place, where: str) -> tuple[str, type]:
    """The full name and the class of a short or a full name. Raises ConfigError with the names that the place knows."""
    if "." not in name:
        known = place.classes()
        if name in known:
            return place.paths()[name], known[name]
        if name in place.unusable:
            raise ConfigError(f"{where}: {name} is no {place.word} for an experiment: {place.unusable[name]}")
        raise ConfigError(
            f"{where}: there is no {place.word} {name!r}{closest(name, known)}. Known: {', '.join(known)}"
        )
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{where}: {name} cannot be imported ({error}); where {module} is a file of your own that lies elsewhere, name its "
            "folder in PYTHONPATH"
        ) from error
    if not inspect.isclass(found) or not issubclass(found, place.base):
        expected = "a class" if place.base is object else f"a subclass of {place.base.__name__}"
        raise ConfigError(f"{where}: expected {expected}, and {name} is none")
    if why_not := place.why_not(found):
        raise ConfigError(f"{where}: {name} is no {place.word} for an experiment: {why_not}")
    return name, found


def expand_arguments(
    given: dict[str, Any],
    function: Callable[..., Any],
    where: str,
    late: int = 0,
    hidden: str = "",
    elsewhere: Sequence[str] = (),
) -> dict[str, Any]:
    """The arguments of a constructor or a function, checked; ``hidden`` is not for YAML. Raises ConfigError, which tells of
    keys ``elsewhere`` too, which may stand beside these.
    """
    parameters = list(inspect.signature(function).parameters.values())[late:]
    called = getattr(function, "__name__", "")
    accepted = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != hidden]
    dotted = f"{where}." if where else ""
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in accepted:
                known = [*accepted, *elsewhere]
                raise ConfigError(
                    f"{dotted}{name}: {called} accepts no key {name!r}{closest(name, known)}. "
                    f"Accepted: {', '.join(known) or 'none'}"
                )
    missing = [p.name for p in parameters if p.name in accepted and p.default is p.empty and p.name not in given]
    if missing:
        raise ConfigError(f"{where or 'the experiment'}: {called} needs {' and '.join(missing)}")
    hints = _hints(function)
    return {
        name: expand(value, hints[name], f"{dotted}{name}") if name in hints else value for name, value in given.items()
    }


def check_type(value: Any, hint: Any, where: str) -> None:
    """Raises ConfigError where jsonargparse does not take ``value`` for the type hint."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=hint)
    try:
        parser.parse_object({"value": value})
    except ArgumentError as error:
        raise ConfigError(f"{where}: expected {_type_name(hint)}, found {value!r}") from error


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    constructor = inspect.isclass(function) and not is_dataclass(function)
    typed = function.__init__ if constructor else function
    try:
        return get_type_hints(typed)
    except NameError:  # a module that imports such names for type checkers alone, as torch.optim.lr_scheduler does
        return get_type_hints(typed, localns=vars(collections.abc))


def _type_name(hint: Any) -> str:
    return inspect.formatannotation(hint).replace("typing.", "").replace("collections.abc.", "")


def describe(place: Place, name: str) -> str:
    """What a class is and which arguments it takes, for people."""
    path, cls = find_class(name, place, place.word)
    hints = _hints(cls)
    lines = [path, "", inspect.getdoc(cls) or "", ""]
    for parameter in list(inspect.signature(cls).parameters.values())[place.late :]:
        hint = hints.get(parameter.name, Any)
        kinds = [place for kind, place in PLACES.items() if kind in (hint, *get_args(hint))]
        words = " or ".join(f"{kind.word} ({', '.join(kind.classes())})" for kind in kinds) or _type_name(hint)
        default = "required" if parameter.default is parameter.empty else f"default {parameter.default!r}"
        lines.append(f"  {parameter.name}: {words}, {default}")
    return "\n".join(lines)


def closest(name: str, known: Iterable[str]) -> str:
    """ " (did you mean ...?)" for a name that is close to a known one, otherwise nothing."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a mapping of names to values, found {value!r}")
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(
                f"{where}: expected words as keys, found {key!r}. YAML takes true, false, yes, no, on and off for truth values: "
                "put such a key in quotation marks"
            )
    return value
