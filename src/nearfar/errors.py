"""The one exception that means: the input is wrong, and here is what is wrong with it."""


class InputError(ValueError):
    """Bad input: says what was wrong, where (file, row, field) and what was expected.

    The command line prints its message on one line and exits with code 2.
    """
