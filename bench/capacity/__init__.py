"""Capacity on paper: unit costs measured here, a simulation that adds them up, and docs/capacity.md made of both."""
