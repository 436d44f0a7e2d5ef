"""Data generation from a policy to shards: simulation, states, appearance, renderers, generation."""
