"""Test sets, predictions, errors and reports.

Imports ``vision``; only ``closed_loop`` and ``testsets`` may import ``datagen``.
"""
