"""The questions that models are evaluated on. Open `example.py` first, then `twins.py` and `registry.py`.

    load("scenes", "test", 100)        # 100 questions of every kind about test scenes
    public("pope").load("folder", 100) # 100 questions of the public benchmark, read from a folder

`twins.py` makes the miniature benchmarks, and `suites.py` names sets of them. Each public benchmark has a file of its
own with its card (`card.py`), a loader, its prompts and its scorer: `pope.py`, `chartqa.py`, `scienceqa.py`, `mmmu.py`,
`mmlu_pro.py`, `sugarcrepe.py` and `flickr30k.py`. `registry.py` finds them by name.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "card": ["Card", "SourceError"],
        "example": ["Example", "PictureFile"],
        "registry": ["PUBLIC", "public"],
        "suites": ["ASKED_SUITES", "PICTURE_SUITES", "SUITES", "examples", "vocabulary"],
        "twins": ["BENCHMARKS", "EASY_COLOURS", "EASY_SHAPES", "MOST", "load"],
    },
)
