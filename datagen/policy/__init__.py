"""Policies that act in the environment."""
