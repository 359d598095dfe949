"""The one list of methods: a frozen dataclass per method, entered by one decorator.

A method's fields are its parameters: they make the operator's form, the JSON of the run and its key. A number is
declared by `bounded`, so that no value makes a run that never ends or has no room in memory. A new method is one new
file in this folder; other packages add theirs by an entry point of the group ``fiftyone_saliency.methods`` that names
a module to import.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

from fiftyone_saliency.core.checks import bounds_of, check_choice
from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


class Method(Protocol):
    """What a method is: called with a model and a batch, it returns one attribution per image.

    It may also have ``layers(model)``, names of layers that the run's forward pass records for it, or
    ``look(model, images)``, which makes that pass itself, and ``all_targets(model, batches)``, which shares the work
    of several targets of the same images.

    Returns:
        Signed attributions (N, C, h, w) or (N, h, w), or an `Attribution`; positive values speak for the target.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, model: ModelAdapter, batch: Batch) -> Any: ...


@dataclass(frozen=True)
class MethodInfo:
    """What is known of a method without calling it.

    Args:
        name: registered name, such as ``"grad_cam"``.
        title: the name that people read.
        summary: first line of the docstring.
        cls: the frozen dataclass.
        family: one of `FAMILIES`.
        paper: link to the paper.
        evidence: False for a map that does not pass the randomisation check: it hardly changes when the network's
            weights are drawn anew, so that no verdict may rest on it.
        hidden: whether forms leave it out; such a method is a control for trust checks, not an explanation.
    """

    name: str
    title: str
    summary: str
    cls: type[Any]
    family: str
    paper: str
    evidence: bool = True
    hidden: bool = False

    @property
    def needs_network(self) -> bool:
        """Whether the method looks inside the network; the others take any function from images to scores."""
        return self.family not in {"perturbation", "control"}

    @property
    def parameters(self) -> dict[str, tuple[type, Any]]:
        """Type and default of each parameter."""
        types = get_type_hints(self.cls)
        defaults = {f.name: None if f.default is MISSING else f.default for f in fields(self.cls)}
        return {name: (types[name], default) for name, default in defaults.items()}

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Least and greatest value of each number among the parameters that has them."""
        return bounds_of(self.cls)


FAMILIES = {
    "cam": "class activation maps: coarse, on the grid of a late layer",
    "gradient": "gradients of the score by the pixels",
    "perturbation": "hide parts of the image and watch the score; needs no gradient",
    "propagation": "the score is handed back layer by layer",
    "attention": "what a transformer's tokens attend to",
    "control": "not an explanation: what trust checks compare with",
}
_METHODS: dict[str, MethodInfo] = {}
_T = TypeVar("_T", bound=type)


def register_method(
    name: str, title: str, family: str, paper: str, *, evidence: bool = True, hidden: bool = False
) -> Callable[[_T], _T]:
    """Enter a frozen dataclass into the registry; the arguments are those of `MethodInfo`.

    Raises:
        ArgumentError: if the name is taken by another class, or the family is not known.
    """
    check_choice(family, "family", tuple(FAMILIES))

    def enter(cls: _T) -> _T:
        taken = _METHODS.get(name)
        if taken is not None and taken.cls.__module__ != cls.__module__:
            raise ArgumentError(f"Expected a new method name, but {name!r} is taken by {taken.cls}.")
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        _METHODS[name] = MethodInfo(name, title, summary, cls, family, paper, evidence, hidden)
        return cls

    return enter


def list_methods() -> dict[str, MethodInfo]:
    """Return all methods by name, in alphabetical order."""
    _import_all()
    return dict(sorted(_METHODS.items()))


def get_method(method: str | Method, parameters: Mapping[str, Any] | None = None) -> tuple[str, Method]:
    """Return the registered name and the method itself.

    Args:
        method: a registered name, or a method as an object.
        parameters: the method's parameters; those not given keep their defaults.

    Raises:
        UnknownNameError: if there is no such method or parameter.
        ArgumentError: if a parameter's value makes no sense.
    """
    known = list_methods()
    if not isinstance(method, str):
        if parameters:
            raise ArgumentError(
                f"Expected `parameters` only with a method's name, but got {dict(parameters)} beside {method!r}. "
                "Give them to the method itself."
            )
        return _name_of(method, known), method
    if method not in known:
        raise UnknownNameError("method", method, known)
    parameters = dict(parameters or {})
    for name in parameters:
        if name not in known[method].parameters:
            raise UnknownNameError(f"parameter of {method}", name, known[method].parameters)
    return method, known[method].cls(**parameters)


def parameters_of(method: Method) -> dict[str, Any]:
    """Return a method's parameters as JSON values."""
    return {f.name: getattr(method, f.name) for f in fields(method)}  # type: ignore[arg-type]


def _name_of(method: Method, known: Mapping[str, MethodInfo]) -> str:
    for name, info in known.items():
        if isinstance(method, info.cls):
            return name
    raise ArgumentError(
        f"Expected `method` to be a registered name or method, but got {method!r}. "
        "Enter your class with @register_method."
    )


@cache
def _import_all() -> None:
    package = importlib.import_module("fiftyone_saliency.methods")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    for point in entry_points(group="fiftyone_saliency.methods"):
        point.load()
