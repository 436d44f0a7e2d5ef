"""The font in which pictures and objects are lettered."""

from __future__ import annotations

from pathlib import Path


def font_file(bold: bool = False) -> Path:
    """Return the file of DejaVu Sans, which matplotlib ships."""
    import matplotlib  # late: few commands letter anything

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
