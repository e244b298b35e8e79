"""What the paper compares PARROT with."""
