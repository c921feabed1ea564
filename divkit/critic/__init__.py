"""Critics: networks trained to witness a divergence, and the one class that runs them."""

from divkit.critic.ascent import Ascent
from divkit.critic.choice import Choice, linear, quadratic
from divkit.critic.networks import LogitNetwork, mlp
from divkit.critic.variational import Dual, TrainingDiverged, Variational

__all__ = ["Ascent", "Choice", "Dual", "LogitNetwork", "TrainingDiverged", "Variational", "linear", "mlp", "quadratic"]
