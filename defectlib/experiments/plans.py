"""Which study each notebook shows, from its parameters: notebooks, command line and workflow all ask here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from defectlib.data import procedural
from defectlib.errors import UserError, shown, unknown
from defectlib.experiments.baselines import Baselines
from defectlib.experiments.boost import SyntheticBoost
from defectlib.experiments.calls import NetworkCalls
from defectlib.experiments.clicking import Clicks, tiles_folder
from defectlib.experiments.cost import Cost
from defectlib.experiments.generation import Playground
from defectlib.experiments.judgement import JudgedSwitchStep
from defectlib.experiments.memorisation import Memorisation
from defectlib.experiments.own import OwnDefects, fitted, own_defects, take_up
from defectlib.experiments.receptive_field import Fields
from defectlib.experiments.released import ReleasedCode
from defectlib.experiments.rivals import Rivals
from defectlib.experiments.speed import Speed
from defectlib.experiments.study import Study
from defectlib.experiments.watched import StepByStep
from defectlib.profiles import Speed as SpeedTable
from defectlib.profiles import load_profile
from defectlib.settings import Stage, T, known_model, parse


def known_product(name: str) -> str:
    """``name``, if the embedded dataset has it or it looks like DATASET/PRODUCT; the error offers the nearest."""
    if not isinstance(name, str) or ("/" not in name and name not in procedural.PRODUCTS):
        raise unknown("product", str(name), procedural.PRODUCTS)
    return name


def _each(setting: str, values: list[Any] | None, known: Callable[[Any], Any]) -> tuple | None:
    """The values of a list, each of them ``known``; None where none is given."""
    if values is not None and not values:
        raise UserError(f"setting '{setting}' is an empty list; name at least one")
    return None if values is None else tuple(known(value) for value in values)


def _known_step(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= T:
        raise UserError(f"setting 'switch_steps': a switch step is a whole number from 0 to {T}, got {shown(value)}")
    return value


def regimes(profile: str = "smoke", product: str = "softgel", **_: Any) -> StepByStep:
    """Defect-Gen step by step (Fig. 4, 5)."""
    return StepByStep(load_profile(profile), product=known_product(product))


def switch_step(
    profile: str = "smoke",
    product: str = "softgel",
    data: str | None = None,
    switch_steps: list[int] | None = None,
    **_: Any,
) -> JudgedSwitchStep:
    """The switch-step ablation."""
    chosen, folder = load_profile(profile), None
    if data is not None:
        chosen, folder = fitted(chosen, take_up(data))
    steps = _each("switch_steps", switch_steps, _known_step)
    return JudgedSwitchStep(chosen, product=known_product(product), switch_steps=steps, folder=folder)


def boost(
    profile: str = "smoke",
    products: list[str] | None = None,
    models: list[str] | None = None,
    ratios: list[int] | None = None,
    **_: Any,
) -> SyntheticBoost:
    """The synthetic-data boost (Table 4, Fig. 8)."""
    chosen = _each("products", products, known_product)
    baselines = _each("models", models, known_model)
    return SyntheticBoost(load_profile(profile, products=chosen, boosted=baselines, ratios=ratios))


def playground(profile: str = "smoke", product: str = "softgel", **_: Any) -> Playground:
    """Sliders for u and the receptive field."""
    return Playground(load_profile(profile), product=known_product(product))


def receptive_field(profile: str = "smoke", product: str = "softgel", **_: Any) -> Fields:
    """The receptive field of each net, and what its size does."""
    return Fields(load_profile(profile), product=known_product(product))


def own(
    profile: str = "smoke",
    data: str | None = None,
    count: int | None = None,
    shots: int | None = None,
    model: str = "UNet",
    **_: Any,
) -> OwnDefects:
    """Your own defects."""
    return own_defects(load_profile(profile), data, count=count, shots=shots, model=known_model(model))


def released_code(
    profile: str = "smoke", product: str = "softgel", switch_steps: list[int] | None = None, **_: Any
) -> ReleasedCode:
    """The released code's path beside the paper's."""
    steps = _each("switch_steps", switch_steps, _known_step)
    return ReleasedCode(load_profile(profile), product=known_product(product), switch_steps=steps)


def network_calls(
    profile: str = "smoke",
    product: str = "softgel",
    network_calls: dict[str, list[int]] | None = None,
    pairs: int | None = None,
    **_: Any,
) -> NetworkCalls:
    """Samplers and their number of network calls."""
    measured = None if network_calls is None else T  # what is asked for by name is measured whatever it costs
    chosen = load_profile(profile, network_calls=network_calls, gallery=pairs, measured_calls=measured)
    return NetworkCalls(chosen, product=known_product(product))


def memorisation(profile: str = "smoke", product: str = "softgel", whole: bool = False, **_: Any) -> Memorisation:
    """Why one net memorises (Fig. 3, §3.4.2)."""
    return Memorisation(load_profile(profile), product=known_product(product), whole=whole)


def rivals(profile: str = "smoke", product: str = "softgel", image: int = 1, **_: Any) -> Rivals:
    """The generators that the paper compares with (Fig. 6, 7)."""
    return Rivals(load_profile(profile), product=known_product(product), image=image)


def speed(
    profile: str = "smoke",
    product: str = "softgel",
    models: list[str] | None = None,
    size: int | None = None,
    rounds: int | None = None,
    **_: Any,
) -> Speed:
    """The latency of the baselines (Table 2)."""
    chosen = load_profile(profile)
    given = {"models": _each("models", models, known_model), "size": size, "rounds": rounds}
    values = chosen.speed.model_dump() | {name: value for name, value in given.items() if value is not None}
    return Speed(chosen.model_copy(update={"speed": parse(SpeedTable, values)}), product=known_product(product))


def baselines(
    profile: str = "smoke", products: list[str] | None = None, models: list[str] | None = None, **_: Any
) -> Baselines:
    """The eight segmentation baselines (Table 3)."""
    chosen = _each("products", products, known_product)
    names = _each("models", models, known_model)
    return Baselines(load_profile(profile), products=chosen, models=names)


def cost(profile: str = "smoke", product: str = "softgel", **_: Any) -> Cost:
    """What a full reproduction costs."""
    return Cost(load_profile(profile), product=known_product(product))


def clicks(
    profile: str = "smoke", product: str = "softgel", other: str | None = None, whole: bool = False, **_: Any
) -> Clicks:
    """Defect-Click (§3.3, Fig. 2)."""
    return Clicks(load_profile(profile), product=known_product(product), other=tiles_folder(other), whole=whole)


@dataclass(frozen=True)
class Scoreboard(Study):
    """All other notebooks' studies, None for those that build nothing; it reads what they made and makes nothing."""

    chapters: Mapping[str, Study | None] = field(kw_only=True)

    def stages(self) -> tuple[Stage, ...]:
        """All that they read: the workflow makes it before."""
        return tuple(dict.fromkeys(stage for study in self.chapters.values() if study for stage in study.stages()))


def scoreboard(profile: str = "smoke", **_: Any) -> Scoreboard:
    """What became of each claim, over all other notebooks."""
    chapters = {name: study and study(profile=profile) for name, study in STUDIES.items() if study is not scoreboard}
    return Scoreboard(load_profile(profile), chapters=chapters)


#: Notebook → its study; None for a notebook that builds nothing.
STUDIES: dict[str, Callable[..., Study] | None] = {
    "00_scoreboard": scoreboard,
    "01_datasets": None,
    "02_annotations": None,
    "03_defect_gen": regimes,
    "04_switch_step": switch_step,
    "05_synthetic_boost": boost,
    "06_playground": playground,
    "07_your_own_defects": own,
    "08_receptive_field": receptive_field,
    "09_released_code": released_code,
    "10_network_calls": network_calls,
    "11_rivals": rivals,
    "12_memorisation": memorisation,
    "13_speed": speed,
    "14_baselines": baselines,
    "15_cost": cost,
    "16_defect_click": clicks,
}
NOTEBOOKS: tuple[str, ...] = tuple(STUDIES)


def plan(notebook: str, parameters: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages that a notebook with these parameters builds, inputs not listed.

    Raises:
        UserError: There is no such notebook, or a parameter's value is not valid.
    """
    if notebook not in STUDIES:
        raise unknown("notebook", notebook, NOTEBOOKS)
    study = STUDIES[notebook]
    return study(**parameters).stages() if study else ()
