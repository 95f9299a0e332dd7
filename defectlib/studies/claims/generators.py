"""Claims about Defect-Gen and the generators it is set beside: chapters on its method, its release, its rivals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from defectlib.config import EmbeddedData, T
from defectlib.studies.calls import NetworkCalls, Point, choice, fewest
from defectlib.studies.claims.estimate import Estimate, of_values
from defectlib.studies.claims.finding import Counted, Effect, Measured, effect
from defectlib.studies.claims.given import (
    DISTANCE,
    NEAREST_TO_PAPER,
    Given,
    Group,
    Tables,
    newest,
    number,
    points,
    products_in_words,
    side,
)
from defectlib.studies.generation import SwitchStep
from defectlib.studies.judgement import JudgedSwitchStep
from defectlib.studies.numbers import with_minus
from defectlib.studies.ratios import real_images
from defectlib.studies.released import ReleasedCode
from defectlib.studies.rivals import CYCLEGAN, DDPM, OURS, SINDIFFUSION, SINGAN, Rivals

# What can be counted or computed ------------------------------------------------------------------------------------


def training_images(_: Tables) -> Counted:
    """N = 25: what the authors' division gives of a product with five types of defect."""
    data = EmbeddedData(product="softgel")
    found = real_images(data)
    return Counted(f"{found} images: {data.shots} of each type of {data.product}", found == NEAREST_TO_PAPER)


def timesteps(_: Tables) -> Counted:
    """T, as all nets here are trained."""
    return Counted(f"T = {T}", T == 1000)


def two_stages(_: Tables) -> Counted:
    """Which net is called where, on the path of Fig. 4, and at its two ends."""
    from defectlib.defectgen.timesteps import two_stage_timesteps

    every = list(range(T - 1, -1, -1))
    whole = all([t for of_net in two_stage_timesteps(u, T) for t in of_net] == every for u in (0, 400, T))
    alone = not two_stage_timesteps(0, T)[1] and not two_stage_timesteps(T, T)[0]
    return Counted(
        f"one list from {T - 1} to 0; u = 0 calls the large net alone, u = {T} the small one", whole and alone
    )


def release_hands_over(_: Tables) -> Counted:
    """Whether the released loop calls the nets where Fig. 4 has them called."""
    from defectlib.defectgen.released import released_timesteps
    from defectlib.defectgen.timesteps import two_stage_timesteps

    theirs, paper = released_timesteps(400, T), two_stage_timesteps(400, T)
    large = [f"{calls[0]} to {calls[-1]}" for calls in (theirs[0], paper[0])]
    return Counted(f"at u = 400 its large net is called from t = {large[0]}, not from {large[1]}", theirs == paper)


def fewer_levels(given: Given) -> Counted:
    """The field of small nets, by their layers and by their gradients."""
    found = {name: one for name, one in given.numbers.items() if one["theory"] is not None}
    said = [f"{one['theory']} px by layers, {max(one['measured'])} px by gradients" for one in found.values()]
    large = [one for one in given.numbers.values() if one["theory"] is None]
    within = all(max(one["measured"]) <= one["theory"] for one in found.values())
    whole = all(max(one["measured"]) >= max(other["measured"]) for one in large for other in found.values())
    return Counted(f"{'; '.join(said)}; large net: the whole image", within and whole)


# The switch step ----------------------------------------------------------------------------------------------------


def of_curve(study: SwitchStep) -> Given:
    """The measures at every u, with the agreement of each pair's mask where networks judged it."""
    judged = study.judged if isinstance(study, JudgedSwitchStep) else lambda u: {"agreement_of_pairs": None}
    found = {u: study.measures(u) | {"fits": judged(u)["agreement_of_pairs"]} for u in study.steps}
    data = study.data
    words = products_in_words([study.product], data.size) if data.kind != "folder" else "the folder that was given"
    return Given(found, words, 1)


def trades(given: Given) -> Measured:
    """From the large net alone to the small one: farther from the training images, masks that fit less."""
    first, last = min(given.numbers), max(given.numbers)
    ends = [given.numbers[u] for u in (first, last)]
    farther = _nearest(ends[1]) - _nearest(ends[0])
    text = [f"from u = {first} to {last}: {DISTANCE} {number(farther, 3, '+')}"]
    effects = [effect(farther)]
    if ends[0]["fits"] is not None and ends[1]["fits"] is not None:
        worse = of_values(ends[0]["fits"]) - of_values(ends[1]["fits"])
        text.append(f"agreement of masks and images lower by {points(worse)}")
        effects.append(effect(worse))
    whole = effects if len(effects) == 2 else ()  # diversity alone is no trade
    return Measured(", ".join(text), given.seeds, tuple(whole))


def large_alone(given: Given) -> Measured | None:
    """Fig. 5(a): nearer to the training images than these are to each other."""
    found = given.numbers.get(0)
    if found is None:
        return None
    ours, real = _nearest(found), found["training_nearest_mean"]
    text = f"{DISTANCE} {number(ours, 3)}, {real:.3f} among training images"
    return Measured(text, given.seeds, (effect(Estimate(real - ours.value, ours.error, ours.freedom)),))


def small_alone(given: Given) -> Measured | None:
    """Fig. 5(b): farther from the training images than new images are."""
    found = given.numbers.get(T)
    if found is None or "nearest_mean" not in found["held_out"]:
        return None
    ours, real = _nearest(found), found["held_out"]["nearest_mean"]
    text = f"{DISTANCE} {number(ours, 3)}, {real:.3f} of held-out images"
    return Measured(text, given.seeds, (effect(Estimate(ours.value - real, ours.error, ours.freedom)),))


def both_nets(given: Given) -> Measured | None:
    """Fig. 5(c): farther than the large net alone, nearer than the small one alone."""
    inner = [u for u in given.numbers if 0 < u < T]
    if not inner or not {0, T} <= set(given.numbers):
        return None
    u = inner[-1] if len(inner) == 1 else min(inner, key=lambda each: abs(each - 400))
    found = {step: _nearest(given.numbers[step]) for step in (0, u, T)}
    varied, kept = found[u] - found[0], found[T] - found[u]
    text = f"u = {u}: {number(varied, 3, '+')} farther from the training images than the large net alone"
    text += f", {number(kept, 3, '+')} nearer than the small one"
    return Measured(text, given.seeds, (effect(varied), effect(kept)))


def _nearest(measured: dict[str, Any]) -> Estimate:
    return of_values(measured["nearest_distance"])


# Release, samplers, rivals ------------------------------------------------------------------------------------------


def of_release(study: ReleasedCode) -> Given:
    """What the release's path changes, by u."""
    return Given(study.differences(), products_in_words([study.product], study.data.size), 1)


def release_varies_less(given: Given) -> Measured | None:
    """The distance between two pairs on the release's path against the paper's, at u = 400 or the u nearest to it."""
    table = given.numbers
    if table.empty:
        return None
    row = table.loc[(table["u"] - 400).abs().idxmin()]
    found = Effect(-row["spread"], -row["spread_high"], -row["spread_low"])
    span = f"[{row['spread_low']:+.3f}, {row['spread_high']:+.3f}]"
    text = f"distance between two pairs {row['spread']:+.3f} {span} against the paper's path, at u = {row['u']:.0f}"
    return Measured(with_minus(text), given.seeds, (found,))


def of_calls(study: NetworkCalls) -> Given:
    """Quality and speed of every sampler, of this run."""
    return Given(study.table, products_in_words([study.product], study.data.size), 1)


def recorded_calls(tables: Tables) -> Given | None:
    """The same of record."""
    found = newest(tables, r"network_calls_.*")
    return found and Given(found[1], products_in_words([found[1].attrs["provenance"]["product"]], side(found[0])), 1)


def fewer_calls(given: Given) -> Measured | None:
    """The fewest network calls that cost no measurable quality; None where the reference was not measured."""
    table = given.numbers
    reference = Point("ddpm", max(table.xs("ddpm", level="sampler").index))
    if table.loc[reference, "pairs"] != table.loc[reference, "pairs"]:
        return None
    kept = {sampler: calls for sampler, calls in fewest(table, reference).items() if calls}
    best = choice(table, reference)
    found = (
        f"{best.name}, cost no measurable quality" if kept else f"every number below {reference.calls} costs quality"
    )
    return Measured(found, given.seeds)


def of_rivals(study: Rivals) -> Given:
    """The measures of every method, and what networks say of Defect-Gen's pairs."""
    found = {method: study.measures(method) for method in study.synthetic}
    return Given(found | {"judged": study.judged(OURS)}, products_in_words([study.product], study.data.size), 1)


def _repeats(method: str) -> Callable[[Given], Measured]:
    def judge(given: Given) -> Measured:
        """Nearer to the training images than Defect-Gen's pairs, and than these are to each other."""
        ours, theirs = (_nearest(given.numbers[name]) for name in (OURS, method))
        real = given.numbers[method]["training_nearest_mean"]
        text = f"{DISTANCE} {number(theirs, 3)}, of Defect-Gen {number(ours, 3)}"
        copies = Estimate(real - theirs.value, theirs.error, theirs.freedom)
        effects = (effect(ours - theirs), effect(copies))
        return Measured(f"{text}, among training images {real:.3f}", given.seeds, effects)

    return judge


def _unreal(method: str) -> Callable[[Given], Measured]:
    def judge(given: Given) -> Measured:
        """Details and variety, which have no interval: they are of a whole set."""
        ours, theirs = given.numbers[OURS], given.numbers[method]
        details = f"patch distance {theirs['patch_distance']:.0f}, of Defect-Gen {ours['patch_distance']:.0f}"
        varied = f"diversity {theirs['diversity']:.2f} and {ours['diversity']:.2f}"
        return Measured(f"{details}; {varied}; no intervals", given.seeds)

    return judge


def masks_align(given: Given) -> Measured | None:
    """How well an oracle's reading of the pairs agrees with their masks, and of real images with theirs."""
    found = given.numbers["judged"]
    if not found.get("agreement"):
        return None
    real = found["held_out"]["agreement"]["miou"]
    text = f"masks agree with what an oracle sees at {found['agreement']['miou']:.2f} mIoU, real ones at {real:.2f}"
    return Measured(f"{text}; no interval", given.seeds)


COUNTS = {
    "03_defect_gen": {
        "training-images": training_images,
        "timesteps": timesteps,
        "two-stages": two_stages,
    },
    "09_released_code": {"release-hand-over": release_hands_over},
}
GROUPS = {
    "03_defect_gen": (
        Group({"large-alone": large_alone, "small-alone": small_alone, "both-nets": both_nets}, of_curve),
    ),
    "04_switch_step": (Group({"trade-off": trades}, of_curve),),
    "08_receptive_field": (
        Group(
            {"fewer-levels": fewer_levels},
            lambda study: Given(study.measures(), products_in_words([study.product], study.profile.size), 1),
        ),
    ),
    "09_released_code": (Group({"release-diversity": release_varies_less}, of_release),),
    "10_network_calls": (Group({"network-calls": fewer_calls}, of_calls, recorded_calls),),
    "11_rivals": (
        Group(
            {
                "cyclegan-repeats": _repeats(CYCLEGAN),
                "ddpm-repeats": _repeats(DDPM),
                "singan-unreal": _unreal(SINGAN),
                "sindiffusion-unreal": _unreal(SINDIFFUSION),
                "masks-align": masks_align,
            },
            of_rivals,
        ),
    ),
}
