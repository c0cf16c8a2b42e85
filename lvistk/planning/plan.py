"""A plan from fingerprint, machine, wishes and measured rates."""

from lvistk.planning import rules
from lvistk.planning.basis import Basis
from lvistk.planning.budget import planned_steps, remarks
from lvistk.planning.cost import Rates
from lvistk.planning.fingerprint import Fingerprint
from lvistk.planning.machine import Machine
from lvistk.planning.model_tables import model_tables
from lvistk.planning.planned import Plan, Wishes
from lvistk.planning.stage_tables import stage_tables
from lvistk.planning.training_tables import data_tables, training_tables


def make_plan(fp: Fingerprint, machine: Machine, wishes: Wishes, rates: Rates) -> Plan:
    """The largest image size beside which enough steps fit into the hours, and all that follows from it."""
    basis = Basis(fp, machine, wishes)
    steps = planned_steps(basis, rates)
    tables = [
        *model_tables(basis, steps.size),
        *data_tables(basis, steps),
        *training_tables(basis, steps, rates),
        *stage_tables(basis, steps),
    ]
    lines = remarks(basis, steps)
    if warning := rules.too_small(fp, steps.size):
        lines.append(warning)
    return Plan(tuple(tables), steps.seconds / 3600, tuple(lines))
