"""Renderer ``unity``: a Unity player that applies the values that Python sends, driven through ML-Agents."""
