"""Grids of runs: running them, their result rows, statistics, figures and the report."""
