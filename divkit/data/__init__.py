"""Whatever users hold becomes a measure: arrays, data frames, files."""
