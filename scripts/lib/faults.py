"""What is said when input cannot be read: one sentence that tells where and why."""

LONGEST, HEAD, TAIL = 900, 600, 250  # characters of a sentence, and what is kept of a longer one
LONGEST_REASON = 200


class LoadError(ValueError):
    """A source of data is not what it should be: one sentence that says where and why.

    Names and values of a user's file may be of any length and hold any character: the sentence
    stays one line that can be printed.
    """

    def __init__(self, sentence: str):
        super().__init__(_shortened(_printable(sentence), LONGEST, HEAD, TAIL))


def reason(error: Exception | str) -> str:
    """A library's message as a clause of our sentence, without the path that we tell ourselves."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, KeyError):
        return f"no entry {error}"
    told = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    clause = " ".join(told.split()).rstrip(".").replace(". ", "; ")
    return _shortened(clause, LONGEST_REASON, LONGEST_REASON - 50, 40)


def _printable(text: str) -> str:
    """Line breaks, control characters and halves of characters as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _shortened(text: str, longest: int, head: int, tail: int) -> str:
    return text if len(text) <= longest else f"{text[:head]}[...]{text[-tail:]}"


class ConfigError(ValueError):
    """The configuration asks for something the workflow cannot do: one sentence."""


class ContractError(ValueError):
    """A table does not hold what its readers rely on."""
