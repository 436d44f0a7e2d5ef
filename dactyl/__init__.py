"""The ``dactyl`` command: the one place that knows every stage."""
