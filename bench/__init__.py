"""Speed and size, as counts and as ratios measured in one run."""
