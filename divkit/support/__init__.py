"""Small tools without numerics: checks, warnings, progress bars, writing of files, spelling."""
