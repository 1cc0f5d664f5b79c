"""The model and processor behind a name: built here, read from a folder or the hub, or given adapters."""

from pathlib import Path
from typing import Any

import torch

from paperlib.models import late_entry
from paperlib.models.adapter_files import MADE_FOR
from paperlib.models.adapters import apply_adapter
from paperlib.models.assemble import build_mini, build_tiny
from paperlib.models.fetching import SourceError, open_vlm, place_of
from paperlib.models.grafting import randomized
from paperlib.models.input_checks import VLMError
from paperlib.models.lineages import Source, is_lineage, lineage_of
from paperlib.models.names import NAMES, adapter_folder, no_model
from paperlib.models.parts import check_sees
from paperlib.models.precision import held_dtype
from paperlib.models.processors import load_processor
from paperlib.study.checks import whole


def load_model(
    name: str, seed: int = 0, dtype: str = "auto", attention: str = "auto", device: torch.device | str = "cpu"
) -> tuple[Any, Any]:
    """A model on the CPU, and its processor.

    name: as `names.check_name` returns it. seed: for the random weights of "tiny" and "mini-untrained". dtype: as
    `precision.held_dtype` takes it, with the device where the model will run. attention: "eager", "sdpa", or "auto"
    for what transformers takes. Raises VLMError, AssetError, AdapterError and DiskError as `vlm.load_vlm` does.
    """
    seed = whole(seed, "seed", 0, 2**64 - 1, error=VLMError)  # torch would take 1.5 for 1
    adapter, chosen = adapter_folder(name), None if attention == "auto" else attention
    if name == "tiny":
        model, processor = build_tiny(seed)
    elif adapter is None and name not in NAMES:
        source = lineage_of(name).tuned if is_lineage(name) else Source(name)
        try:
            return open_source(source or Source(name), held_dtype(dtype, device, built=False), chosen)
        except SourceError as error:
            raise (error if is_lineage(name) else no_model(name)) from error
    else:
        model, processor = open_source(Source(str(build_mini())), torch.float32)
    if adapter is not None:
        stage1 = adapter_folder("mini-stage1")
        if (adapter / MADE_FOR).is_file() and stage1 is not None:  # tuned with the connector of stage 1 frozen
            apply_adapter(model, stage1)
        apply_adapter(model, adapter)
    model = randomized(model, seed) if name == "mini-untrained" else model
    if chosen is not None:
        model.set_attn_implementation(chosen)
    return model.to(held_dtype(dtype, device, built=True)), processor


def open_source(source: Source, dtype: torch.dtype, attention: str | None = None) -> tuple[Any, Any]:
    """The image-text model of a folder or hub id, and its processor. A late entry that it speaks of is installed.

    Raises SourceError for what holds no such model, and VLMError for one that sees no pictures or whose processor
    cannot be made.
    """
    model = open_vlm(source, dtype, attention)
    check_sees(model, source.repo)
    try:
        late_entry.restore(model)
    except ValueError as error:
        raise SourceError(f"{source.repo!r} holds no model that can be used: {error}") from error
    place, options = place_of(source)
    folder = {"subfolder": source.folder} if source.folder else {}
    if Path(place).is_dir() and source.folder:
        place, folder = str(Path(place, source.folder)), {}
    return model, load_processor(place, source.repo, **options, **folder)
