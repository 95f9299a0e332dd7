"""Settings: validated, frozen, and hashed so that only what matters moves a key."""

import pytest

from defectlib.data import procedural
from defectlib.errors import UserError
from defectlib.experiments.cost import Cost
from defectlib.profiles import load_profile
from defectlib.settings import (
    STAGES,
    ClickerTraining,
    Clicking,
    DenoiserTraining,
    Density,
    EmbeddedData,
    Evaluation,
    FolderData,
    LargeNet,
    LiveNets,
    ReceptiveField,
    RivalTraining,
    SegmenterTraining,
    SmallNet,
    Synthesis,
    parse,
)
from defectlib.store import settings_of

DATA = EmbeddedData(product="softgel")


def training(**changes):
    return DenoiserTraining(**{"data": DATA, "net": LargeNet(), "steps": 10, **changes})


def synthesis(**changes):
    small = training(net=SmallNet())
    return Synthesis(**{"large": training(), "small": small, "count": 3, **changes})


def test_a_key_does_not_move_with_what_changes_nothing():
    assert training().key() == training(checkpoint_every=7, samples_every=9, tensorboard=True).key()
    assert training().key() == training(batch=16).key()  # its default, said aloud
    assert synthesis().key() == synthesis(batch=1).key()


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 11},
        {"net": SmallNet()},
        {"net": LargeNet(scale_shift=True)},
        {"lr_schedule": "constant"},
        {"crop": 64},
        {"seed": 1},
        {"device": "cuda"},
        {"dtype": "bf16"},
        {"accumulate": 2},
        {"processes": 2},
        {"image": 0},
    ],
)
def test_a_key_moves_with_what_changes_the_result(changes):
    assert training().key() != training(**changes).key()


def test_a_change_below_moves_every_key_above():
    def evaluation(steps):
        small = training(net=SmallNet(), steps=steps)
        synthetic = Synthesis(large=training(), small=small, count=3)
        return Evaluation(segmenter=SegmenterTraining(data=DATA, model="DL", steps=1, synthetic=synthetic))

    assert evaluation(10).key() != evaluation(11).key()
    assert set(evaluation(10).inputs()) == {"segmenter"}
    assert set(evaluation(10).segmenter.inputs()) == {"synthetic"}


def test_keys_are_pinned():
    """A moved key orphans every artifact and every shipped net: bump a version on purpose, not by accident."""
    assert training().key() == "ad5c8b13f30232d8"
    assert synthesis().key() == "0386d730afb9dc7d"


def test_what_is_shipped_is_found_from_any_machine():
    here, there = training(), training(device="cuda", dtype="bf16")
    assert here.key(any_machine=True) == there.key(any_machine=True)
    assert here.key(any_machine=True) == training(accumulate=2, processes=4).key(any_machine=True)
    assert here.key(any_machine=True) != training(steps=11).key(any_machine=True)
    above = synthesis(), synthesis(large=there, device="cuda")
    assert above[0].key(any_machine=True) == above[1].key(any_machine=True)


def test_a_version_bump_moves_the_key(monkeypatch):
    before = training().key()
    monkeypatch.setattr(DenoiserTraining, "version", DenoiserTraining.version + 1)
    assert training().key() != before


def test_a_folder_is_known_by_its_content_and_not_by_its_place():
    here, there = (FolderData(root=root, digest="abc", split="splits/default.json") for root in ("/a", "/b"))
    assert training(data=here).key() == training(data=there).key()
    assert training(data=here).key() != training(data=here.model_copy(update={"digest": "abd"})).key()


def test_embedded_data_and_the_painter_have_one_version():
    assert EmbeddedData.versions["painter_version"] == procedural.VERSION


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_settings_survive_a_file(stage):
    profile = load_profile("smoke")
    data = profile.data("softgel")
    evaluation = profile.evaluation(data, "DL", profile.synthesis(data))
    synthetic = evaluation.segmenter.synthetic
    pairs = profile.rival_synthesis(profile.rival_training(data, "SinGAN", 2))
    found = {
        "denoiser": synthetic.large,
        "synthetic": synthetic,
        "live_nets": LiveNets(large=synthetic.large, small=(synthetic.small,)),
        "fidelity": profile.fidelity(synthetic),
        "sampler_timing": profile.sampler_timing(data, (("ddpm", 20), ("ddim", 4))),
        "receptive_field": ReceptiveField(denoiser=synthetic.large, device="cpu"),
        "density": Density(samples=6, denoiser="optimum"),
        "segmenter": evaluation.segmenter,
        "evaluation": evaluation,
        "segmenter_timing": profile.segmenter_timing("softgel"),
        "throughput": Cost(profile).throughput,
        "oracle": profile.oracle_training(data),
        "judgement": profile.judgement(synthetic),
        "rival": pairs.rival,
        "rival_pairs": pairs,
        "pasted_pairs": profile.pasted(data, 4, 32),
        "clicker": profile.clicker_training("softgel", multi_level=False),
        "clicking": profile.clicking(data, "Defect-Click"),
    }[stage.stage]
    record = {"stage": stage.stage, "settings": found.model_dump(mode="json")}
    assert settings_of(record) == found
    assert settings_of(record).key() == found.key()


def test_mistakes_are_one_line_that_names_the_setting():
    with pytest.raises(UserError, match="unknown setting of EmbeddedData 'sise': did you mean 'size'"):
        parse(EmbeddedData, {"product": "softgel", "sise": 64})
    with pytest.raises(UserError, match=r"setting 'size' of EmbeddedData: .* got 3"):
        parse(EmbeddedData, {"product": "softgel", "size": 3})
    with pytest.raises(UserError, match="setting 'steps' of DenoiserTraining"):
        parse(DenoiserTraining, {"data": DATA, "net": LargeNet(), "steps": "many"})
    with pytest.raises(UserError, match="no stage is called 'denoizer'"):
        settings_of({"stage": "denoizer"})
    with pytest.raises(UserError, match="not trained on the same data"):
        synthesis(small=training(net=SmallNet(), data=EmbeddedData(product="washer")))


def test_sides_that_no_net_can_take_are_refused_before_anything_is_trained():
    with pytest.raises(
        UserError, match="setting 'size' of the pairs is 72 px, but the large net needs a multiple of 16"
    ):
        synthesis(size=72)
    with pytest.raises(UserError, match="setting 'crop' is 40 px"):
        training(crop=40)
    with pytest.raises(UserError, match="setting 'size' of the data is 40 px"):
        training(data=EmbeddedData(product="softgel", size=40))


def test_what_learns_from_a_single_image_must_be_told_which():
    with pytest.raises(UserError, match="SinGAN learns from a single image; set 'image' to its number"):
        parse(RivalTraining, {"data": DATA, "method": "SinGAN", "steps": 1})


def test_a_clicker_needs_something_to_learn_from_and_only_defect_click_needs_a_clicker():
    with pytest.raises(UserError, match="a clicker with neither 'products' nor 'data' has nothing to learn from"):
        parse(ClickerTraining, {"steps": 1})
    with pytest.raises(UserError, match="setting 'crop' is 80 px, but the clicker needs a multiple of 32 px"):
        parse(ClickerTraining, {"products": ("softgel",), "steps": 1, "crop": 80})
    clicker = ClickerTraining(products=("softgel",), steps=1)
    for method, given in (("Defect-Click", None), ("GrabCut", clicker)):
        with pytest.raises(UserError, match=f"^method '{method}': Defect-Click needs a clicker, and no other method"):
            parse(Clicking, {"data": DATA, "method": method, "clicker": given})


def test_the_key_of_a_clicker_moves_with_what_it_learns_from_and_with_every_switch():
    def key(**changes):
        return ClickerTraining(**{"products": ("softgel", "twill"), "steps": 5, **changes}).key()

    own = FolderData(root="/a", digest="abc", split="splits/default.json")
    changes = [{"products": ("softgel",)}, {"data": (own,)}, {"multi_level": False}, {"edge_sensitive": False}]
    assert len({key(), *(key(**change) for change in changes)}) == 5
    assert key() == key(checkpoint_every=3)
    assert key(data=(own,)) == key(data=(own.model_copy(update={"root": "/b"}),))


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        training().steps = 3


# Profiles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu"])
def test_every_profile_makes_every_stage(name):
    profile = load_profile(name)
    for product in profile.products:
        data = profile.data(product)
        assert profile.evaluation(data, "DL", profile.synthesis(data)).key()
        assert profile.own_synthesis(data).key()


def test_a_parameter_wins_over_the_profile_and_none_keeps_it():
    assert load_profile("cpu", gallery=3, size=None).gallery == 3
    assert load_profile("cpu", size=None).size == load_profile("cpu").size


def test_a_file_of_your_own_changes_single_values_of_its_base(tmp_path):
    file = tmp_path / "longer.yaml"
    file.write_text("base: cpu\nown: {segmenter: {steps: 2000}, large: {steps: 7}}\ngallery: 3\n")
    own, base = load_profile(str(file)), load_profile("cpu")
    assert (own.name, own.gallery, own.own.segmenter["steps"], own.own.large["steps"]) == ("longer", 3, 2000, 7)
    assert own.own.large["batch"] == base.own.large["batch"]
    assert own.models == base.models


def test_the_machine_is_resolved_before_it_enters_a_key(monkeypatch):
    assert load_profile("smoke").machine == {"device": "cpu", "dtype": "fp32"}
    profile = load_profile("cpu", device="cuda")
    assert profile.machine == {"device": "cuda", "dtype": "bf16"}


# Defect-Click -------------------------------------------------------------------------------------------------------


def test_a_clicker_may_leave_out_a_product_and_do_without_each_adaptation():
    profile = load_profile("cpu")
    everything, without = profile.clicker_training(), profile.clicker_training("washer")
    assert set(everything.products) == set(procedural.PRODUCTS)
    assert set(without.products) == set(procedural.PRODUCTS) - {"washer"}
    one = profile.clicker_training("washer", many_domains=False)
    assert (len(one.products), one.scenes, one.steps) == (1, without.scenes, without.steps)
    assert one.products[0] != "washer"
    assert not profile.clicker_training("washer", multi_level=False).multi_level
    assert not profile.clicker_training("washer", edge_sensitive=False).edge_sensitive
    with pytest.raises(UserError, match="unknown product to leave out 'wascher': did you mean 'washer'"):
        profile.clicker_training("wascher")


def test_clicks_are_simulated_with_the_profiles_clicker_unless_another_is_given():
    profile = load_profile("cpu")
    data, other = profile.data("softgel"), profile.clicker_training("softgel")
    assert profile.clicking(data, "Defect-Click").clicker == profile.clicker_training()
    assert profile.clicking(data, "Defect-Click", other).clicker == other
    assert profile.clicking(data, "GrabCut").clicker is None
