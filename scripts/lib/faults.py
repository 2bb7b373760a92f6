"""What is said when input cannot be read: one sentence that tells where and why."""


class LoadError(ValueError):
    """A source of data is not what it should be: one sentence that says where and why."""


def reason(error: Exception | str) -> str:
    """A library's message as a clause of our sentence."""
    return " ".join(str(error).split()).rstrip(".").replace(". ", "; ")


class ConfigError(ValueError):
    """The configuration asks for something the workflow cannot do: one sentence."""
