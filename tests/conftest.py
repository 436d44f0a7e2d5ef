"""What all tests share."""

from hypothesis import settings

# Machines that run the suite may be slow or busy: a property's time says nothing about its truth.
settings.register_profile("dactyl", deadline=None)
settings.load_profile("dactyl")
