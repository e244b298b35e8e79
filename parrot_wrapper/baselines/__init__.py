"""The paper's comparisons: what they learn from data, and how they explore with it."""
