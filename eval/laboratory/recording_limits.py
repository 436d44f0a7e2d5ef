"""Limits of a recording's clocks, which configurations and files share."""

LONGEST_STEP_S = 5.0
"""Largest median time from image to image, seconds."""
