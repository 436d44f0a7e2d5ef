"""Evaluation: predictions on test sets, errors and reports.

Imports ``vision``; only ``closed_loop`` and ``laboratory/cli.py`` may import ``datagen``.
"""
