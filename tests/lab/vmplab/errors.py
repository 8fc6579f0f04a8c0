"""The one error that the command line shows as a sentence instead of a traceback."""


class LabError(Exception):
    """Something that the person who runs the lab can do something about; the text says what."""
