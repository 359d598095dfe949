"""What all operators have in common: ask, act, answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_saliency.core.errors import SaliencyError

from . import _answers, _progress
from ._answers import Answer
from ._forms import Form


class SaliencyOperator(foo.Operator):
    """An operator whose form and execution read the same entries, with the same defaults.

    Attributes:
        title: heading of the form and of the answer.
        about: one sentence under it.
        running: what stands beside the progress bar; empty for what is done in a moment.
        needs_dataset: whether it takes a dataset.
    """

    title: ClassVar[str] = ""
    about: ClassVar[str] = ""
    running: ClassVar[str] = ""
    needs_dataset: ClassVar[bool] = True

    def ask(self, form: Form) -> None:
        """Add the entries."""
        raise NotImplementedError

    def act(self, ctx: Any, form: Form, progress: Any) -> Answer:
        """Do it.

        Args:
            ctx: FiftyOne's execution context.
            form: the entries with their values.
            progress: a FiftyOne progress callback, or False.
        """
        raise NotImplementedError

    def resolve_input(self, ctx: Any) -> Any:
        """Build the form, and fill in what was not given."""
        form = Form(ctx)
        if self.needs_dataset and ctx.dataset is None:
            form.refuse("dataset", "Expected a dataset, but got none. Open one, or pass its name.")
        else:
            try:
                self.ask(form)
            except SaliencyError as error:
                form.refuse("problem", str(error))
        finished = form.finish(self.title, self.about)
        ctx.saliency_form = (self.name, dict(ctx.params), form)
        return finished

    def execute(self, ctx: Any) -> Any:
        """Act on the filled form.

        Returns:
            The answer as JSON values; to the App, for long work, a generator of messages that ends with it.

        Raises:
            SaliencyError: if the form is not filled in, or what the SDK's verb raises.
        """
        streamed = _is_streamed(ctx)
        form = self._filled(ctx)
        form.require_filled()

        def work(progress: Any) -> Answer:
            answer = self.act(ctx, form, progress)
            return replace(answer, data={**answer.data, "ignored": form.ignored}) if form.ignored else answer

        if not self.running:
            answer = work(False)
        elif streamed:
            return _progress.stream(ctx, self.running, work)
        else:
            report = (lambda done: ctx.set_progress(progress=done)) if ctx.delegated else None
            answer = _progress.run(ctx.dataset, self.running, work, report)
        if answer.then is not None:
            answer.then(ctx)
        return answer.to_json()

    def resolve_output(self, ctx: Any) -> Any:
        """Show the answer; long work in the App has shown it already."""
        text = (ctx.results or {}).get("text")
        if text is None or (self.running and _progress.is_app(ctx)):
            return types.Property(types.Object())
        return _answers.show(self.title, text)

    def _filled(self, ctx: Any) -> Form:
        name, params, form = getattr(ctx, "saliency_form", (None, None, None))
        # A pipeline goes on to other operators and parameters in one context, and asks for no form.
        if form is None or name != self.name or params != ctx.params:
            self.resolve_input(ctx)
            _, _, form = ctx.saliency_form
        return form


def _is_streamed(ctx: Any) -> bool:
    """Return whether somebody reads messages while the work goes on.

    The App does, whose requests name the operator, and who calls `execute` itself. FiftyOne's executor, which Python
    and agents call and which asks for the form first, drops what a generator yields: it gets the answer.
    """
    if ctx.delegated:
        return False
    return _progress.is_app(ctx) or not hasattr(ctx, "saliency_form")
