"""Connection pools: what they look like now."""
