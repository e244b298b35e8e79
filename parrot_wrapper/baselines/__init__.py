"""The paper's comparisons: other ways to learn from the same data."""
