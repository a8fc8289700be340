"""A discrete-event simulator that runs the router's own policies and learner on a simulated clock."""
