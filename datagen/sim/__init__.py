"""The MuJoCo scene and the batched environment."""
