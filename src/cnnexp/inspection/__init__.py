"""Looking inside a network: its size, its layers' outputs, its kernels, and what its decisions rest on."""
