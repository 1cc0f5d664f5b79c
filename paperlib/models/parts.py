"""The parts of an image-text model, whichever family it is of: vision tower, connector, word embeddings.

The decoder and its blocks need no table: transformers finds them (``get_decoder()``). Connector and vision tower have a
few names between the families; they are looked for here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from paperlib.models.input_checks import VLMError
from paperlib.models.unwrapping import base_model

# Of ``model.model``: where the connector is, and where the vision tower.
CONNECTORS = ("multi_modal_projector", "connector", "visual.merger")
TOWERS = ("vision_tower", "vision_model", "visual")
DEEPSTACK = "visual.deepstack_merger_list"  # Qwen3-VL has further connectors, for states of lower blocks of its tower


class Connectors(nn.ModuleDict):
    """The connectors of a model that has several: their weights together. The first gives what becomes layer 0."""

    def register_forward_hook(self, *args: Any, **kwargs: Any) -> Any:
        """As of any module, on the connector whose output becomes layer 0; the dictionary itself is never called."""
        return next(iter(self.values())).register_forward_hook(*args, **kwargs)


def connector(model: Any) -> nn.Module:
    """The module between vision tower and LLM (`Connectors` where there are several).

    Raises VLMError for a model without one.
    """
    found, more = _first(model, CONNECTORS, "connector"), _module(_core(model), DEEPSTACK)
    return found if more is None else Connectors({"merger": found, "deepstack": more})


def vision_tower(model: Any) -> nn.Module:
    """The vision encoder; in some families the connector is a part of it. Raises VLMError for a model without one."""
    return _first(model, TOWERS, "vision tower")


def vision_parameters(model: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """(name within the tower, parameter) of the vision tower without the connector."""
    own = {id(parameter) for parameter in connector(model).parameters()}
    return ((name, p) for name, p in vision_tower(model).named_parameters() if id(p) not in own)


def word_embeddings(model: Any) -> nn.Module:
    """The LLM's word embeddings."""
    return base_model(model).get_input_embeddings()


def check_sees(model: Any, name: str) -> None:
    """Raises VLMError for a model without image tokens, a connector, a vision tower or a decoder with blocks."""
    base = base_model(model)
    if getattr(base.config, "image_token_id", None) is None:
        raise VLMError(
            f"{type(base).__name__} of {name!r} has no image tokens (config.image_token_id): choose a model that "
            f"reads pictures as tokens among words."
        )
    connector(base)
    vision_tower(base)
    if not isinstance(getattr(base.get_decoder(), "layers", None), nn.ModuleList):
        raise VLMError(
            f"{type(base).__name__} of {name!r} has no decoder with blocks: choose a model of another family."
        )


def tied(model: Any) -> bool:
    """Whether the head scores tokens with the word embeddings themselves."""
    base = base_model(model)
    head = base.get_output_embeddings()
    return head is not None and head.weight is base.get_input_embeddings().weight


def _core(model: Any) -> Any:
    return getattr(base_model(model), "model", None)


def _first(model: Any, paths: tuple[str, ...], what: str) -> nn.Module:
    found = next((module for path in paths if (module := _module(_core(model), path)) is not None), None)
    if found is None:
        raise VLMError(
            f"{type(base_model(model)).__name__} has no {what} where one is looked for ({', '.join(paths)}): use a "
            f"model of another family, or name its part in paperlib/models/parts.py."
        )
    return found


def _module(core: Any, path: str) -> nn.Module | None:
    for name in path.split("."):
        core = getattr(core, name, None)
    return core if isinstance(core, nn.Module) else None
