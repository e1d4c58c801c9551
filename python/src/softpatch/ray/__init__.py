"""softpatch on many machines, by Ray: `pip install 'softpatch[ray]'`.

`score` sends many pictures through one model, `fit_many` makes a model for each of many folders, `bench` spreads the cells of
`softpatch bench` over a cluster. One machine goes far without it: see "Many machines" in the package's README. Each joins the
cluster that RAY_ADDRESS names, or that `ray.init` was called for, or starts one on this machine; what is wrong with its
arguments it says before that. Every machine needs this package, in the same version.
"""

from ._bench import Benched, bench
from ._fit import ShardedFit, fit
from ._fit_many import fit_many
from ._rows import Incomplete
from ._score import Scored, score

__all__ = ["Benched", "Incomplete", "Scored", "ShardedFit", "bench", "fit", "fit_many", "score"]
