"""The world's matter: providers, faults, quotas and time, without a socket and without pytest."""
