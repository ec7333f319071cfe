"""Tools for working on the repository."""
