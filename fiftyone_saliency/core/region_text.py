"""The language that regions are written in, as `define_regions` explains it: text becomes expressions, never executed.

Python's own parser reads the text, so that precedence and error messages are Python's; of its tree only the few forms
below have a meaning.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword

from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.region_spec import (
    Border,
    Combined,
    Complement,
    Expression,
    Grow,
    Instances,
    Labelled,
    Named,
    Part,
    RegionSpec,
    Rest,
)

MAX_LENGTH = 500
REST = "rest"
_OPERATORS: dict[type[ast.operator], str] = {ast.BitOr: "|", ast.BitAnd: "&", ast.Sub: "-"}
_NOT_IN_NAMES = ".$=\n\0"
"""The database takes no dot, dollar or zero in a key; a line of text is ``name = expression``."""
_SIDES = ("top", "bottom", "left", "right")
_ARGUMENTS = dict.fromkeys(_SIDES, "region, share") | {
    "grow": "region, share",
    "border": "share",
    "instances": "field.label",
}
_LIMITS = dict.fromkeys((*_SIDES, "grow"), 1.0) | {"border": 0.5}
RESERVED = frozenset({REST, *_ARGUMENTS})


def parse_regions(regions: Mapping[str, str]) -> RegionSpec:
    """Read the expression of each region; an expression may refer to the regions before it.

    Raises:
        ArgumentError: if there is no region, a name cannot be used, or an expression cannot be read.
    """
    if not isinstance(regions, Mapping) or not regions:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            "Expected `regions` to name at least one region, but got "
            f"{regions!r}. Write them like {{'head': 'top(people.person, 0.3)', 'background': 'rest'}}."
        )
    known: dict[str, Expression] = {}
    for name, text in regions.items():
        _check_region_name(name)
        known[name] = _Reader(name, text, known, frozenset(regions)).read()
    return RegionSpec(known)


def parse_lines(text: str) -> dict[str, str]:
    """Split lines like ``head = top(people.person, 0.3)`` into names and expressions; empty lines are left out.

    Raises:
        ArgumentError: if a line has no name, or a name stands twice.
    """
    regions: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, expression = (part.strip() for part in line.partition("="))
        if not (name and equals and expression):
            raise ArgumentError(f"Expected a line like 'head = top(people.person, 0.3)', but got {line!r}.")
        if name in regions:
            raise ArgumentError(f"Expected each region once, but got {name!r} twice. Join the two with |.")
        regions[name] = expression
    return regions


def write_label(field: str, label: str | None = None) -> str:
    """Return the text that stands for a field, or for one of its labels."""
    if label is None:
        return field
    return f"{field}.{label}" if label.isidentifier() and not iskeyword(label) else f"{field}[{label!r}]"


def _check_region_name(name: object) -> None:
    if (
        isinstance(name, str)
        and name.strip() == name != ""
        and not set(name) & set(_NOT_IN_NAMES)
        and name not in RESERVED
    ):
        return
    raise ArgumentError(
        f"Expected the name of a region, but got {name!r}. Choose a text without dot, dollar sign or equals "
        f"sign that is none of {', '.join(sorted(RESERVED))}."
    )


@dataclass(frozen=True)
class _Reader:
    """Reads one expression of a specification."""

    name: str
    text: str
    known: Mapping[str, Expression]
    names: frozenset[str]

    def read(self) -> Expression:
        if not isinstance(self.text, str) or len(self.text) > MAX_LENGTH:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise self._error(f"text of at most {MAX_LENGTH} characters", repr(self.text)[:50])
        try:
            return self._expression(ast.parse(self.text.strip(), mode="eval").body)
        except SyntaxError as error:
            reason = f"{self.text!r}, which cannot be read: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, ArgumentError):
                raise
            reason = f"{self.text[:50]!r}, which cannot be read"
        raise self._error("an expression", reason)

    def _expression(self, node: ast.expr) -> Expression:
        match node:
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=ast.Name(id=field), attr=label):
                return Labelled(field, label)
            case ast.Subscript(value=ast.Name(id=field), slice=ast.Constant(value=str() | int() as label)):
                return Labelled(field, str(label))
            case ast.BinOp(op=operator) if type(operator) in _OPERATORS:
                left, right = self._expression(node.left), self._expression(node.right)
                return Combined(_OPERATORS[type(operator)], left, right)
            case ast.UnaryOp(op=ast.Invert()):
                return Complement(self._expression(node.operand))
            case ast.Call(func=ast.Name(id=function), keywords=[]):
                return self._call(node, function)
            case _:
                raise self._error("field.label, a region before it, a function, or | & - ~ of those", repr(_text(node)))

    def _name(self, name: str) -> Expression:
        if name == REST:
            return Rest()
        if name in self.known:
            return Named(name)
        if name in self.names:
            raise self._error("only regions that stand before it", repr(name), "Change the order.")
        return Labelled(name)

    def _call(self, node: ast.Call, function: str) -> Expression:
        if function not in _ARGUMENTS:
            raise UnknownNameError("function", function, _ARGUMENTS, f"It stands in region {self.name!r}.")
        wanted = _ARGUMENTS[function]
        if len(node.args) != len(wanted.split(",")):
            raise self._error(f"{function}({wanted})", repr(_text(node)))
        if function == "instances":
            return Instances(self._labelled(node.args[0]))
        share = self._share(node.args[-1], function)
        if function == "border":
            return Border(share)
        if function == "grow":
            return Grow(self._expression(node.args[0]), share)
        return Part(self._boxes(node.args[0], function), function, share)

    def _boxes(self, node: ast.expr, function: str) -> Labelled | Part:
        expression = self._resolved(node)
        if not isinstance(expression, Labelled | Part):
            raise self._error(f"{function}(...) to take labels, such as people.person", repr(_text(node)))
        return expression

    def _labelled(self, node: ast.expr) -> Labelled:
        expression = self._resolved(node)
        if not isinstance(expression, Labelled):
            raise self._error("instances(...) to take labels, such as people.person", repr(_text(node)))
        return expression

    def _resolved(self, node: ast.expr) -> Expression:
        """Read an expression; a region that is only another name for labels is those labels."""
        expression = self._expression(node)
        while isinstance(expression, Named):
            expression = self.known[expression.name]
        return expression

    def _share(self, node: ast.expr, function: str) -> float:
        value = node.value if isinstance(node, ast.Constant) else None
        limit = _LIMITS[function]
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= limit:
            return float(value)
        raise self._error(f"the share of {function}({_ARGUMENTS[function]}) above 0 and up to {limit:g}", _text(node))

    def _error(self, wanted: str, got: str, way_out: str = "") -> ArgumentError:
        way_out = way_out or "Write it like top(people.person, 0.3) or people.person - head."
        return ArgumentError(f"Expected {wanted} in region {self.name!r}, but got {got}. {way_out}")


def _text(node: ast.expr) -> str:
    return ast.unparse(node)
