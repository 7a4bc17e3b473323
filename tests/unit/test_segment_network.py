"""The segmentation network: its grid, its inputs, its training, and what it finds in people it has not seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_people import AFFINE, SHAPE, atlas_folder, person

from liverstiff import images
from liverstiff.config import NetworkConfig, SegmentConfig
from liverstiff.errors import DataError
from liverstiff.intensity import standardise
from liverstiff.segment import Sources, segment_voxels
from liverstiff.segment.fusion import dice
from liverstiff.segment.network import WorkingGrid, build, inputs, load_network
from liverstiff.segment.training import augmentation, draw, learn, rate, read_samples, train_network

SETTINGS = SegmentConfig(
    methods=("network",),
    least_quality=0.0,  # so few steps leave a network unsure
    atlases="atlases",
    network=NetworkConfig(steps=150, spacing_mm=(8.0, 8.0, 8.0), patch=(40, 32, 24), channels=(16, 32, 64)),
)


def with_steps(steps: int) -> SegmentConfig:
    return SETTINGS.model_copy(update={"network": SETTINGS.network.model_copy(update={"steps": steps})})


@pytest.fixture(scope="module")
def atlases(tmp_path_factory) -> Path:
    return atlas_folder(tmp_path_factory.mktemp("atlases"), (1, 2, 3, 4))


@pytest.fixture(scope="module")
def network(atlases, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("network") / "network"
    train_network(atlases=atlases, network=folder, settings=SETTINGS)
    return folder


def test_person_unseen_in_training_is_segmented(network):
    image, label = person(11, up=18)
    found = segment_voxels(standardise(image.astype(np.float32), AFFINE)[0], AFFINE, Sources(network=network), SETTINGS)
    assert dice(found.mask == 1, label == 1) > 0.85
    assert found.method == "network"
    assert 0.3 < found.quality < 1


def test_all_labels_of_the_volumes_are_learned(atlases, tmp_path):
    for path in atlases.glob("*.nii.gz"):
        voxels, affine = images.load(path)
        if "label" in path.name:
            voxels[:4, :4, :4] = 7
        images.save(tmp_path / path.name, voxels, affine)
    samples, labels = read_samples(tmp_path, SETTINGS)
    assert labels == (0, 1, 2, 7)
    assert samples[0]["label"].unique().tolist() == [0, 1, 2, 3]


def test_the_same_seed_gives_the_same_bytes_and_an_interrupted_training_goes_on(atlases, tmp_path, monkeypatch):
    whole, resumed, other = (tmp_path / name for name in ("whole", "resumed", "other"))
    train_network(atlases=atlases, network=whole, settings=with_steps(4))
    checkpoint = tmp_path / "checkpoint"
    monkeypatch.setattr("liverstiff.segment.training.KEEP_EVERY", 2)
    seen = []

    def stop_at_the_third(samples, change, seed, step):
        seen.append(step)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return draw(samples, change, seed, step)

    monkeypatch.setattr("liverstiff.segment.training.draw", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        train_network(atlases=atlases, network=resumed, settings=with_steps(4), checkpoint=checkpoint)
    train_network(atlases=atlases, network=resumed, settings=with_steps(4), checkpoint=checkpoint)
    assert seen == [0, 1, 2, 3, 2, 3]
    assert not checkpoint.exists()
    for name in ("model.safetensors", "model.json"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()
    train_network(atlases=atlases, network=other, settings=with_steps(4).model_copy(update={"seed": 2}))
    assert (whole / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_a_folder_without_network_is_refused(tmp_path):
    with pytest.raises(DataError, match="train it with the rule segment_train"):
        load_network(tmp_path)


def test_grid_keeps_positions_both_ways():
    x, y, z = np.moveaxis(images.grid(AFFINE, SHAPE), -1, 0)
    grid = WorkingGrid.over(SHAPE, AFFINE, (8.0, 9.0, 5.0))
    for axis in (x, y, z):
        back = grid.up(grid.down(axis))
        np.testing.assert_allclose(back[3:-3, 3:-3, 3:-3], axis[3:-3, 3:-3, 3:-3], atol=0.5)
    first = grid.down(x)[0, 0, 0], grid.down(z)[0, 0, 0]
    corner = AFFINE[:3, :3] @ grid.first + AFFINE[:3, 3]
    np.testing.assert_allclose(first, (corner[0], corner[2]), atol=1.5)


def test_inputs_do_not_depend_on_the_scale_nor_on_the_field_of_view():
    image = torch.rand(1, 1, 16, 16, 8) * 0.1
    image[..., 4:12, 4:12, :] += 5
    one = inputs(image)
    assert one.shape == (1, 3, 16, 16, 8)
    torch.testing.assert_close(inputs(7 * image), one, rtol=1e-3, atol=1e-3)
    wide = inputs(torch.nn.functional.pad(image, (0, 0, 8, 0, 0, 8)))
    torch.testing.assert_close(wide[:, 1:, :16, 8:], one[:, 1:], rtol=1e-3, atol=1e-3)
    assert one[0, 1, 12, 8, 4] > 0 > one[0, 1, 4, 8, 4]


def test_augmentation_moves_image_and_label_together():
    image, label = person(1)
    sample = {"image": torch.from_numpy(image).float()[None], "label": torch.from_numpy(label).float()[None]}
    changed = draw([sample], augmentation((40, 32, 24)), 1, 0)
    assert changed[0].shape == changed[1].shape == (2, 1, 40, 32, 24)
    assert set(changed[1].unique().tolist()) <= {0, 1, 2}
    other = draw([sample], augmentation((40, 32, 24)), 1, 1)
    assert not torch.equal(changed[0], other[0])
    body = changed[0][0, 0] > changed[0][0, 0].mean()
    assert body[changed[1][0, 0] == 1].float().mean() > 0.8


def test_learning_lowers_the_loss(atlases, capsys):
    samples, labels = read_samples(atlases, SETTINGS)
    torch.manual_seed(1)
    learn(build((8, 16), len(labels)), samples, with_steps(100).network, 1)
    losses = [float(line.rsplit(" ", 1)[1]) for line in capsys.readouterr().out.splitlines()]
    assert losses[-1] < 0.9 * losses[0]


def test_rate_rises_then_falls():
    assert rate(0) < 0.05
    assert rate(0.1) == pytest.approx(1)
    assert rate(0.55) == pytest.approx(0.5)
    assert rate(1) == pytest.approx(0)
