"""The keys of all files, once all rules are known; no rules."""

import atexit

KEYS = Keys(workflow, RESULTS)
KEYS.seal()
# Some code is looked at only when the jobs are known.
atexit.register(parsed().keep)
