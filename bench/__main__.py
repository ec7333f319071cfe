"""All measurements: ``python -m bench``."""

from bench import plan, start, validate

for measurement in (start, validate, plan):
    measurement.main()
