"""What somebody should know before the money is spent: sentences for what in a plan is likely to go wrong."""

from collections.abc import Iterator

from sluice.pipelines.plan.forecast import NOT_MEASURED
from sluice.pipelines.plan.result import Plan
from sluice.pipelines.terminal.printing import size
from sluice.transforms.records.validation import is_fault
from sluice.transforms.stages.commit import allowed_rejects
from sluice.transforms.storage import filesystems

FEW_UNITS, UNEVEN, LARGE_UNITS = 2.0, 0.5, 50_000


def find_warnings(plan: Plan) -> list[str]:
    """The most expensive surprises first."""
    return [*_input(plan), *_budget(plan), *_memory(plan), *_clusters(plan), *_embedding(plan), *_basis(plan)]


def _input(plan: Plan) -> Iterator[str]:
    facts = plan.facts
    faults = sum(count for reason, count in facts.counted.reasons.items() if is_fault(reason))
    records, limit = facts.counted.total("records"), facts.recipe.input.max_reject_share
    share = faults / max(records, 1)
    in_all = records * facts.documents.likely / facts.counted.total("documents")
    if share * in_all > allowed_rejects(in_all, limit):
        worst = max(facts.counted.reasons, key=lambda reason: facts.counted.reasons[reason])
        yield f"{share:.1%} of the sample's records are bad (most often: {worst}); above {limit:.1%} a run stops"
    if facts.counted.damaged and facts.recipe.input.unreadable == "fail":
        path, reason = next(iter(facts.counted.damaged.items()))
        count = len(facts.counted.damaged)
        others = f" (and {count - 1} more of those looked at)" if count > 1 else ""
        yield f"{path}{others} stops a run: {reason}; --unreadable reject goes on without what cannot be read"
    fleet = plan.fleets[1]
    paths = facts.recipe.input.paths
    if fleet.machine.kind == "dataflow" and any(filesystems.is_local(path) for path in paths):
        yield "the inputs are on this machine, where workers on Dataflow do not find them"
    local = fleet.machine.kind == "local"
    wanted = fleet.workers if local else fleet.workers * fleet.cores
    if facts.largest_unit > UNEVEN and facts.units > 1:
        yield f"one unit is {facts.largest_unit:.0%} of the corpus, and one process works through it: cut that file up"
    elif wanted > 1 and facts.tasks * FEW_UNITS <= wanted:
        packed = any(unit.compression != "none" for unit in plan.units)
        why = "; compressed files are not cut" if packed else "; a smaller --unit-bytes makes more"
        few = "1 unit keeps one" if facts.units == 1 else f"{facts.units:,} units keep at most as many"
        yield f"{few} of {wanted:,} processes busy{why}"
    if facts.units > LARGE_UNITS:
        yield f"{facts.units:,} units make large manifests (docs/scale.md): a larger --unit-bytes makes fewer"


def _budget(plan: Plan) -> Iterator[str]:
    facts = plan.facts
    for name, one in facts.steps.items():
        cut = one.step.asked
        if cut is None or cut.tokens is None:
            continue
        if facts.counted.tokens is None:
            yield f"{name} has a token budget, and the sample says nothing about tokens"
        elif cut.ratio is None and one.after.low >= one.before.high:
            yield f"{name}: its budget of {cut.tokens:,} tokens is more than there is; nothing would be removed"


def _memory(plan: Plan) -> Iterator[str]:
    for one in plan.costs:
        fleet = plan.fleets[0 if one.work.stage == "embeddings" else 1]
        machine = fleet.machine
        assert machine.memory_gb is not None
        have = machine.memory_gb * 1e9
        if one.work.memory > have:
            yield f"{one.work.stage} needs {size(one.work.memory)} a worker, {fleet.name} has {size(have)}"
            continue
        processes = min(fleet.workers, fleet.cores) if machine.kind == "local" else fleet.cores
        if machine.accelerator is None and one.work.memory * min(processes, max(one.work.tasks, 1)) > have:
            yield (
                f"{one.work.stage}: {processes} processes of {size(one.work.memory)} do not fit into {fleet.name} at "
                f"once ({size(have)})"
            )


def _clusters(plan: Plan) -> Iterator[str]:
    facts = plan.facts
    for one in plan.largest:
        if one.most_in_bin is not None and one.documents.likely > one.most_in_bin:
            yield f"{one.step}: the largest cluster is likely to be split, which adds stages"
        elif one.most_in_bin is not None and one.documents.high > one.most_in_bin:
            yield f"{one.step}: a large cluster may have to be split, which adds stages"
    for name, each in facts.steps.items():
        planned = each.step.planned_clustering(max(int(each.before.likely), 1), facts.dimension)
        if planned is None:
            continue
        if planned.clusters > each.before.low:
            yield f"{name}: {planned.clusters:,} clusters may be more than there are documents"
        if planned.two_levels:
            yield f"{name}: {planned.clusters:,} clusters are trained in two levels (--trainer-bytes)"
        if planned.searched:
            yield f"{name}: {planned.clusters:,} clusters are searched by ScaNN, whose speed was not measured here"


def _embedding(plan: Plan) -> Iterator[str]:
    model, machine = plan.facts.model, plan.fleets[0].machine
    if model is not None and machine.accelerator and not model.flops_per_token:
        yield f"a token table makes no use of an accelerator: {plan.fleets[0].name} is paid for nothing"
    if machine.accelerator and model is None:
        yield f"this recipe runs no model: {plan.fleets[0].name}'s accelerator has nothing to do"


def _basis(plan: Plan) -> Iterator[str]:
    if plan.facts.trial.stopped:
        yield f"the recipe could not be tried to its end: {plan.facts.trial.stopped}"
    guessed = [one.work.stage for one in plan.costs if one.work.basis == NOT_MEASURED]
    if guessed:
        yield f"nothing was measured of {', '.join(guessed)}: its numbers are guesses"
    repeated = [name for name, one in plan.facts.steps.items() if any(slot.repeat for slot in one.step.layout())]
    repeated = [name for name in repeated if plan.facts.steps[name].step.most_in_cluster(plan.facts.dimension) is None]
    for name in repeated:
        yield f"{name} adds rounds where more than 4,000,000 links are found; they are not in the plan"
