"""The samples of an outcome: as a view that follows the labels, or as a field to filter by."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F

from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.comparison import OUTCOMES, Outcome, count_outcomes, outcome
from fiftyone_saliency.core.confusion import Pair
from fiftyone_saliency.core.errors import FieldError
from fiftyone_saliency.dataset.fields import check_name, dataset_of


@dataclass(frozen=True, eq=False)
class LabelPair:
    """Two predictions of the same samples.

    Args:
        samples: dataset or view.
        gt_field: Classification field of the true labels.
        before: Classification field of the first predictions.
        after: Classification field of the second predictions.
    """

    samples: Any
    gt_field: str
    before: str
    after: str

    def labels(self) -> tuple[list[str | None], list[str | None], list[str | None]]:
        """Return truth, first and second prediction of each sample, in the order of the samples."""
        return tuple(self.samples.values([f"{name}.label" for name in (self.gt_field, self.before, self.after)]))

    @property
    def paired(self) -> Any:
        """The samples that have both predictions: those that can be compared."""
        return self.samples.match(F(f"{self.before}.label").exists() & F(f"{self.after}.label").exists())

    def count(self) -> dict[Outcome, int]:
        """Count the outcomes; samples that lack the truth or one of the predictions are left out."""
        return count_outcomes(zip(*self.labels(), strict=True))

    def view(self, outcome: Outcome) -> fo.DatasetView:
        """Return the samples of one outcome, as an expression that stays true after relabelling.

        Raises:
            UnknownNameError: if there is no such outcome.
        """
        check_choice(outcome, "outcome", OUTCOMES)
        truth = F(f"{self.gt_field}.label")
        was, now = (F(f"{name}.label") == truth for name in (self.before, self.after))
        was = was if outcome in ("broken", "still right") else ~was
        now = now if outcome in ("fixed", "still right") else ~now
        return self.paired.match(truth.exists() & was & now)

    def view_cell(self, pair: Pair) -> fo.DatasetView:
        """Return the samples with both predictions that lie in a cell (truth, prediction) before or after."""
        truth, prediction = pair
        either = _is(self.before, prediction) | _is(self.after, prediction)
        return self.paired.match(_is(self.gt_field, truth) & either)

    def store(self, field: str) -> dict[Outcome, int]:
        """Write each sample's outcome into a text field, which the App's sidebar filters by, and count them.

        A sample that lacks the truth or one of the predictions has none.

        Raises:
            FieldError: if the field's name is not usable, or the field is of another type.
        """
        check_name(field, "field")
        dataset = dataset_of(self.samples)
        known = dataset.get_field(field)
        if known is not None and not isinstance(known, fo.StringField):
            raise FieldError(
                f"Expected field {field!r} to be new or a text field, but it is a {type(known).__name__}. "
                "Choose another name."
            )
        if known is None:
            dataset.add_sample_field(field, fo.StringField)
        rows = zip(self.samples.values("id"), *self.labels(), strict=True)
        found = {i: outcome(*labels) for i, *labels in rows}
        dataset.set_values(field, found, key_field="id", validate=False)
        return self.count()


def _is(field: str, label: str | None) -> Any:
    # A literal, because a label such as "$5" would be read as the name of a field.
    return ~F(f"{field}.label").exists() if label is None else F(f"{field}.label") == F.literal(label)
