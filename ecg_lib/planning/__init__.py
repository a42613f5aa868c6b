"""Plans of what a profile costs: operations, memory, time and disk space."""
