"""What stands between an env and an agent: one driver, three wrappers."""
