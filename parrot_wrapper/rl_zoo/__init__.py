"""What RL Baselines3 Zoo needs to train with a prior: settings, and a way to its other scripts."""
