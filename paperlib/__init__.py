"""Helper package of an independent companion to "Visual Instruction Tuning Aligns Modalities through
Abstraction" (Palacios, Basile, Doimo, Cazzaniga, arXiv 2606.03871).

One concept a file; the notebooks hold the story.
"""

__version__ = "0.1.0"
