"""The one exception that is the user's to mend."""


class Refused(Exception):
    """What was asked cannot be done. The message is one sentence: what came, and what is allowed."""
