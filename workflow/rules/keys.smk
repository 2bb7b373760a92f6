"""The keys of all files, once all rules are known; no rules."""

import atexit

KEYS = Keys(workflow, RESULTS)
KEYS.seal()
request(workflow)
# Some code is looked at only when the jobs are known.
atexit.register(parsed().keep)
