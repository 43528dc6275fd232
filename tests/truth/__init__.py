"""The truth matrix: what clients raise over genuine loopback TCP, and over bytes in memory."""
