"""The errors a user may meet: each message is one line naming what is wrong and what to do."""


class EcgLibError(ValueError):
    """Base of all errors raised on purpose; the command line prints it without a traceback."""


class DataError(EcgLibError):
    """Source data is missing, misplaced or of the wrong version."""


class BadRecord(EcgLibError):
    """One record cannot be used; the store quarantines it with this reason."""


class ConfigError(EcgLibError):
    """A configuration field is missing, unknown or has an impossible value."""
