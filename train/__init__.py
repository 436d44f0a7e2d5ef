"""Training: data in a reproducible order, augmentation on the device, losses, the Lightning task.

Imports ``vision``; only ``online`` and its parts may import ``datagen``.
"""
