"""A long unkind life: two ensembles, several servers, churn, faults, and a model beside them.

Read in this order: plan (what will happen), model (what may be answered), network and cast (who takes
part, and where), services, churn and faults (how it happens), hostile and upstream (who does her worst),
asking and watch (what is asked all the while), truth, routes and agreement (what must be answered when all is
quiet), life (the rounds), __main__.
"""

import sys
from pathlib import Path

# The members and servers are those of the tests' own support.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
