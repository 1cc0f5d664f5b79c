"""What can be read from a layer. Open `probing.py` first.

Linear probes with their controls, transfer between captions and pictures, the logit lens, and the separability of the
two modalities.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"probing": ["probe", "probe_difference", "transfer"]}
)
