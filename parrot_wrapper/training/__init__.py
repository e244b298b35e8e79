"""Fitting priors to data, and running RL in their latent spaces; import the module you need."""
