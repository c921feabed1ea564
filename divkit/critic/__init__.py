"""Critics: networks trained to witness a divergence, and the one class that runs them."""

from divkit.core.registry import accept
from divkit.critic.ascent import Ascent
from divkit.critic.choice import Choice, linear, quadratic
from divkit.critic.dual import Dual, FeatureDual
from divkit.critic.featured import CramerSurrogate, Featured
from divkit.critic.kantorovich import Kantorovich
from divkit.critic.lipschitz import GroupSort, Orthonormal, Spectral
from divkit.critic.logit_network import LogitNetwork
from divkit.critic.optimisers import Adam, RMSProp
from divkit.critic.penalties import R1, Clip, Free, GradientPenalty, Penalty
from divkit.critic.perceptron import Perceptron, groupsort, mlp, perceptron, spectral
from divkit.critic.shrunk import Shrunk
from divkit.critic.variational import TrainingDiverged, Variational

__all__ = [
    "R1", "Adam", "Ascent", "Choice", "Clip", "CramerSurrogate", "Dual", "Featured", "Free", "GradientPenalty", "GroupSort",
    "Kantorovich", "LogitNetwork", "Orthonormal", "Penalty", "Perceptron", "RMSProp", "Shrunk", "Spectral", "TrainingDiverged",
    "Variational", "groupsort", "linear", "mlp", "perceptron", "quadratic", "spectral",
]


def _of_dual(dual: Dual) -> Variational:
    """Return the estimator of a dual by the default critic, which gives one number a point."""
    if isinstance(dual, FeatureDual):
        raise TypeError(f"{dual.name} needs a critic with several outputs: write Variational(dual, critic).")
    return Variational(dual)


accept(Dual, _of_dual)
