"""Carrying out the jobs that people ask for in the Interface, in processes of their own."""
