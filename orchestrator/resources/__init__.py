"""Managed things: what is desired, what is observed, and which changes lead from one to the other."""
