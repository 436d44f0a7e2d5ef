"""Where the object is handled: metres, world frame of the hand's MJCF."""

PALM = (1.0, 0.87, 0.2)
"""Where the object starts, above the palm."""
LOST_DISTANCE = 0.22
"""How far from there the object counts as lost: held objects stay within 0.19, one on the forearm no camera sees."""
LIGHT_CENTRE = (1.0, 0.87, 0.15)
"""Middle of the half-sphere of lights: a point in the hand."""
