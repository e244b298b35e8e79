"""Grids of runs: which there are, making what they need, running them, and reporting on them."""
