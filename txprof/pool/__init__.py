"""Connection pools: what they look like now, who has them, how large they should be."""
