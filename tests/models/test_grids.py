from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.grids import Grid, find_grid, grid_or_none


@pytest.mark.parametrize(
    ("shape", "aspect", "grid"),
    [
        ((2, 512, 7, 7), 1, Grid("NCHW", 7, 7)),
        ((2, 512, 6, 8), 0.75, Grid("NCHW", 6, 8)),
        ((2, 8, 8, 8), 1, Grid("NCHW", 8, 8)),
        ((2, 7, 7, 768), 1, Grid("NHWC", 7, 7)),
        ((2, 6, 8, 768), 0.75, Grid("NHWC", 6, 8)),
        ((2, 196, 64), 1, Grid("NTC", 14, 14)),
        ((2, 197, 64), 1, Grid("NTC", 14, 14, 1)),
        ((2, 198, 64), 1, Grid("NTC", 14, 14, 2)),
        ((2, 201, 64), 1, Grid("NTC", 14, 14, 5)),
        ((2, 1370, 64), 1, Grid("NTC", 37, 37, 1)),
        # a class token and three registers: not 4 x 5
        ((2, 20, 64), 1, Grid("NTC", 4, 4, 4)),
        ((2, 49, 64), 0.75, Grid("NTC", 6, 8, 1)),
        # 100 x 130 pixels cut into patches of 14: 7 x 9, the rest falls away
        ((2, 63, 64), 100 / 130, Grid("NTC", 7, 9)),
        ((2, 24, 64), 2 / 3, Grid("NTC", 4, 6)),
        ((2, 25, 64), 3 / 2, Grid("NTC", 6, 4, 1)),
    ],
)
def test_the_grid_of_an_output_is_found_by_its_shape(shape, aspect, grid):
    assert grid_or_none(shape, aspect) == grid


# Behind more tokens than that a larger square would fit too.
@pytest.mark.parametrize(("side", "prefix"), [(s, p) for s in range(2, 20) for p in (0, 1, 2, 5, 9) if p < 2 * s - 1])
def test_square_grids_are_found_behind_any_usual_prefix(side, prefix):
    assert grid_or_none((1, side * side + prefix, 8), 1) == Grid("NTC", side, side, prefix)


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("patch", [8, 14, 16])
@pytest.mark.parametrize("size", [(224, 320), (480, 640), (333, 500)])
def test_oblong_grids_are_found_behind_a_class_token_and_registers(size, patch, prefix):
    height, width = (side // patch for side in size)
    found = grid_or_none((1, height * width + prefix, 8), size[0] / size[1])
    assert found == Grid("NTC", height, width, prefix)


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 8), (2, 0, 8), (2, 3, 4, 4, 4), (2,), ()])
def test_other_shapes_are_no_grid(shape):
    assert grid_or_none(shape, 1) is None


@pytest.mark.parametrize(
    ("grid", "output"),
    [
        (Grid("NCHW", 4, 6), lambda maps: maps),
        (Grid("NHWC", 4, 6), lambda maps: maps.permute(0, 2, 3, 1)),
        (Grid("NTC", 4, 6), lambda maps: maps.flatten(2).transpose(1, 2)),
        (Grid("NTC", 4, 6, 2), lambda maps: torch.cat([torch.ones(2, 2, 5), maps.flatten(2).transpose(1, 2)], 1)),
    ],
)
def test_a_grid_reads_its_output_and_can_be_written_to(grid, output):
    maps = torch.arange(240.0).view(2, 5, 4, 6)
    tokens = output(maps).contiguous()
    assert_close(grid(tokens), maps)
    grid(tokens)[0, 3, 1, 2] = -1
    assert (tokens == -1).sum() == 1
    assert grid(tokens)[0, 3, 1, 2] == -1


@pytest.mark.parametrize("output", [torch.zeros(2, 3), torch.zeros(8, 49, 16)])
def test_an_output_that_is_no_grid_or_of_another_batch_is_refused_with_its_shape(output):
    with pytest.raises(ModelError, match=rf"'blocks.3' to return .* N=2, but its output is \({len(output)}, .*Pass"):
        find_grid(output, torch.zeros(2, 3, 32, 32), "blocks.3")
