"""The stages of a study's model side by side: a mapping from names to models that share what they have in common.

    models = stages_of(study)
    models.names            # ("untrained", "stage 1", "tuned"), or whichever there are
    models["tuned"]         # loaded when first asked for

On a GPU that cannot hold all of them, those that were not asked for the longest wait in the host's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from paperlib.models.lineage_models import band_model
from paperlib.models.lineages import Lineage, lineage_of
from paperlib.models.vlm import VLM, chosen_device
from paperlib.study.study import Study
from paperlib.tuning.stages import BEFORE_ONLY, STAGE_1, TUNED, UNTRAINED, _built, _elsewhere, stage_names

SPARE = 0.2  # share of a model's size that stays free beside it, for what passes need


class Stages(Mapping[str, VLM]):
    """The stages that a study's model has, first to last, each loaded on first use.

    untrained, before, tuned: names of stages; before is the one whose LLM is the LLM before tuning. The first two are
    None where there is no such stage. missing: {stage or part: why it is not there}. confounds: a sentence for each
    other difference between before and tuned. bands: checkpoints of the lineage that were tuned in some blocks alone.
    trained_here: whether this project tunes the model, so that there are records of training. note: what it consists
    of.
    """

    def __init__(self, study: Study, free: Callable[[torch.device], int] | None = None):
        """free: how many bytes a device has left; by default asked of the GPU."""
        self.study, self.lineage = study, lineage_of(study.model)
        self.names = stage_names(self.lineage)
        self.untrained = UNTRAINED if UNTRAINED in self.names else None
        self.before = next((name for name in self.names if name in (STAGE_1, BEFORE_ONLY)), None)
        self.tuned = TUNED
        self.bands = tuple(self.lineage.bands)
        self.trained_here = self.lineage.built is not None
        self.note = self.lineage.note
        self.missing, self._said = _missing(self.lineage), list[str]()
        self._free, self._loaded = free or _free_bytes, dict[str, VLM]()

    @property
    def trained(self) -> tuple[str, ...]:
        """The stages that know language: before, where there is one, and tuned."""
        return tuple(name for name in self.names if name != self.untrained)

    @property
    def confounds(self) -> list[str]:
        """What else differs between before and tuned, or had to be left as tuning made it, in sentences."""
        found = []
        if self.before == BEFORE_ONLY:
            found.append(
                "No connector of stage 1 is published: the LLM before tuning stands behind the tuned connector."
            )
        if self.before and "vision tower" in self.lineage.tuned_parts and not self.trained_here:
            found.append("The vision tower was tuned too, and every stage here has the tuned one.")
        return [*found, *self._said]

    @property
    def caveat(self) -> str:
        """What a figure of transplants must say beside its axis; "" where blocks are all that differs."""
        tower = self.before and "vision tower" in self.lineage.tuned_parts and not self.trained_here
        return "vision tower tuned too: both ends have the tuned one" if tower else ""

    def band(self, name: str) -> VLM:
        """A checkpoint of the lineage by its name in `bands`. Raises VLMError for others."""
        vlm = band_model(self.lineage, name, self[self.tuned])
        vlm.model.to(self[self.tuned].device)
        return vlm

    def __getitem__(self, name: str) -> VLM:
        if name not in self.names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        found = self._loaded.pop(name)
        self._loaded[name] = found  # the last one asked for stands last
        self._settle(found)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _load(self, name: str) -> VLM:
        if self.trained_here:
            return _built(self.study, name)
        tuned = None if name == TUNED else self[TUNED]
        if tuned is not None:
            tuned.model.to("cpu")  # parts are put together there
        vlm, said = _elsewhere(self.study, self.lineage, name, tuned)
        self._said += said
        return vlm

    def _settle(self, vlm: VLM) -> None:
        """Bring a model to the study's device; where it does not fit, others leave it, the longest unused first."""
        device = torch.device(chosen_device(self.study.device))
        if device.type == "cpu":
            return
        size = sum(p.numel() * p.element_size() for p in vlm.model.parameters() if p.device.type == "cpu")
        for other in [m for m in self._loaded.values() if m is not vlm and m.device.type != "cpu"]:
            if size * (1 + SPARE) <= self._free(device):
                break
            other.model.to("cpu")
        vlm.model.to(device)


def stages_of(study: Study) -> Stages:
    """The stages of a study's model. Raises LineageError for a model that is none."""
    return Stages(study)


def _missing(lineage: Lineage) -> dict[str, str]:
    if lineage.built:
        return {}
    found = {"records of training": f"{lineage.name} was tuned elsewhere"}
    if lineage.llm is None:
        found["the stage before tuning"] = f"no LLM before tuning is known of {lineage.name}"
    elif lineage.connector is None:
        found[STAGE_1] = f"no connector of stage 1 is published for {lineage.name}"
    return found


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
