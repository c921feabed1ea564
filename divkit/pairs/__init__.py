"""Reductions over all pairs of points that never hold more than a tile of the (n, m) interactions.

Six reductions, each blocked in rows and columns, so that memory is O(n + m) forward and backward:

- `sums`, `self_sums`: Σⱼ k(xᵢ, yⱼ) payloadⱼ, for rows and columns in one sweep (and `total`, the one number, whose gradient
  comes with the forward sweep);
- `all_sums`, `totals`: the same for both samples and between them, in one dimension by sorting where k = −|x − y|;
- `quadratic_forms`: sᵀKs for many vectors s at once;
- `softmin`: −ε log Σⱼ exp((scoreⱼ − c(xᵢ, yⱼ))/ε); `alternate`, `reflect`: the sweeps of matrix scaling,
  and `entries`: the sparse plan they end in. Where there are `many` pairs and most exponents are far below, they take the
  near ones only, if rows are in the order of `neighbours`;
- `minimum`: minⱼ c(xᵢ, yⱼ) − scoreⱼ;
- `nearest`: the k nearest neighbours;
- `cheapest`, `violations`: pairs of least and of negative reduced cost c(xᵢ, yⱼ) − uᵢ − vⱼ.

Rows may later live on several processes: callers use only row results for their rows and `Measure.mean` for totals, and every
sweep takes its columns block by block from `tiles.blocks`. `block_size` and `sparsity` set, within a context, how large a
tile is and when near pairs are looked for.
"""

from divkit.lines.sums import absolute_sums
from divkit.pairs.arcs import Violations, cheapest, violations
from divkit.pairs.city import CityBlock
from divkit.pairs.clusters import clusters, neighbours
from divkit.pairs.forms import Distance, Form, InnerProduct, PairFunction, Product
from divkit.pairs.frame import Frame, frame
from divkit.pairs.near import Sparsity, many, sparsity
from divkit.pairs.nearest import minimum, nearest
from divkit.pairs.scaling import alternate, entries, reflect
from divkit.pairs.softmin import softmin
from divkit.pairs.sums import Forms, Sums, all_sums, quadratic_forms, self_sums, sums
from divkit.pairs.tiles import block_size
from divkit.pairs.totals import self_total, total, totals

__all__ = [
    "CityBlock", "Distance", "Form", "Forms", "Frame", "InnerProduct", "PairFunction", "Product", "Sparsity", "Sums",
    "Violations", "absolute_sums", "all_sums", "alternate", "block_size", "cheapest", "clusters", "entries", "frame", "many",
    "minimum", "nearest", "neighbours", "quadratic_forms", "reflect", "self_sums", "self_total", "softmin", "sparsity", "sums",
    "total", "totals", "violations",
]
