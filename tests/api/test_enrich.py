"""Plan an enrichment: planted neighbours are found first, nothing known is proposed, tags are undone."""

from __future__ import annotations

import json
import logging
import shutil
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import fiftyone_saliency as fos
from fiftyone_saliency.core.embeddings import Embeddings
from fiftyone_saliency.core.errors import ArgumentError, FieldError, ModelError, UnknownNameError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, state_of

HEAD, UNIFORM = "head", "uniform"
ASK = {"regions": "boxes", "right": [UNIFORM]}


def noise(folder, name, seed):
    path = folder / f"{name}.png"
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(path)
    return str(path)


def picture(fo, folder, name, truth=None, prediction=None, where=None):
    """A picture whose upper half is a head and whose lower half is a uniform, with its evidence in one of them."""
    sample = fo.Sample(filepath=noise(folder, name, zlib.crc32(name.encode())), tags=[name])
    sample["ground_truth"] = truth and fo.Classification(label=truth)
    sample["predictions"] = prediction and fo.Classification(label=prediction)
    halves = {HEAD: [0, 0, 1, 0.5], UNIFORM: [0, 0.5, 1, 0.5]}
    sample["boxes"] = fo.Detections(detections=[fo.Detection(label=n, bounding_box=b) for n, b in halves.items()])
    if where is not None:
        values = np.zeros((8, 8), np.float32)
        values[:4] = 0.9 if where == HEAD else 0.1
        values[4:] = 1 - values[0, 0]
        sample["saliency"] = fo.Heatmap(map=values)
    return sample


@pytest.fixture
def scene(fo, dataset, tmp_path):
    """Six evaluated cooks and judges and a pool, by name; the vectors of all parts are chosen by hand.

    Three cooks are right because of their heads, one is taken for a judge, one is right because of its uniform.
    """
    samples, vectors = [], {part: [] for part in ("image", "salient", "rest")}

    def place(name, image, salient, rest, *labels):
        samples.append(picture(fo, tmp_path, name, *labels))
        for part, vector in zip(vectors, (image, salient, rest), strict=True):
            vectors[part].append(vector)

    place("cook-1", [10, 0, 0, 0], [1, 0], [1, 0], "cook", "cook", HEAD)
    place("cook-2", [10, 1, 0, 0], [1, 0], [1, 0.1], "cook", "cook", HEAD)
    place("cook-3", [10, 0, 1, 0], [1, 0.1], [1, 0], "cook", "cook", HEAD)
    place("cook-as-judge", [0, 10, 0, 0], [0, 1], [1, 0], "cook", "judge", HEAD)
    place("cook-good", [0, 0, 0, 10], [1, 1], [1, 1], "cook", "cook", UNIFORM)
    place("judge-good", [0, 0, 10, 0], [0, 1], [0, 1], "judge", "judge", UNIFORM)
    place("pool-usual-head", [10, 0.4, 0.4, 0], [1, 0], [1, 0], "cook")
    place("pool-other-head", [5, 0, 5, 0], [0.1, 1], [1, 0], "cook")
    place("pool-other-head-next", [6, 0, 0, 5], [0.1, 1], [1, 0.4], None)
    place("pool-elsewhere", [0, 0, 1, 10], [0, 1], [0, 1], "cook")
    place("pool-lost", [0.5, 10, 0, 0], [1, 0], [0, 1], None)
    place("pool-lost-next", [3, 10, 0, 3], [1, 0], [0, 1], "cook")
    place("pool-judge", [0, 10, 0.1, 0], [0, 1], [1, 0], "judge")
    ids = dataset.add_samples(samples, progress=False)
    names = [sample.tags[0] for sample in samples]
    embeddings = {part: Embeddings(ids, np.array(own, np.float32)) for part, own in vectors.items()}
    return dataset, dict(zip(names, ids, strict=True)), embeddings


def part(scene, prefix, complement=False):
    dataset, ids, _ = scene
    return dataset.match_tags([name for name in ids if name.startswith(prefix) != complement])


def plan_of(scene, **arguments):
    arguments = {"pool": part(scene, "pool"), "embeddings": scene[2]} | ASK | arguments
    return fos.plan_enrichment(part(scene, "pool", complement=True), **arguments)


def proposals(scene, plan):
    names = {sample_id: name for name, sample_id in scene[1].items()}
    return {gap.name: [names[i] for i in ids] for gap, ids in zip(plan.gaps, plan.proposed, strict=True)}


def test_planted_neighbours_of_wrong_predictions_are_found_first(scene):
    """Four cooks fail and one is good: three are needed, one of them against the cook that was taken for a judge."""
    plan = plan_of(scene)
    assert {gap.name: gap.needed for gap in plan.gaps} == {"cook → cook": 2, "cook → judge": 1}
    assert proposals(scene, plan)["cook → judge"] == ["pool-lost"]


def test_against_a_wrong_reason_another_cue_in_the_same_surroundings_is_found_first(scene):
    """The picture that looks most like the failing ones shows their very head: it would teach it once more."""
    assert proposals(scene, plan_of(scene))["cook → cook"] == ["pool-other-head", "pool-other-head-next"]


def test_without_maps_in_the_pool_nothing_is_proposed_against_a_wrong_reason(scene):
    plan = plan_of(scene, embeddings={"image": scene[2]["image"]})
    assert proposals(scene, plan) == {"cook → cook": [], "cook → judge": ["pool-lost"]}
    assert "7 without a map to tell the cue by" in str(plan)


@pytest.mark.parametrize(("by", "found"), [("image", "pool-lost"), ("salient", "pool-elsewhere")])
def test_wrong_predictions_are_compared_by_the_part_that_is_asked_for(scene, by, found):
    """By the salient region, the judge's head is found again, on whatever else is in the picture."""
    evaluated, pool = part(scene, "cook-as-judge"), part(scene, "pool")
    plan = fos.plan_enrichment(evaluated, pool=pool, embeddings=scene[2], by=by, **ASK)
    assert proposals(scene, plan) == {"cook → judge": [found]}


def test_a_plan_without_pool_says_what_is_needed(scene):
    plan = plan_of(scene, pool=None, embeddings=None)
    assert (plan.needed, plan.ids, plan.proposed) == (3, [], None)
    assert "4 samples fail, 3 pictures are needed\n" in str(plan)
    assert "cook → cook: 2 pictures of 'cook' with another head than the usual one." in str(plan)
    with pytest.raises(ArgumentError, match="Expected a plan with a pool"):
        plan.apply()


def test_a_label_of_the_pool_must_be_the_true_one(scene):
    assert scene[1]["pool-judge"] not in plan_of(scene).ids


@pytest.mark.parametrize(("count", "quotas"), [(1, [1, 0]), (2, [1, 1]), (3, [2, 1]), (100, [2, 1]), (None, [2, 1])])
def test_quotas_hold(scene, count, quotas):
    assert [len(ids) for ids in plan_of(scene, count=count).proposed] == quotas


def test_known_pictures_are_never_proposed(fo, scene, tmp_path):
    """Neither the sample itself, nor its file under another sample, nor a copy of its bytes, nor the training data."""
    dataset, ids, _ = scene
    evaluated = part(scene, "pool", complement=True)
    shutil.copy(dataset[ids["cook-1"]].filepath, tmp_path / "copy.png")
    other = fo.Dataset()
    same_file = fo.Sample(filepath=dataset[ids["cook-2"]].filepath)
    other.add_samples([same_file, fo.Sample(filepath=str(tmp_path / "copy.png"))])
    again = Embeddings(other.values("id"), np.eye(2, dtype=np.float32))
    with pytest.raises(FieldError, match="but all 2 are theirs"):
        plan_of(scene, pool=other, embeddings={"image": again})
    other.delete()
    with pytest.raises(FieldError, match="but all 6 are theirs"):
        plan_of(scene, pool=evaluated)

    train = dataset.select(ids["pool-other-head"])
    plan = plan_of(scene, pool=dataset, known=train)
    assert plan.left_out["known pictures"] == 7
    assert ids["pool-other-head"] not in plan.ids
    assert set(plan.ids).isdisjoint(evaluated.values("id"))
    assert plan.ids[0] == ids["pool-other-head-next"]


def test_of_near_duplicates_in_the_pool_one_is_proposed(scene):
    _, ids, embeddings = scene
    images = embeddings["image"].vectors.copy()
    images[embeddings["image"].ids.index(ids["pool-other-head-next"])] = [10, 0, 10.1, 0]
    changed = embeddings | {"image": Embeddings(embeddings["image"].ids, images)}
    found = proposals(scene, plan_of(scene, embeddings=changed))["cook → cook"]
    assert found[0] == "pool-other-head"
    assert "pool-other-head-next" not in found


def test_samples_without_embedding_are_counted(scene):
    _, ids, embeddings = scene
    kept = embeddings["image"].select(i for i in embeddings["image"].ids if i != ids["pool-other-head"])
    plan = plan_of(scene, embeddings=embeddings | {"image": kept})
    assert plan.left_out["without embedding"] == 1
    assert proposals(scene, plan)["cook → cook"][0] == "pool-other-head-next"


def test_tags_are_written_once_and_undone(scene):
    dataset, ids, _ = scene
    dataset.select(ids["pool-other-head"]).tag_samples("enrich")
    before = state_of(dataset)
    plan = plan_of(scene)
    assert plan.apply("enrich") == 2
    assert plan.apply("enrich") == 0
    assert dataset.count_sample_tags()["enrich"] == 3
    assert set(dataset.match_tags("enrich").values("id")) == set(plan.ids)
    assert plan.untag("enrich") == 2
    assert state_of(dataset)["samples"] == before["samples"], "who had the tag before keeps it"
    assert plan.untag("enrich") == 0


def test_tags_find_samples_that_leave_the_pool_when_tagged(scene):
    pool = part(scene, "pool").match_tags("enrich", bool=False)
    plan = plan_of(scene, pool=pool)
    assert (plan.apply(), plan.apply(), plan.untag()) == (3, 0, 3)


def test_planning_changes_nothing_also_where_it_fails(scene):
    dataset, _, _ = scene
    before = state_of(dataset), dataset.list_brain_runs(), dataset.get_field_schema().keys()
    plan_of(scene)
    with pytest.raises(UnknownNameError):
        plan_of(scene, right=["unifrom"])
    assert (state_of(dataset), dataset.list_brain_runs(), dataset.get_field_schema().keys()) == before


def test_the_plan_is_plain_json(scene):
    plan = plan_of(scene)
    told = json.loads(json.dumps(plan.to_json()))
    assert told["needed"] == 3
    assert [gap["proposed"] for gap in told["gaps"]] == [list(ids) for ids in plan.proposed]


def test_the_view_holds_the_proposals_in_order(scene):
    plan = plan_of(scene)
    assert plan.view().values("id") == plan.ids != []


def test_clusters_split_the_cells(scene):
    dataset, ids, _ = scene
    dataset.set_values("clusters", {ids["cook-1"]: "hats"}, key_field="id")
    plan = plan_of(scene, clusters="clusters", pool=None, embeddings=None)
    assert [gap.name for gap in plan.gaps] == ["cook → cook", "cook → cook [hats]", "cook → judge"]


def test_where_nothing_is_needed_nothing_is_proposed(scene):
    dataset, ids, _ = scene
    good = dataset.select([ids["cook-good"], ids["judge-good"]])
    plan = fos.plan_enrichment(good, pool=part(scene, "pool"), embeddings=scene[2], **ASK)
    assert (plan.gaps, plan.ids, plan.apply()) == ((), [], 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pool": "empty"}, FieldError, "Expected `pool` to hold samples to choose from, but it is empty"),
        ({"pool": 5}, FieldError, "Expected `samples` to be a FiftyOne dataset or view, but got int"),
        ({"embeddings": None}, ArgumentError, "either `model` or `embeddings`, but got neither"),
        ({"model": "resnet18"}, ArgumentError, "either `model` or `embeddings`, but got both"),
        ({"embeddings": "empty"}, ArgumentError, "Expected embeddings of failing samples"),
        ({"by": "rest", "embeddings": "image"}, ArgumentError, "Expected `embeddings` by part, but rest is missing"),
        ({"by": "heads"}, UnknownNameError, "Expected a known value for `by`, but got 'heads'"),
        ({"right": "uniform"}, ArgumentError, "Expected `right` to list at least one region, but got 'uniform'"),
        ({"right": []}, ArgumentError, "Expected `right` to list at least one region"),
        ({"right": ["unifrom"]}, UnknownNameError, "Did you mean `uniform`"),
        ({"count": 0}, ArgumentError, "`count` to be an integer of at least 1"),
        ({"closest": -1}, ArgumentError, "`closest` to be a number from 0 to 2"),
        ({"clusters": "boxes"}, FieldError, "`clusters` to name a Classification field"),
        ({"gt_field": "truth"}, UnknownNameError, "Did you mean `ground_truth`"),
    ],
)
def test_bad_arguments_are_refused(scene, arguments, error, message):
    dataset, _, embeddings = scene
    if arguments.get("pool") == "empty":
        arguments = {"pool": dataset.match_tags("nothing")}
    if arguments.get("embeddings") == "empty":
        arguments = {"embeddings": {"image": embeddings["image"].select([])}}
    if arguments.get("embeddings") == "image":
        arguments = arguments | {"embeddings": {"image": embeddings["image"]}}
    with pytest.raises(error, match=message):
        plan_of(scene, **arguments)


def grid_of(filepath):
    """The features of the colour network's layer, by the network alone."""
    net = ColourNet()
    with torch.no_grad():
        return net.relu(net.conv(CROP(Image.open(filepath))[None]))[0].numpy()


def test_an_embedding_is_the_mean_of_the_layers_features(colours, model):
    found = fos.embed(colours, model)
    assert found.ids == colours.values("id")
    expected = [grid_of(path).mean(axis=(1, 2)) for path in colours.values("filepath")]
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-5)


def test_a_salient_embedding_is_their_mean_under_the_map(fo, colours, model):
    """Maps lie in the frame of 64 × 48 pixels, of which the network sees the middle 48 as a grid of 12 × 12."""
    values = np.zeros((48, 64), np.float32)
    values[8:12, 8 + 12 : 8 + 16] = 5  # one cell: row 2, column 3
    values[40:44, 0:4] = 7  # beside what the network sees
    values[20:24, 30:34] = -9  # evidence against
    first, second = colours.limit(2)
    first["saliency"] = fo.Heatmap(map=values)
    second["saliency"] = fo.Heatmap(map=np.minimum(values, 0))
    first.save()
    second.save()
    found = fos.embed(colours, model, "salient")
    assert found.ids == [first.id], "without evidence there is no salient region"
    # Where a map shrinks by four, the filter hands an eighth of a cell to each of its neighbours.
    weights = np.zeros((12, 12))
    weights[1:4, 2:5] = np.outer([1 / 8, 3 / 4, 1 / 8], [1 / 8, 3 / 4, 1 / 8])
    features = grid_of(first.filepath)
    np.testing.assert_allclose(found.vectors[0], (features * weights).sum(axis=(1, 2)), rtol=1e-5)
    rest = fos.embed(colours, model, "rest")
    assert rest.ids == [first.id]
    left = 1 - weights / weights.max()
    np.testing.assert_allclose(rest.vectors[0], (features * left).sum(axis=(1, 2)) / left.sum(), rtol=1e-5)


def test_a_picture_that_cannot_be_read_has_no_embedding(colours, model, tmp_path, caplog):
    sample = colours.first()
    sample.filepath = str(tmp_path / "gone.png")
    sample.save()
    with caplog.at_level(logging.WARNING):
        found = fos.embed(colours, model, batch_size=5)
    assert found.ids == colours.skip(1).values("id")
    assert "1 samples have no embedding" in caplog.text
    assert "the image file is missing" in caplog.text


def test_embed_leaves_model_and_dataset_as_they_were(colours, model):
    before, mode = state_of(colours), model.module.training
    fos.embed(colours, model)
    assert state_of(colours) == before
    assert model.module.training == mode
    assert not any(m._forward_hooks for m in model.module.modules())


def test_embed_refuses_what_it_cannot_do(colours, model):
    with pytest.raises(UnknownNameError, match="for `field`, but got 'saliency'"):
        fos.embed(colours, model, "salient")
    with pytest.raises(UnknownNameError, match="known value for `part`, but got 'head'"):
        fos.embed(colours, model, "head")
    black_box = fos.load_model(lambda images: images.mean(dim=(2, 3)), CLASSES, CROP)
    with pytest.raises(ModelError):
        fos.embed(colours, black_box)


@pytest.mark.parametrize("by", ["image", "salient"])
def test_a_plan_by_a_model_from_end_to_end(fo, dataset, pictures, model, by):
    """Blue pictures that are called red: in the pool, the other blue ones look like them."""
    seen = [CLASSES[i % 3] for i in range(12)]
    predicted = ["red" if i == 2 else colour for i, colour in enumerate(seen)]
    add_pictures(dataset, pictures, [*seen[:6], *[None] * 6], [*predicted[:6], *[None] * 6])
    fos.compute_saliency(dataset, model, target="blue", progress=False)
    whole = fo.Detection(label="anywhere", bounding_box=[0, 0, 1, 1])
    dataset.set_values("boxes", [fo.Detections(detections=[whole.copy()]) for _ in range(12)])
    pool = dataset.skip(6)
    plan = fos.plan_enrichment(dataset.limit(6), regions="boxes", right=["anywhere"], pool=pool, model=model, by=by)
    assert [gap.name for gap in plan.gaps] == ["blue → red"]
    chosen = [seen[dataset.values("id").index(i)] for i in plan.ids]
    assert chosen == ["blue"]
