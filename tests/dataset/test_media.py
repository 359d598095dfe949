"""Collections that are no images: the error's advice, followed to the letter, gives one that is taken."""

from __future__ import annotations

import re

import pytest

from fiftyone_saliency.core.errors import FieldError
from fiftyone_saliency.dataset.fields import all_images, dataset_of, require_samples

CODE = re.compile(r"(?:with|or) ((?:samples|fiftyone\.load_dataset)[^ ]*\)(?:\.[a-z_]+\([^)]*\)+)*)")


def follow(fo, samples):
    """Do what the error says until the collection is taken, and return it with the number of steps."""
    import fiftyone

    for step in range(4):
        try:
            require_samples(samples)
        except FieldError as error:
            code = CODE.findall(str(error))
            # Of two, the last needs no program that reads videos.
            samples = eval(code[-1], {"fiftyone": fiftyone, "samples": samples})
        else:
            return samples, step
    raise AssertionError("the advice leads nowhere")


@pytest.fixture
def videos(fo, pictures):
    """A video whose frames have images of their own, and labels."""
    dataset = fo.Dataset()
    sample = fo.Sample(filepath="/nowhere/a.mp4", events=fo.TemporalDetections())
    for i in range(3):
        box = fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0, 0, 0.5, 0.5])])
        sample.frames[i + 1] = fo.Frame(filepath=pictures[i], truth=fo.Classification(label="red"), boxes=box)
    sample["events"] = fo.TemporalDetections(detections=[fo.TemporalDetection(label="e", support=[1, 2])])
    dataset.add_sample(sample)
    yield dataset
    dataset.delete()


@pytest.fixture
def images(dataset, pictures, fo):
    for i, picture in enumerate(pictures[:6]):
        box = fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0, 0, 0.5, 0.5])])
        truth = fo.Classification(label="ab"[i % 2])
        dataset.add_sample(fo.Sample(filepath=picture, ground_truth=truth, boxes=box, scene=str(i % 3)))
    return dataset


@pytest.fixture
def grouped(fo, pictures):
    dataset = fo.Dataset()
    dataset.add_group_field("group", default="left")
    for i in range(2):
        group = fo.Group()
        names = {"left": pictures[i], "right": pictures[i + 2], "film": "/nowhere/a.mp4", "cloud": "/nowhere/a.pcd"}
        dataset.add_samples([fo.Sample(filepath=path, group=group.element(name)) for name, path in names.items()])
    yield dataset
    dataset.delete()


def test_videos_and_what_is_made_of_them(fo, videos):
    made = {
        "videos": videos,
        "a view": videos.limit(1),
        "clips": videos.to_clips("events"),
        "frames": videos.to_frames(),
        "frames of clips": videos.to_clips("events").to_frames(),
    }
    expected = {"clips": 2, "frames of clips": 2}
    for name, samples in made.items():
        taken, steps = follow(fo, samples)
        assert steps == 1, name
        assert len(taken) == expected.get(name, 3), name
        assert taken.values("truth.label") == ["red"] * len(taken)
        assert dataset_of(taken) is taken
        taken.delete()


def test_patches_of_frames(fo, videos):
    taken, _ = follow(fo, videos.to_frames().to_patches("boxes"))
    assert len(taken) == 3
    dataset_of(taken).delete()


def test_patches_and_evaluation_patches(fo, images):

    taken, steps = follow(fo, images.limit(2).to_patches("boxes"))
    assert (steps, taken.values("id")) == (1, images.limit(2).values("id"))


@pytest.mark.parametrize("by", ["scene", "ground_truth.label"])
@pytest.mark.parametrize("order_by", [None, "filepath"])
def test_dynamic_groups(fo, images, by, order_by):
    taken, steps = follow(fo, images.group_by(by, order_by=order_by))
    assert steps == 1
    assert sorted(taken.values("id")) == sorted(images.values("id"))
    one = images.group_by(by, order_by=order_by).get_dynamic_group("a" if "." in by else "1")
    assert dataset_of(one) is images


def test_groups(fo, grouped):
    taken, steps = follow(fo, grouped)
    assert (steps, len(taken)) == (1, 4)
    taken, steps = follow(fo, grouped.limit(1))
    assert (steps, len(taken)) == (1, 2)
    assert len(all_images(grouped)) == 4
    mixed = grouped.select_group_slices(["left", "cloud"], _allow_mixed=True)
    taken, steps = follow(fo, mixed)
    assert (steps, set(taken.values("filepath"))) == (1, set(all_images(grouped).values("filepath")))


def test_what_has_no_images_says_so(fo, grouped):
    clouds = grouped.select_group_slices("cloud")
    with pytest.raises(FieldError, match=r"media type 'point-cloud'\. It has no images: load a dataset of images with"):
        dataset_of(clouds)
