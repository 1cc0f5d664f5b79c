"""The model and processor behind a name: built here, read from a folder or the hub, or given adapters."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText

from paperlib.models import late_entry
from paperlib.models.adapter_files import MADE_FOR
from paperlib.models.adapters import apply_adapter
from paperlib.models.assemble import build_mini, build_tiny
from paperlib.models.grafting import randomized
from paperlib.models.input_checks import VLMError
from paperlib.models.names import NAMES, adapter_folder, hub_source, no_model
from paperlib.models.processors import load_processor
from paperlib.study.checks import whole


def load_model(name: str, seed: int = 0) -> tuple[Any, Any]:
    """A model in float32 on the CPU, and its processor.

    name: as `names.check_name` returns it. seed: for the random weights of "tiny" and "mini-untrained".
    Raises VLMError, AssetError, AdapterError and DiskError as `vlm.load_vlm` does.
    """
    seed = whole(seed, "seed", 0, 2**64 - 1, error=VLMError)  # torch would take 1.5 for 1
    if name == "tiny":
        return build_tiny(seed)
    adapter = adapter_folder(name)
    model, processor = _read(name if adapter is None and name not in NAMES else build_mini())
    if adapter is not None:
        stage1 = adapter_folder("mini-stage1")
        if (adapter / MADE_FOR).is_file() and stage1 is not None:  # tuned with the connector of stage 1 frozen
            apply_adapter(model, stage1)
        apply_adapter(model, adapter)
    return (randomized(model, seed) if name == "mini-untrained" else model), processor


def _read(name: str | Path) -> tuple[Any, Any]:
    """A folder as `save_pretrained` writes it, or a hub id. A late entry that the folder speaks of is installed."""
    try:
        source = name if Path(name).is_dir() else hub_source(str(name))
        model = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32)
        late_entry.restore(model)
        return model, load_processor(str(source), str(name))
    except VLMError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise no_model(str(name)) from error
