"""How results are drawn, and what the cells of a notebook share. Open `notebook.py` first.

Figures are drawn from results alone, without a model: `curves.py`, `dotplots.py`, `comparisons.py` and `diagrams.py`
draw, `rows.py` makes lines of a table's rows, `style.py` holds colours and fonts, `publish.py` saves and redraws,
`claims.py` writes README's table.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dotplots": ["by_series"],
        "interactive": ["menus"],
        "notebook": ["Notebook"],
        "publish": ["redraw"],
        "rows": ["curve_rows", "curves_of", "lines_of", "select", "split"],
        "style": ["DRAW", "STAGE_COLOURS"],
    },
)
