"""What the agreement of a study's arms allows its chapter to say."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.lib.page_study import Told
from scripts.lib.page_tables import Badge, Row
from scripts.lib.stats import all_of

WORDS = {
    "reference": "is the reference",
    "untested": "not tested",
    "fails": "fails",
    "undecided": "undecided",
    "passes": "same answer",
    "protocol": "another protocol",
}
STATES = {True: "passes", False: "fails", None: "undecided"}  # by what all tests came to
TONES = {"passes": "good", "reference": "good", "fails": "bad"}


@dataclass(frozen=True)
class Proof:
    """What the tests of an arm came to: `state` (a key of WORDS) at `level` in these `places`.

    `tested` of `cells` have units that the reference finished too; `gaps` has for each axis the
    values at which none was.
    """

    state: str
    level: str = ""
    places: Sequence[str] = ()
    tested: int = 0
    cells: int = 0
    gaps: dict[str, list] = field(default_factory=dict)

    @property
    def badge(self) -> Badge:
        """The verdict in a word or two."""
        return Badge(WORDS[self.state], TONES.get(self.state, "open"))

    @property
    def text(self) -> str:
        """The verdict with its level, places and extent."""
        if not self.level or self.state in ("reference", "untested"):
            return WORDS[self.state]
        verb = {"undecided": "is undecided"}.get(self.state, self.state)
        where = f" at {', '.join(self.places)}" if self.places else ""
        none = "; ".join(f"none at {axis} = {listed(v)}" for axis, v in self.gaps.items())
        none = f" ({none})" if none else ""
        return f"{verb} as {self.level}{where}; {self.tested} of {self.cells} cells tested{none}"


def listed(values: Sequence) -> str:
    """Values with commas."""
    return ", ".join(map(str, values))


def gaps(twins: Sequence[Row], axes: Sequence[str]) -> dict[str, list]:
    """Values of each axis at which no cell has a unit that the reference finished too."""
    found = {}
    for axis in axes:
        tested = {row[axis] for row in twins if row["twin"]}
        untested = dict.fromkeys(row[axis] for row in twins if row[axis] not in tested)
        if untested:
            found[axis] = list(untested)
    return found


def proof_of(told: Told, twins: Sequence[Row], arm: str, strata: str, part: str = "") -> Proof:
    """The proof of an arm, at one value of the strata or in all."""
    if arm == told.reference:
        return Proof("reference")
    rows = [row for row in told.agreement if row["arm"] == arm]
    cells = [row for row in twins if row["arm"] == arm]
    if part:
        rows = [row for row in rows if row.get("where") == f"{strata} = {part}"]
        cells = [row for row in cells if str(row[strata]) == str(part)]
    if not rows:
        return Proof("untested")
    tests = [row["passed"] for row in rows if row["test"] != "reported"]
    level = rows[0]["level"]
    state = "protocol" if level == "protocol" else STATES[all_of(*tests)]
    places = list(dict.fromkeys(row["where"] for row in rows if row.get("where")))
    tested = sum(bool(row["twin"]) for row in cells)
    axes = [] if part else told.axes[:-1]
    return Proof(state, level, places, tested, len(cells), gaps(cells, axes))


@dataclass(frozen=True)
class Controls:
    """Wrong twins that were held to the tests, by name: those that failed one, as they must, those
    that passed all, and those that are undecided."""

    found: Sequence[str] = ()
    passed: Sequence[str] = ()
    undecided: Sequence[str] = ()

    @property
    def tried(self) -> int:
        """How many there were."""
        return len(self.found) + len(self.passed) + len(self.undecided)

    @property
    def words(self) -> str:
        """What they say of the tests, in a few words."""
        if not self.tried:
            return "no wrong twin tried"
        return f"{len(self.found)} of {self.tried} wrong twins found"


def controls_of(told: Told) -> Controls:
    """What the tests made of the wrong twins."""
    outcomes: dict[bool | None, list[str]] = {False: [], True: [], None: []}
    for arm in told.with_role("control"):
        rows = [row for row in told.agreement if row["arm"] == arm and row["test"] != "reported"]
        if rows:
            outcomes[all_of(*(row["passed"] for row in rows))].append(arm)
    return Controls(outcomes[False], outcomes[True], outcomes[None])
