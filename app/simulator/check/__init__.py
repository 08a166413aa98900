"""Compares what a production database holds with the ground truth of the simulator that was recorded."""
