"""Keeps tables in a PostgreSQL database equal to their sources, exactly once. Never reads what others wrote there."""
