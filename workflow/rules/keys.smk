"""The keys of all files, once all rules are known; no rules."""

KEYS = Keys(workflow, RESULTS)
KEYS.seal()
parsed().keep()
