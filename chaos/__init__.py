"""Faults on real processes: nodes, engines and proxies that are killed, paused and cut off under load. `make chaos`."""
