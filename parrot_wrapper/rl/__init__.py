"""Stable-Baselines3 agents in the latent space of a prior: settings, training, checkpoints."""
