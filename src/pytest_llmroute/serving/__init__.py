"""Serving: the simulated providers on loopback ports, in real time, for programs of any kind."""
