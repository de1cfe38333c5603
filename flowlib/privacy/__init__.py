"""Differentially private training of a flow (DP-SGD), its accountant, and a membership attack that tests a model."""

from flowlib.privacy.dp_sgd import KEY_BYTES, Keystream, PrivateConfig, Spent, epsilon_of, fit_private, noise_for
from flowlib.privacy.membership import MEMBERS_MIN, Membership, membership_advantage

__all__ = [
    "KEY_BYTES",
    "MEMBERS_MIN",
    "Keystream",
    "Membership",
    "PrivateConfig",
    "Spent",
    "epsilon_of",
    "fit_private",
    "membership_advantage",
    "noise_for",
]
