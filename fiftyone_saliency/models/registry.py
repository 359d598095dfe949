"""Named models: what the App's form offers, and nothing else.

A model is registered in Python for this process; by an import path or a Python file in a TOML file of the user's
FiftyOne configuration folder, which the App's server reads too; or by an installed package, through an entry point
of the group ``fiftyone_saliency.models`` that names a function. Of one name, the first of these counts. A browser
only ever sends the name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import tomlkit
from filelock import FileLock
from tomlkit.exceptions import TOMLKitError

from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError

FILE_VARIABLE = "FIFTYONE_SALIENCY_MODELS"
ENTRY_POINTS = "fiftyone_saliency.models"
_IN_PROCESS: dict[str, RegisteredModel] = {}


@dataclass(frozen=True)
class RegisteredModel:
    """A name and how to make the model.

    Args:
        name: what the form shows.
        loader: a function that returns what `load_model` takes, or ``"package.module:function"`` or
            ``"/path/to/file.py:function"``.
        arguments: keyword arguments for the function, plain JSON values.
        package: the installed package that brings it by an entry point, if one does.
    """

    name: str
    loader: Callable[..., Any] | str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    package: str | None = None

    def load(self) -> Any:
        """Call the loader.

        Raises:
            ModelError: if the loader cannot be found or fails.
        """
        loader = self.loader if callable(self.loader) else _resolve(self.loader, self)
        try:
            return loader(**self.arguments)
        except Exception as error:
            raise ModelError(f"Expected the registered model {self.name!r} to load, but got: {error}") from error


def models_file() -> Path:
    """Return the path of the TOML file: ``$FIFTYONE_SALIENCY_MODELS`` or beside FiftyOne's configuration."""
    if os.environ.get(FILE_VARIABLE):
        return Path(os.environ[FILE_VARIABLE]).expanduser()
    config = os.environ.get("FIFTYONE_CONFIG_PATH") or "~/.fiftyone/config.json"
    return Path(config).expanduser().parent / "saliency_models.toml"


def registered_models() -> dict[str, RegisteredModel]:
    """Return all registered models by name; of this process before the file's before those of packages.

    Nothing is imported for it.

    Raises:
        ModelError: if the file is not what it should be.
    """
    return {**_of_packages(), **_read_file(), **_IN_PROCESS}


def register(name: str, loader: Callable[..., Any] | str, arguments: Mapping[str, Any]) -> RegisteredModel:
    """Register a model under a name, replacing an earlier one.

    A loader given as text is written to the TOML file, so that the App's server finds it too; a function lives
    as long as this process.

    Raises:
        ArgumentError: if the name is empty, the text is not ``"where:function"`` or TOML cannot hold an argument.
    """
    if not name or not isinstance(name, str):
        raise ArgumentError(f"Expected `name` to be a non-empty string, but got {name!r}.")
    model = RegisteredModel(name, loader, dict(arguments))
    if callable(loader):
        _IN_PROCESS[name] = model
        return model
    if not isinstance(loader, str) or ":" not in loader:
        raise ArgumentError(
            f"Expected `loader` to be 'package.module:function' or '/path/file.py:function', but got {loader!r}."
        )
    with _changed_file() as models:
        models[name] = model
    _IN_PROCESS.pop(name, None)
    return model


def unregister(name: str) -> None:
    """Forget a registered model, in this process and in the file.

    Raises:
        UnknownNameError: if no model has the name.
        ArgumentError: if an installed package brings it.
    """
    known = registered_models()
    if name not in known:
        raise UnknownNameError("registered model", name, known)
    if known[name].package is not None:
        raise ArgumentError(
            f"Expected a model that was registered by `register_model`, but {name!r} comes with the installed package "
            f"{known[name].package}. Uninstall that."
        )
    with _changed_file() as models:
        models.pop(name, None)
    _IN_PROCESS.pop(name, None)


@cache
def _of_packages() -> dict[str, RegisteredModel]:
    """Return the models of installed packages: they do not change while the process lives."""
    points = entry_points(group=ENTRY_POINTS)
    return {p.name: RegisteredModel(p.name, p.value, {}, p.dist.name if p.dist else p.module) for p in points}


def _resolve(path: str, model: RegisteredModel) -> Callable[..., Any]:
    where, _, function = path.rpartition(":")
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"fiftyone_saliency_user_{Path(where).stem}", where)
            if spec is None or spec.loader is None:
                raise ImportError(f"{where} is not a Python file")
            module = importlib.util.module_from_spec(spec)
            # Dataclasses and pickle look their module up by its name.
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        return getattr(module, function)
    except Exception as error:
        where = f"the package {model.package}" if model.package else f"the entry in {models_file()}"
        raise ModelError(
            f"Expected the loader {path!r} of model {model.name!r} to be importable, but got: {error}. Mend {where}."
        ) from error


def _read_file() -> dict[str, RegisteredModel]:
    path = models_file()
    if not path.is_file():
        return {}
    try:
        entries = tomlkit.loads(path.read_text(encoding="utf-8")).unwrap()
        return {name: _from_entry(name, entry) for name, entry in entries.items()}
    except (TOMLKitError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f'Expected {path} to hold entries like [my-model] loader = "module:function", but got: {error!r}.'
        ) from error


def _from_entry(name: str, entry: Mapping[str, Any]) -> RegisteredModel:
    loader, arguments = entry["loader"], entry.get("arguments", {})
    if not isinstance(loader, str) or not isinstance(arguments, dict):
        raise TypeError(f"loader {loader!r} with arguments {arguments!r} in [{name}]")
    return RegisteredModel(name, loader, arguments)


@contextmanager
def _changed_file() -> Iterator[dict[str, RegisteredModel]]:
    """Give the file's models to change, and write them back; no other process changes the file meanwhile."""
    path = models_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        models = _read_file()
        before = dict(models)
        yield models
        if models != before:
            _write_file(models, path)


def _write_file(models: Mapping[str, RegisteredModel], path: Path) -> None:
    entries = {m.name: {"loader": m.loader, "arguments": dict(m.arguments)} for m in models.values()}
    try:
        text = tomlkit.dumps(entries)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"Expected `arguments` to be plain values that TOML can hold, but got: {error}.") from error
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
