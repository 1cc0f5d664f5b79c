"""What a figure shows: its texts and where they stand; and accuracies to draw."""

import numpy as np
from matplotlib.text import Text

from paperlib.stats.bootstrap import Interval


def texts_of(fig):
    """The texts that are drawn, and where; matplotlib also keeps labels of ticks beyond the axes."""
    fig.draw_without_rendering()
    beyond = set()
    for axis in (axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        beyond |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    texts = [t for t in fig.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in beyond]
    return [(t, t.get_window_extent()) for t in texts if t.get_window_extent().width > 0]


def accuracies(names, kinds, n=100):
    rng = np.random.default_rng(0)
    value = lambda: float(rng.uniform(0.1, 0.9))
    return {name: {kind: Interval(v := value(), v - 0.09, v + 0.08, n) for kind in kinds} for name in names}
