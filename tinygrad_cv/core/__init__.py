"""The graph: Tensor, Node, the Op contract, the engine and the modes. Nothing in here knows a CV
operator."""
