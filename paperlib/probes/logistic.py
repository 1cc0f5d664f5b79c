"""Many multinomial logistic regressions on one feature matrix at once: every fold, with true and shuffled labels.

Each problem is what scikit-learn calls ``make_pipeline(StandardScaler(), LogisticRegression(C=1 / (l2 * n)))``, fitted
to n rows of its own: features standardised by these rows' mean and deviation, then the minimum over weights W and
intercepts b of

    mean over the rows of -log softmax(W x + b)[label]  +  l2 / 2 * ||W||^2

(For two classes scikit-learn keeps one weight vector, and this file two that share the penalty: C = 2 / (l2 * n).)
The problems share their features, and so the matrix products and the preconditioner of every conjugate-gradient step.
Shapes: N rows, D features, B problems, C classes.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Fit:
    """Solutions of B problems. The weights are those of standardised features."""

    weight: torch.Tensor  # [C, B, D]
    intercept: torch.Tensor  # [C, B]
    mean: torch.Tensor  # [B, D], of the rows that each problem learnt from
    scale: torch.Tensor  # [B, D]
    steps: int

    def logits(
        self, features: torch.Tensor, mean: torch.Tensor | None = None, scale: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[n, D] -> [C, B, n]. ``mean`` and ``scale``, each [B, D], replace those of the rows learnt from."""
        x = _Standardised(features, self.mean if mean is None else mean, self.scale if scale is None else scale)
        return x.times(self.weight) + self.intercept[..., None]


def fit(
    features: torch.Tensor,
    labels: torch.Tensor,
    rows: torch.Tensor,
    classes: int,
    l2: float,
    start: Fit | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 500,
) -> Fit:
    """Solve B problems by conjugate gradients with a Newton line search (Minka 2003, "A comparison of numerical
    optimizers for logistic regression", section 4; beta by Polak and Ribiere).

    The preconditioner is the inverse of X'X / 16N + l2, the Hessian if p (1 - p) were 1/16 for every answer. One for
    all problems will do, since it changes the way to the minimum and not the minimum.

    Args:
        features: [N, D], float32, on any device, with columns of mean 0 and deviation 1 over all rows (`standardise`).
        labels: [B, N], integers from 0 up to ``classes`` - 1.
        rows: [B, N], True where problem b is trained on row i.
        classes: C.
        l2: the penalty of the module's first formula.
        start: where to start; 0 if None. The solution for the layer below halves the steps.
        tolerance: stop when the squared gradient of every problem, preconditioned and so in nats, is below it.
        max_steps: give up after as many.

    Raises:
        RuntimeError: no convergence after ``max_steps``.
    """
    mean, scale = moments(features, rows)
    x, curvature = _Standardised(features, mean, scale), 1 / 16
    inverse = _inverse_curvature(features, curvature, l2)
    share = rows / rows.sum(1, keepdim=True)  # [B, N], rows sum to 1
    target = (labels == torch.arange(classes, device=labels.device)[:, None, None]).float()  # [C, B, N]

    w = features.new_zeros(classes, *mean.shape) if start is None else start.weight
    b = features.new_zeros(classes, len(mean)) if start is None else start.intercept
    logits = x.times(w) + b[..., None]
    probability = torch.softmax(logits, dim=0)
    dw, db = torch.zeros_like(w), torch.zeros_like(b)
    last_gw, last_gb, last_size = dw, db, torch.full_like(b[0], torch.inf)
    for step in range(max_steps):
        residual = (probability - target) * share
        gw, gb = x.transposed_times(residual) + l2 * w, residual.sum(2)
        zw, zb = (gw.flatten(0, 1) @ inverse).view_as(gw), gb / curvature
        size = _dot(gw, zw, gb, zb)  # [B]
        if bool((size <= tolerance).all()):
            return Fit(w, b, mean, scale, step)
        beta = ((size - _dot(last_gw, zw, last_gb, zb)) / last_size).clamp(min=0)
        beta = torch.where(beta * _dot(gw, dw, gb, db) < size, beta, 0)  # else it would lead uphill: start anew
        dw, db = beta[:, None] * dw - zw, beta * db - zb
        last_gw, last_gb, last_size = gw, gb, size.clamp(min=1e-30)
        along = x.times(dw) + db[..., None]
        penalty = l2 * (w * dw).sum((0, 2)), l2 * (dw * dw).sum((0, 2))
        t, probability = _line_search(logits, along, probability, target, share, penalty, size <= tolerance)
        w, b, logits = w + t[:, None] * dw, b + t * db, logits + t[:, None] * along
    raise RuntimeError(f"Logistic regression did not converge within {max_steps} steps: raise l2, which is {l2}.")


def moments(features: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation, each [B, D], over each problem's rows [B, N]; a constant column has deviation 1."""
    distinct, member = torch.unique(rows, dim=0, return_inverse=True)
    parts = [features[chosen] for chosen in distinct]
    mean = torch.stack([part.mean(0) for part in parts])
    scale = torch.stack([(part - m).square().mean(0).sqrt() for part, m in zip(parts, mean, strict=True)])
    scale = torch.where(scale > 1e-6 * (1 + mean.abs()), scale, 1)
    return mean[member], scale[member]


def standardise(features: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
    """[n, D] with the mean and deviation of all rows of ``like`` (its own, if None) taken out.

    What `fit` sees must have been through this: float32 is precise enough around 0, and not around an outlier's mean.
    """
    like = features if like is None else like
    mean, scale = moments(like, torch.ones(1, len(like), dtype=torch.bool, device=like.device))
    return (features - mean) / scale


class _Standardised:
    """Products with (features - mean) / scale of each of B problems, without forming the B matrices."""

    def __init__(self, features: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor):
        self.features, self.mean, self.scale = features, mean, scale

    def times(self, w: torch.Tensor) -> torch.Tensor:
        """[C, B, D] -> [C, B, N]"""
        w = w / self.scale
        return (w.flatten(0, 1) @ self.features.T).unflatten(0, w.shape[:2]) - (w * self.mean).sum(2, keepdim=True)

    def transposed_times(self, r: torch.Tensor) -> torch.Tensor:
        """[C, B, N] -> [C, B, D]"""
        product = (r.flatten(0, 1) @ self.features).unflatten(0, r.shape[:2])
        return (product - r.sum(2, keepdim=True) * self.mean) / self.scale


def _inverse_curvature(features: torch.Tensor, curvature: float, l2: float) -> torch.Tensor:
    """(curvature X'X / N + l2)^-1, [D, D]; a very small l2 is raised to what float32 can tell from rounding."""
    matrix = features.T @ features * (curvature / len(features))
    matrix.diagonal().add_(max(l2, 1e-5 * len(matrix)))
    return torch.cholesky_inverse(torch.linalg.cholesky(matrix))


def _dot(aw: torch.Tensor, bw: torch.Tensor, ab: torch.Tensor, bb: torch.Tensor) -> torch.Tensor:
    """Inner products [B] of pairs of weights [C, B, D] and intercepts [C, B]."""
    return (aw * bw).sum((0, 2)) + (ab * bb).sum(0)


def _line_search(
    logits: torch.Tensor,
    along: torch.Tensor,
    probability: torch.Tensor,
    target: torch.Tensor,
    share: torch.Tensor,
    penalty: tuple[torch.Tensor, torch.Tensor],
    done: torch.Tensor,
    enough: float = 0.3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Step lengths [B] along a direction, and the probabilities there.

    Newton's method on the derivative of the loss, which rises along the line: where it is negative the minimum lies
    beyond, where it is positive before, and a Newton step out of this bracket is replaced by one into it.
    """
    slope0, bend = penalty
    weighted = share * along
    t = low = torch.zeros_like(bend)
    high, given = torch.full_like(t, torch.inf), (weighted * target).sum((0, 2))
    goal: torch.Tensor | None = None
    for _ in range(12):
        pull = probability * weighted
        slope = pull.sum((0, 2)) - given + slope0 + t * bend
        goal = enough * slope.abs() if goal is None else goal
        done = done | (slope.abs() < goal)
        if bool(done.all()):
            break
        curve = (pull * along).sum((0, 2)) - ((probability * along).sum(0) * pull.sum(0)).sum(1) + bend
        low, high = torch.where(slope < 0, t, low), torch.where(slope < 0, high, t)
        newton = t - slope / curve.clamp(min=1e-30)
        inside = (newton > low) & (newton < high)
        t = torch.where(done, t, torch.where(inside, newton, (low + high.clamp(max=10 * low + 1)) / 2))
        probability = torch.softmax(logits + t[:, None] * along, dim=0)
    return t, probability
