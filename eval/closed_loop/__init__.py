"""``dactyl closed-loop``: a policy driven by what an estimator sees, next to the same policy told the state (Table 3).

Before every step of 80 ms the classic renderer draws each hand through the three cameras, the estimator finds the
object in the pictures, and its pose takes the tracker's place in all that the policy is told: position, orientation,
rotation to the goal, velocities. Fingertips still come from motion capture, as in the paper. The paper names no delay
of its vision; those of its actuators belong to the randomized simulation, and ``latency_steps`` adds one of the
estimates. Pictures show the object in its nominal size, also where the physics of a randomized trial has another.

A trial is a function of (configuration, its number): whatever the policy is told, it begins in the same state and asks
for the same goals. Blocks of trials are tasks for worker processes; a finished block is a file, so a killed run
resumes.
"""
