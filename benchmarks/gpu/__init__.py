"""Benchmarks of a GPU node: ``python -m benchmarks.gpu`` runs all of them in nine minutes."""
