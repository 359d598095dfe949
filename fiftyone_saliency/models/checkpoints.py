"""Find a network's weights in a checkpoint: under any name and prefix, beside whatever else was stored with them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fiftyone_saliency.core.errors import ModelError

State = Mapping[str, Any]
"""Tensors by the dotted name that a state dict has for them."""

# What tools put between the names of a network: DataParallel, torch.compile, FSDP and activation checkpoints.
_TOOLS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# What a training loop, or the file that it writes, calls the network that it holds.
_HOLDERS = {"model", "net", "network", "state_dict", "model_state_dict", "weights", "params"}
# Averages of the weights over the training: they fit too, but are not the network that was trained.
_AVERAGES = re.compile(r"(?i)(^|[._])(ema|swa|avg|averaged?|teacher|momentum|target|slow)([._]|$)")
# What a layer keeps beside its weights and finds by itself, or what a profiler has left there.
_DERIVED = re.compile(
    r"(^|\.)(num_batches_tracked|position_ids|relative_position_index|relative_coords_table|attn_mask"
    r"|total_ops|total_params)$"
)
_DEPTH = 3
_SHOWN = 3
_COMPARED = 5


@dataclass(frozen=True, eq=False)
class Fit:
    """What a checkpoint holds for a network.

    Args:
        state: the network's tensors by its own names.
        rest: names of the checkpoint's tensors that are not the network's.
    """

    state: State
    rest: tuple[str, ...]

    @property
    def named_rest(self) -> str:
        """The rest as text; more than three of one part are counted."""
        parts: dict[str, list[str]] = defaultdict(list)
        for name in self.rest:
            parts[name.partition(".")[0]].append(name)
        told = [
            ", ".join(names) if len(names) <= _SHOWN else f"{part} ({len(names)} tensors)"
            for part, names in parts.items()
        ]
        return ", ".join(told)


def fit(checkpoint: Any, own: State) -> Fit:
    """Find the weights of a network in a checkpoint.

    The network's part is a set of names behind one prefix that holds every name of the network in its shape, and no
    more of the same modules. What `DataParallel` and ``torch.compile`` put into names does not count, wherever it
    stands. Of several such sets, averages of the weights over the training are passed over.

    Args:
        checkpoint: nested mappings with tensors, as they were read.
        own: the network's state dict.

    Returns:
        The network's tensors, and the names of what was left out.

    Raises:
        ModelError: if the checkpoint holds no tensors, no part that fits, or several; the error says what differs.
    """
    given = dict(_flat(checkpoint, _DEPTH))
    if not any(isinstance(value, Tensor) for value in given.values()):
        raise ModelError(f"a {type(checkpoint).__name__} without tensors. Save `model.state_dict()`.")
    names, own_names = _plain(given, _without_tools), _without_holder(_plain(own, _without_tools))
    parts = _parts(given, names, own, own_names)
    whole = [part for part in parts if not part.problems]
    if not whole:
        # A prefix may stand before some names only, where parts of a network were wrapped one by one.
        names = _plain(given, lambda name: _strip(_without_tools(name)))
        whole = [part for part in _parts(given, names, own, own_names) if not part.problems]
    if not whole:
        raise ModelError(_complaint(parts, given, own))
    chosen = _choose(whole)
    left = [n for n, value in given.items() if isinstance(value, Tensor) and n not in chosen.taken]
    held = next((h for h in ("state_dict.", "model_state_dict.") if chosen.prefix.startswith(h)), "")
    return Fit(chosen.state, tuple(name.removeprefix(held) for name in left if not _DERIVED.search(name)))


@dataclass(frozen=True, eq=False)
class _Part:
    """The tensors of a checkpoint that stand behind one prefix, held against the network's.

    Args:
        prefix: what stands before the network's names.
        given: the checkpoint's tensors.
        names: its names by their plain form.
        own: the network's tensors.
        own_names: its names by their plain form.
    """

    prefix: str
    given: State
    names: Mapping[str, str]
    own: State
    own_names: Mapping[str, str]

    @cached_property
    def pairs(self) -> dict[str, str]:
        """The checkpoint's name of each of the network's names."""
        behind = {plain: self.names.get(self.prefix + plain) for plain in self.own_names}
        return {self.own_names[plain]: name for plain, name in behind.items() if name is not None}

    @property
    def state(self) -> State:
        """The network's tensors by its own names."""
        return {name: self.given[theirs] for name, theirs in self.pairs.items()}

    @property
    def taken(self) -> set[str]:
        """The checkpoint's names of them."""
        return set(self.pairs.values())

    @cached_property
    def unlike(self) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
        """Names whose shapes differ: name, shape in the checkpoint, shape in the network."""
        both = [(name, self.given[theirs], self.own[name]) for name, theirs in self.pairs.items()]
        return [
            (name, tuple(theirs.shape), tuple(ours.shape))
            for name, theirs, ours in both
            if isinstance(theirs, Tensor) and isinstance(ours, Tensor) and theirs.shape != ours.shape
        ]

    @cached_property
    def problems(self) -> dict[str, list[str]]:
        """What does not fit, in words."""
        behind = [plain.removeprefix(self.prefix) for plain in self.names if plain.startswith(self.prefix)]
        found = {
            "missing": [
                plain for plain, name in self.own_names.items() if name not in self.pairs and not _DERIVED.search(plain)
            ],
            "unknown": [plain for plain in behind if plain not in self.own_names and _is_of(plain, self.own_names)],
            "size mismatch for": [f"{name} {theirs} instead of {ours}" for name, theirs, ours in self.unlike],
        }
        return {what: names for what, names in found.items() if names}

    @property
    def distance(self) -> int:
        """How many names stand between this part and the network."""
        return sum(len(names) for names in self.problems.values())

    @property
    def heads(self) -> tuple[int, int] | None:
        """How many classes the checkpoint's head has, and the network's, if nothing else differs."""
        rows = {(theirs[:1], ours[:1]) for _, theirs, ours in self.unlike}
        alike = all(theirs[1:] == ours[1:] for _, theirs, ours in self.unlike)
        layers = {name.rpartition(".")[0] for name, _, _ in self.unlike}
        if len(self.problems) > 1 or len(rows) != 1 or not alike or len(layers) != 1:
            return None
        ((theirs, ours),) = rows
        return (theirs[0], ours[0]) if theirs and ours else None


def _flat(checkpoint: Any, depth: int, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested mappings that hold tensors, by dotted names; an optimizer's are left out."""
    if not isinstance(checkpoint, Mapping):
        return
    holds_tensors = any(isinstance(value, Tensor) for value in checkpoint.values())
    for key, value in checkpoint.items():
        if isinstance(value, Mapping):
            if depth and not {"state", "param_groups"} <= {*value}:
                yield from _flat(value, depth - 1, f"{prefix}{key}.")
        elif isinstance(value, Tensor) or holds_tensors:
            yield f"{prefix}{key}", value


def _without_tools(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _TOOLS)


def _strip(name: str) -> str:
    """Take off what holds the network."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _HOLDERS:
        del parts[0]
    return ".".join(parts)


def _plain(state: State, simplify: Any) -> dict[str, str]:
    """Return names by their simple form; as they are where that would make two the same."""
    plain = {simplify(name): name for name in state}
    return plain if len(plain) == len(state) else {name: name for name in state}


def _without_holder(names: Mapping[str, str]) -> dict[str, str]:
    """Take off what holds the network, where it stands before all names."""
    heads = {plain.partition(".")[0] for plain in names}
    while len(heads) == 1 and heads <= _HOLDERS and all("." in plain for plain in names):
        names = {plain.partition(".")[2]: name for plain, name in names.items()}
        heads = {plain.partition(".")[0] for plain in names}
    return dict(names)


def _parts(given: State, names: Mapping[str, str], own: State, own_names: Mapping[str, str]) -> list[_Part]:
    """Return the likely parts: those behind a prefix that all names have, else behind those that most have."""
    ends = {plain for plain in own_names if not _DERIVED.search(plain)}
    found: Counter[str] = Counter()
    for plain in names:
        starts = (0, *(dot.end() for dot in re.finditer(r"\.", plain)))
        found.update(plain[:start] for start in starts if plain[start:] in ends)
    complete = [prefix for prefix, count in found.items() if count == len(ends)]
    likely = complete or [prefix for prefix, _ in found.most_common(_COMPARED)]
    return [_Part(prefix, given, names, own, own_names) for prefix in likely]


def _is_of(name: str, own: Mapping[str, str]) -> bool:
    """Return whether an entry that the network lacks looks like a part of it: then it is another architecture."""
    heads = {plain.partition(".")[0] for plain in own}
    head = name.partition(".")[0]
    numbered = head.isdigit() and any(other.isdigit() for other in heads)
    return not _DERIVED.search(name) and (head in heads or numbered)


def _choose(parts: Sequence[_Part]) -> _Part:
    """Return the one part that is meant.

    Raises:
        ModelError: if several fit, and no name says which.
    """
    trained = [part for part in parts if not _AVERAGES.search(part.prefix)] or list(parts)
    strange = {part: sum(p not in _HOLDERS for p in part.prefix.split(".")[:-1]) for part in trained}
    chosen = [part for part in trained if strange[part] == min(strange.values())]
    if any(not _same(chosen[0].state, part.state) for part in chosen[1:]):
        names = " and ".join(f"`{part.prefix.rstrip('.')}`" for part in chosen)
        raise ModelError(f"several networks that fit, {names}. Save the state dict of the one that is meant.")
    return chosen[0]


def _same(one: State, other: State) -> bool:
    pairs = ((value, other[name]) for name, value in one.items() if isinstance(value, Tensor))
    return all(torch.equal(*pair) for pair in pairs)


def _complaint(parts: Sequence[_Part], given: State, own: State) -> str:
    """Say what differs between the network and the part that is nearest to it, and what to do."""
    if not parts:
        return (
            f"missing {_short(list(own))}; unknown {_short(list(given))}: no name of the network's. "
            "Use the architecture that it was saved from."
        )
    part = min(parts, key=lambda part: part.distance)
    told = "; ".join(f"{what} {_short(names)}" for what, names in part.problems.items())
    if part.heads is None:
        return f"{told}. Use the architecture and the class list it was trained with."
    theirs, ours = part.heads
    return (
        f"{told}. Its head has {theirs} classes, the network's {ours}: build the network for {theirs} classes and "
        f"pass those {theirs} `classes`, in the order of the training."
    )


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
