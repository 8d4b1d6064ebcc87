"""Arrays and kernels: the engine room. Nothing in here knows what a Tensor is."""
