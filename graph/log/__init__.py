"""The event log, its exposures, and the checks of what enters it."""
