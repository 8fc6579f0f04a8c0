"""The tool's one error."""


class CoverageError(Exception):
    """What went wrong, as a sentence for whoever runs the tool."""
