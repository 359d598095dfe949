"""Regions as expressions over what samples carry: labels, parts of their boxes, and an algebra over those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a label field holds: all of it, or what has one label."""

    field: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The share of the box around each instance that lies at one side: "top", "bottom", "left" or "right"."""

    of: Labelled | Part
    side: str
    share: float


@dataclass(frozen=True, slots=True)
class Instances:
    """The instance masks of detections."""

    of: Labelled


@dataclass(frozen=True, slots=True)
class Border:
    """A strip along each edge of the image, as a share of its width or height."""

    share: float


@dataclass(frozen=True, slots=True)
class Named:
    """A region of the same specification."""

    name: str


@dataclass(frozen=True, slots=True)
class Rest:
    """What no region covers that does not itself use it."""


@dataclass(frozen=True, slots=True)
class Grow:
    """Dilation by a disc; its radius is a share of the image's longer side."""

    of: Expression
    share: float


@dataclass(frozen=True, slots=True)
class Complement:
    """All of the image but the region."""

    of: Expression


@dataclass(frozen=True, slots=True)
class Combined:
    """Two regions under one operator: "|", "&" or "-"."""

    operator: str
    left: Expression
    right: Expression


Leaf = Labelled | Part | Instances
Expression = Leaf | Border | Named | Rest | Grow | Complement | Combined


@dataclass(frozen=True)
class RegionSpec:
    """Named regions, each with its expression, in order.

    Args:
        regions: expression of each region.
    """

    regions: Mapping[str, Expression]

    @cached_property
    def leaves(self) -> frozenset[Leaf]:
        """What is read from the samples, as the expressions use it."""
        return frozenset(e for e in self.walk() if isinstance(e, Labelled | Part | Instances))

    @cached_property
    def labels(self) -> frozenset[Labelled]:
        """The labels that any expression refers to."""
        return frozenset(labelled(leaf) for leaf in self.leaves)

    @cached_property
    def late(self) -> frozenset[str]:
        """Names of the regions that use `rest`, themselves or through another region."""
        found: set[str] = set()
        for name, expression in self.regions.items():
            if any(isinstance(e, Rest) or (isinstance(e, Named) and e.name in found) for e in walk(expression)):
                found.add(name)
        return frozenset(found)

    @cached_property
    def borders(self) -> frozenset[Border]:
        """The borders that any expression refers to."""
        return frozenset(e for e in self.walk() if isinstance(e, Border))

    @cached_property
    def grows(self) -> bool:
        """Whether anything is dilated."""
        return any(isinstance(e, Grow) for e in self.walk())

    def walk(self) -> Iterator[Expression]:
        """Yield all expressions with their parts; a leaf is one part."""
        for expression in self.regions.values():
            yield from walk(expression)


def plain_regions(field: str, labels: Iterable[str]) -> RegionSpec:
    """Make each label of a field a region, and what none of them covers the background.

    A label that is itself called "background" is joined by what no label covers.
    """
    rest: dict[str, Expression] = {BACKGROUND: Rest()}
    regions: dict[str, Expression] = {label: Labelled(field, label) for label in sorted(labels)}
    if BACKGROUND in regions:
        rest[BACKGROUND] = Combined("|", regions[BACKGROUND], Rest())
    return RegionSpec(dict(sorted((regions | rest).items())))


def walk(expression: Expression, grown: bool = True) -> Iterator[Expression]:
    """Yield an expression and its parts, also those within `Grow` unless told not to; a leaf is one part."""
    yield expression
    match expression:
        case Combined(_, left, right):
            yield from walk(left, grown)
            yield from walk(right, grown)
        case Complement(of):
            yield from walk(of, grown)
        case Grow(of) if grown:
            yield from walk(of, grown)
        case _:
            pass


def labelled(leaf: Leaf) -> Labelled:
    """Return the label that a leaf is made from."""
    return leaf if isinstance(leaf, Labelled) else labelled(leaf.of)
