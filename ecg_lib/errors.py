"""Errors that a user may meet; each message is one line that says what is wrong and what to do."""


class EcgLibError(ValueError):
    """Base of all deliberate errors; the command line prints them without a traceback."""


class DataError(EcgLibError):
    """Source data is missing, in the wrong place or of the wrong version."""


class BadRecord(EcgLibError):
    """A record cannot be used; the store quarantines it with this reason."""


class ConfigError(EcgLibError):
    """A configuration field is missing, unknown or has an impossible value."""
