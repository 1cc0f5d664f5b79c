"""What happens to an answer if the forward pass is changed. Open `edits.py` first.

Each intervention is a context manager: transplant, bypass, knockout, patch. `sweeps.py` runs them over windows of
blocks and computes nothing below a window twice. A new intervention is one function in `edits.py` and its test. It goes
through `models.residual.editing`, which registers it, so that no pass resumes above it. `lmms.py` hands models with
interventions to lmms-eval, where that is installed.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "edits": ["bypass", "knockout", "patch", "random_change", "transplant"],
        "sweeps": ["Sweep", "windows"],
    },
)
