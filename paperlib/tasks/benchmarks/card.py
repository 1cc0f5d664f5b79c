"""What is known about a public benchmark before anything is read: its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAIN = "main"  # a branch; which commit it was stands in each example's info["source"]


class SourceError(ValueError):
    """Rows of a public benchmark cannot be read or used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Card:
    """Where a public benchmark is found and how it is asked and scored.

    Attributes:
        name: the benchmark's name, as its paper writes it.
        hub: id of the data set on the hub.
        config: name of its configuration there, if it has several.
        split: the split that is scored.
        revision: branch, tag or commit that is read unless a source says another ("id@revision").
        columns: columns that every row must have. Others may be there.
        licence: as the card on the hub or the paper says.
        citation: the paper.
        prompts: templates by the name of their variant; the first is the default.
        metric: what `score` returns as "correct".
    """

    name: str
    hub: str
    split: str
    columns: tuple[str, ...]
    licence: str
    citation: str
    metric: str
    prompts: Mapping[str, str] = field(repr=False)
    config: str | None = None
    revision: str = MAIN

    def prompt(self, parts: Mapping[str, str], variant: str | None = None) -> str:
        """The prompt of a variant, filled with the parts of an example (``example.info["parts"]``).

        Raises ValueError for a variant that the card does not have, or parts that were not loaded for it.
        """
        variant = next(iter(self.prompts)) if variant is None else variant
        if variant not in self.prompts:
            raise ValueError(f"{self.name} has no prompt {variant!r}: use one of {', '.join(self.prompts)}.")
        try:
            return self.prompts[variant].format_map(parts)
        except KeyError as error:
            raise ValueError(
                f"The prompt {variant!r} of {self.name} needs {error.args[0]}, and these examples were loaded "
                f"without: load them with variant={variant!r}."
            ) from error
