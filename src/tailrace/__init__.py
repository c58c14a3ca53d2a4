"""Change data capture for Python: every committed change, delivered. The public names, nothing else."""
