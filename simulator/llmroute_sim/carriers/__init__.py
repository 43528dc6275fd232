"""Carriers: how an exchange becomes bytes on a connection."""
