"""A prior in a mixture with behaviour that its data do not show."""
