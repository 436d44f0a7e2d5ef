"""Code shared by every stage: the data contract, geometry, cameras, objects, shards, the network and the estimator.

This package imports no simulator and none of its siblings (``datagen``, ``train``, ``eval``).
"""
