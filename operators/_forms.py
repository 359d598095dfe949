"""A form that is filled in while it is built: each entry gives back its checked value, or its default.

FiftyOne fills in defaults, and checks types, in the browser alone. Here both stand with the entry: an operator that is
called without its form (from Python, by an agent, delegated) does what the form would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fiftyone.operators.types as types

from fiftyone_saliency.core.errors import ArgumentError, SaliencyError, nearest
from fiftyone_saliency.core.escaping import code_block, markdown

# What FiftyOne, or a panel, sends along with the entries.
_SYSTEM = {"panel_id", "panel_state", "view_target", "custom_view_target", "delegate", "__method__"}
_NAME, _PATH, _TEXT = 100, 1000, 20_000
_SHOWN, _LARGEST = 80, 2**53


class Form:
    """The entries of an operator's form, with what was given for them.

    Args:
        ctx: FiftyOne's execution context, whose parameters are what was given.

    Attributes:
        values: by entry, what was given if it makes sense, else the default; None where there is neither.
        problems: by entry, why the form cannot be executed.
    """

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx
        self.inputs = types.Object()
        self.values: dict[str, Any] = {}
        self.problems: dict[str, str] = {}
        self._given: dict[str, Any] = dict(ctx.params or {})

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def ignored(self) -> list[str]:
        """Names that were given and are no entries of the form as it is now."""
        return sorted(str(name) for name in self._given if name not in self.values and name not in _SYSTEM)

    def given(self, name: str) -> bool:
        """Return whether a value was given for an entry."""
        return self._given.get(name) is not None

    def name(self, name: str, label: str, description: str = "", **settings: Any) -> str | None:
        """Add a short text that names something."""
        return self.text(name, label, description, longest=_NAME, **settings)

    def path(self, name: str, label: str, description: str = "", **settings: Any) -> str | None:
        """Add the path of a file or folder."""
        return self.text(name, label, description, longest=_PATH, **settings)

    def text(
        self,
        name: str,
        label: str,
        description: str = "",
        *,
        default: str | None = None,
        required: bool = True,
        longest: int = _TEXT,
        empty: bool = False,
        view: Any = None,
    ) -> str | None:
        """Add a text and return it without the blanks around it; None where it is empty, if it may be ``empty``."""
        entry = {} if view is None else {"view": view}
        self.inputs.str(name, label=label, description=description, default=default, required=required, **entry)

        def check(value: Any) -> str | None:
            if not isinstance(value, str) or "\x00" in value or not _can_be_stored(value):
                raise ArgumentError(f"Expected a text, but got {_shown(value)}.")
            if len(value) > longest:
                raise ArgumentError(f"Expected at most {longest} characters, but got {len(value)}.")
            if required and not empty and not value.strip():
                raise ArgumentError(f"Expected a non-empty text, but got {_shown(value)}.")
            return value.strip() or None

        return self._read(name, default, required, check)

    def number(
        self,
        name: str,
        label: str,
        description: str = "",
        *,
        default: float | None = None,
        low: float | None = None,
        high: float | None = None,
        whole: bool = False,
        required: bool = True,
    ) -> Any:
        """Add a number between two bounds, both included."""
        add = self.inputs.int if whole else self.inputs.float
        add(name, label=label, description=description, default=default, min=low, max=high, required=required)
        wanted = "a whole number" if whole else "a number"
        limits = {"at least": low, "at most": high}
        bounds = [f"{words} {limit:g}" for words, limit in limits.items() if limit is not None]

        def check(value: Any) -> float:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            # Beyond that, neither the browser nor the database has every integer.
            if not number or not abs(value) <= _LARGEST or (whole and value != int(value)):
                raise ArgumentError(f"Expected {wanted}, but got {_shown(value)}.")
            if (low is not None and value < low) or (high is not None and value > high):
                raise ArgumentError(f"Expected {wanted} of {' and '.join(bounds)}, but got {_shown(value)}.")
            return int(value) if whole else value

        return self._read(name, default, required, check)

    def switch(self, name: str, label: str, description: str = "", *, default: bool = False) -> bool:
        """Add a switch."""
        view = types.SwitchView()
        self.inputs.bool(name, label=label, description=description, default=default, view=view)

        def check(value: Any) -> bool:
            if not isinstance(value, bool):
                raise ArgumentError(f"Expected true or false, but got {_shown(value)}.")
            return value

        return self._read(name, default, False, check)

    def choice(
        self,
        name: str,
        values: Sequence[str],
        label: str,
        description: str = "",
        *,
        default: str | None = None,
        required: bool = True,
        guess: bool = True,
        titles: Mapping[str, str] | None = None,
        radio: bool = False,
    ) -> str | None:
        """Add a list to choose one value from.

        Args:
            name: the entry.
            values: what can be chosen.
            label: what the entry is called.
            description: one more sentence.
            default: what is preferred.
            required: whether there must be one.
            guess: whether the first value is the default where there must be one and none is preferred.
            titles: what is shown for a value, and behind ": " what it means.
            radio: whether all values stand side by side.
        """
        values = list(values)
        if default not in values:
            default = values[0] if values and required and guess else None
        view: Any = types.RadioGroup() if radio else types.DropdownView()
        for value in values:
            title, _, what = titles[value].partition(": ") if titles else (value, "", "")
            view.add_choice(value, label=title, description=what)
        self.inputs.enum(
            name, values, label=label, description=description, default=default, required=required, view=view
        )
        return self._read(name, default, required, lambda value: _one_of(value, values))

    def several(
        self,
        name: str,
        values: Sequence[str],
        label: str,
        description: str = "",
        *,
        required: bool = False,
        free: bool = False,
    ) -> list[str]:
        """Add a list to choose several values from, other ones included where it is ``free``."""
        if free:
            choices = [types.Choice(value, label=value) for value in values]
            view = types.AutocompleteView(choices=choices, allow_user_input=True, allow_duplicates=False)
        else:
            view = types.DropdownView(multiple=True)
            for value in values:
                view.add_choice(value, label=value)
        self.inputs.list(name, types.String(), label=label, description=description, required=required, view=view)

        def check(value: Any) -> list[str]:
            if not isinstance(value, list):
                raise ArgumentError(f"Expected a list, but got {_shown(value)}.")
            chosen = [_short_text(one) if free else _one_of(one, values) for one in value]
            if required and not chosen:
                raise ArgumentError("Expected at least one, but got none.")
            return chosen

        return self._read(name, [], required, check)

    def note(self, name: str, text: str) -> None:
        """Add a notice, shown as it is."""
        self.inputs.view(name, types.Notice(label=markdown(text)))

    def block(self, name: str, text: str) -> None:
        """Add a notice of several lines, shown as they are."""
        self.inputs.view(name, types.Notice(label=code_block(text)))

    def markdown(self, name: str, text: str) -> None:
        """Add formatted text; what comes from a dataset must be escaped by the caller."""
        self.inputs.md(text, name=name)

    def refuse(self, name: str, problem: str) -> None:
        """Mark an entry as wrong, with the reason; the form cannot be executed then."""
        if name not in self.problems:
            self.problems[name] = problem
        entry = self.inputs.properties.get(name)
        if entry is None:
            entry = self.inputs.view(name, types.Error(label=markdown(problem)))
        entry.invalid = True
        entry.error_message = self.problems[name]

    def check(self, name: str, check: Callable[[], Any]) -> Any:
        """Return what a check of an entry returns; refuse the entry, and return None, where the check fails."""
        if name in self.problems:
            return None
        try:
            return check()
        except (SaliencyError, OSError) as error:
            self.refuse(name, str(error))
        return None

    def finish(self, label: str, description: str) -> Any:
        """Return the form for FiftyOne, and fill in the context's parameters where nothing was given."""
        for name, value in self.values.items():
            if self.ctx.params.get(name) is None and value not in (None, []):
                self.ctx.params[name] = value
        return types.Property(self.inputs, view=types.View(label=label, description=description))

    def require_filled(self) -> None:
        """Raise unless the form can be executed.

        Raises:
            ArgumentError: if an entry is wrong, or a required one is missing.
        """
        for name, problem in self.problems.items():
            raise ArgumentError(f"{name}: {problem}")
        for name, entry in self.inputs.properties.items():
            if entry.required and name in self.values and self.values[name] in (None, []):
                raise ArgumentError(f"Expected `{name}` ({entry.type.__class__.__name__.lower()}), but got nothing.")

    def _read(self, name: str, default: Any, required: bool, check: Callable[[Any], Any]) -> Any:
        """Keep and return what was given for an entry, or its default; refuse what makes no sense."""
        value = self._given.get(name)
        self.values[name] = default
        if name in self._given and (value is not None or required):
            try:
                self.values[name] = check(value)
            except ArgumentError as error:
                self.refuse(name, str(error))
        return self.values[name]


def _one_of(value: Any, values: Sequence[str]) -> str:
    if isinstance(value, str) and value in values:
        return value
    near = nearest(value[:_SHOWN], values) if isinstance(value, str) else []
    listed = ", ".join(near or list(values)[:20]) or "nothing yet"
    raise ArgumentError(f"Expected one of {listed}{' …' if len(near or values) > 20 else ''}, but got {_shown(value)}.")


def _short_text(value: Any) -> str:
    if isinstance(value, str) and value.strip() and len(value) <= _NAME and _can_be_stored(value):
        return value.strip()
    raise ArgumentError(f"Expected texts of 1 to {_NAME} characters, but got {_shown(value)}.")


def _can_be_stored(text: str) -> bool:
    """Return whether the text is whole Unicode: a lone surrogate cannot be written to the database."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > _LARGEST:
        return f"a number of {value.bit_length()} bits"  # too long ones have no text in Python
    text = ascii(value) if isinstance(value, str) and not _can_be_stored(value) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
