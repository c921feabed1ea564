"""Critics: networks trained to witness a divergence, and the one class that runs them."""

from divkit.critic.ascent import Ascent
from divkit.critic.networks import LogitNetwork, mlp
from divkit.critic.variational import Dual, TrainingDiverged, Variational

__all__ = ["Ascent", "Dual", "LogitNetwork", "TrainingDiverged", "Variational", "mlp"]
