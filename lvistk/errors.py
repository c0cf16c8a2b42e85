"""The error that a user can mend."""


class UserError(Exception):
    """A mistake in input, settings or files, told in one line that names file, id and mend.

    Commands print the message and exit with code 2, without a traceback.
    """
