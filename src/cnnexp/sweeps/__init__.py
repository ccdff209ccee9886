"""Many jobs: grids, searches, clusters, and sweeps that are resumed."""
