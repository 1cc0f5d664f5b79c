"""The models that are studied, behind one interface. Open `vlm.py` first.

`VLM` wraps any Hugging Face image-text model, and the wings above use nothing else of it. `assemble.py` builds the mini
model, `adapters.py` loads what tuning changed, and `capture.py` reads states of the residual stream (`residual.py`) at
token sets. `greedy.py` writes answers in batches that `left_padding.py` lets end together. `late_entry.py` is needed
only for the arm of notebook 05 whose image tokens enter above block 0.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used. A name that is also a module's
# (`capture`) is imported from there: from paperlib.models.capture import capture.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "vlm": ["VLM", "load_vlm"],
        "input_checks": ["VLMError"],
        "capture": ["set_states", "token_states"],
        "image_cache": ["cached_features"],
        "left_padding": ["left_padded"],
        "late_entry": ["entry_of", "install", "remove"],
        "parts": ["connector"],
        "precision": ["mixed_precision"],
        "residual": ["run"],
        "token_sets": ["edge", "spelled", "tokens"],
    },
)
