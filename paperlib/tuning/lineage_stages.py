"""The stages of a study's model side by side: a mapping from names to models that share what they have in common.

    models = stages_of(study)
    models.names            # ("untrained", "stage 1", "tuned"), or whichever there are
    models["tuned"]         # loaded when first asked for

On a GPU that cannot hold all of them, those that were not used for the longest time wait on the CPU, and come back
before they run (`models.placement`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from paperlib.models.grafting import share_equal
from paperlib.models.lineage_models import band_model
from paperlib.models.lineages import Lineage, lineage_of
from paperlib.models.placement import Accelerator, Placement
from paperlib.models.precision import chosen_device
from paperlib.models.vlm import VLM
from paperlib.study.study import Study
from paperlib.tuning.own_bands import load_own, own_bands
from paperlib.tuning.stages import BEFORE_ONLY, STAGE_1, TUNED, UNTRAINED, make_stage, stage_names


class Stages(Mapping[str, VLM]):
    """The stages that a study's model has, first to last, each loaded on first use.

    untrained, before, tuned: names of stages; before is the one whose LLM is the LLM before tuning. The first two are
    None where there is no such stage. missing: {stage or part: why it is not there}. confounds: a sentence for each
    other difference between before and tuned. bands: checkpoints of the lineage that were tuned in some blocks alone,
    then those that were tuned here on instructions (`own_bands`). trained_here: whether this project tunes the model,
    so that there are records of training. note: what it consists of.
    """

    def __init__(self, study: Study, accelerator: Accelerator | None = None):
        """accelerator: where models run and how much memory it has; by default the study's device, if it is no CPU."""
        self.study, self.lineage = study, lineage_of(study.model)
        self.names = stage_names(self.lineage)
        self.untrained = UNTRAINED if UNTRAINED in self.names else None
        self.before = next((name for name in self.names if name in (STAGE_1, BEFORE_ONLY)), None)
        self.tuned = TUNED
        self._own = own_bands(study)
        self.bands = (*self.lineage.bands, *self._own)
        self.trained_here = self.lineage.built is not None
        self.note = self.lineage.note
        self.missing, self._said = _missing(self.lineage), list[str]()
        device = torch.device(chosen_device(study.device))
        if accelerator is None and device.type != "cpu":
            accelerator = Accelerator(device)
        self._placement = None if accelerator is None else Placement(accelerator)
        self._loaded: dict[str, VLM] = {}

    @property
    def trained(self) -> tuple[str, ...]:
        """The stages that know language: before, where there is one, and tuned."""
        return tuple(name for name in self.names if name != self.untrained)

    @property
    def confounds(self) -> list[str]:
        """What else differs between before and tuned, or had to be left as tuning made it, in sentences.

        Loads the stage before tuning of a model that others tuned: only its weights tell all of it.
        """
        if self.before and self.before not in self._loaded and not self.trained_here:
            self._load(self.before)
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
        """A model by its name in `bands`, made anew: it is large, and asked once.

        Raises VLMError for a name that there is not, and for a checkpoint that cannot be opened; AdapterError for
        adapters that are damaged or were made for another model.
        """
        if name in self._own and self.before:
            before = self._loaded.get(self.before) or self._load(self.before)
            alike = tuple(vlm for stage, vlm in self._loaded.items() if stage == self.tuned)
            vlm = load_own(name, self._own[name], before, *alike)
        else:
            alike = tuple(vlm for stage, vlm in self._loaded.items() if stage == self.before)
            vlm = band_model(self.lineage, name, self._loaded.get(self.tuned) or self._load(self.tuned), alike)
        if self._placement is not None:
            self._placement.add(vlm)
        return vlm

    def __getitem__(self, name: str) -> VLM:
        if name not in self.names:
            raise KeyError(name)
        vlm = self._loaded[name] if name in self._loaded else self._load(name)
        vlm.ready()
        return vlm

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _load(self, name: str) -> VLM:
        tuned = None
        if name != self.tuned and not self.trained_here:  # made of the tuned model, wherever that lies
            tuned = self._loaded.get(self.tuned) or self._load(self.tuned)
        vlm, said = make_stage(self.study, self.lineage, name, tuned)
        self._said += said
        for other in self._loaded.values() if self.trained_here else ():  # each was read from files of its own
            share_equal(vlm.model, other.model)
        if self._placement is not None:
            self._placement.add(vlm)
        self._loaded[name] = vlm
        return vlm


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
