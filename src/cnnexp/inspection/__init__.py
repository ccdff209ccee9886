"""Looking inside a network: how big it is, what its layers answer, what its kernels and its decisions rest on."""
