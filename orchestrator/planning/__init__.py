"""The plan: a pure function of what is desired, what is observed and the time. It is data."""
