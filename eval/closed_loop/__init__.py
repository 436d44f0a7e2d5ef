"""``dactyl closed-loop``: a policy that observes estimated poses, next to the same policy given the state (Table 3).

Before every step of 80 ms the classic renderer draws each hand through the three cameras, the estimator finds the
object in the images, and its pose replaces the tracker's in everything that the policy observes: position, orientation,
rotation to the goal, velocities. Fingertips still come from motion capture, as in the paper. The paper states no delay
of its vision; the delays of its actuators belong to the randomized simulation, and ``latency_steps`` delays the
estimates. Images show the object in its nominal size, even if the physics of a randomized trial has another.

A trial is a function of (configuration, its number): whatever the policy observes, it begins in the same state and has
the same goals. Blocks of trials are tasks for worker processes; a finished block is a file, so that a killed run
resumes.
"""
