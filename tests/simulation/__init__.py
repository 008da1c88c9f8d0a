"""A whole world in memory: an ensemble, replicas that follow it, and chance that comes from a seed."""
