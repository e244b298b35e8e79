"""Demonstrations recorded from scripted experts and policies."""
