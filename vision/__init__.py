"""What every stage shares: the data contract, geometry, cameras, objects, shards, the network and the estimator.

This package knows no simulator and none of its siblings (``datagen``, ``train``, ``eval``).
"""
