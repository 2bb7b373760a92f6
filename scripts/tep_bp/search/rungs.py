"""How many trials reach which rung of successive halving: known beforehand (spec 6.5)."""


def kept(n: int, eta: int) -> int:
    """ceil(n / eta): how many of n trials are promoted."""
    return -(-n // eta)


def rungs(n: int, epochs: list[int], eta: int) -> list[tuple[int, int]]:
    """(epochs, trials) of each rung, e.g. (3, 300), (10, 100), (30, 34)."""
    found = []
    for count in epochs:
        found.append((count, n))
        n = kept(n, eta)
    return found
