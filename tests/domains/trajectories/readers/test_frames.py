"""Text annotations: what is kept, what is counted, and what is refused by name."""

import numpy as np
import pytest

from flowsci.domains.trajectories.readers.frames import read_frames, read_sdd
from flowsci.domains.trajectories.settings import FrameTracks, SddTracks
from flowsci.errors import FlowsciError

SETTINGS = FrameTracks(unit="m")
USABLE = {
    "frame or id missing": 0,
    "position missing": 0,
    "frame between steps": 0,
    "frame and id duplicated": 0,
}


def write(tmp_path, lines, name="walk.txt"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def walk(name=1, frames=range(0, 50, 10), x=0.0):
    return [f"{frame}\t{name}.0\t{x + frame / 10}\t{-frame / 20}" for frame in frames]


def test_lines_become_tracks_on_ticks(tmp_path):
    lines = walk(1) + walk(2, range(780, 820, 10))
    tracks = read_frames([write(tmp_path, lines)], SETTINGS)
    assert tracks.axes == ("x", "y")
    assert (tracks.length_unit, tracks.clock_seconds) == ("m", 0.4)
    assert tracks.recordings == ("walk",)
    assert tracks.tracks["name"].tolist() == ["1", "2"]
    first = tracks.points[tracks.points["track"] == 0]
    assert first["tick"].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(first[["x", "y"]], np.arange(5)[:, None] * [1.0, -0.5])
    assert tracks.points["tick"].tolist()[5:] == [78, 79, 80, 81]
    assert tracks.counts["rows"] == {"read": 9, "kept": 9, "dropped": USABLE}


def test_everything_that_is_not_kept_is_counted(tmp_path):
    lines = walk(1, range(0, 60, 10))
    lines[2], lines[3] = lines[3], lines[2]
    lines += [lines[0], "33\t1\t0\t0", "50\t7\tnan\t1", "nan\t7\t0\t0"]
    tracks = read_frames([write(tmp_path, lines)], SETTINGS)
    rows = tracks.counts["rows"]
    assert rows["dropped"] == dict.fromkeys(USABLE, 1)
    assert rows["read"] == rows["kept"] + 4 == 10
    assert tracks.counts["rows out of order, which were sorted"] >= 1
    assert tracks.points["tick"].tolist() == list(range(6))


def test_an_id_that_is_used_again_after_a_gap_is_another_agent(tmp_path):
    lines = walk(1) + walk(1, range(400, 450, 10)) + walk(2, [0, 10, 40, 50])
    tracks = read_frames([write(tmp_path, lines)], SETTINGS)
    assert tracks.tracks["name"].tolist() == ["1", "1", "2"]
    assert tracks.counts["ids used again after a gap"] == 1


def test_ids_of_two_recordings_are_two_agents(tmp_path):
    files = [write(tmp_path, walk(1), name) for name in ("a.txt", "b.txt")]
    tracks = read_frames(files, SETTINGS)
    assert tracks.tracks["recording"].tolist() == [0, 1]
    assert tracks.recordings == ("a", "b")


def test_recordings_of_one_file_name_are_told_apart_by_their_folders(tmp_path):
    files = []
    for place in ("gates/video0", "gates/video1"):
        (tmp_path / place).mkdir(parents=True)
        files.append(write(tmp_path / place, walk(1), "annotations.txt"))
    tracks = read_frames(files, SETTINGS)
    assert tracks.recordings == ("video0/annotations", "video1/annotations")
    other = write(tmp_path / "gates/video0", walk(1), "annotations.csv")
    with pytest.raises(FlowsciError, match=r"several files are called annotations; rename"):
        read_frames([files[0], other], SETTINGS)


def test_ids_keep_all_their_digits(tmp_path):
    lines = [f"{frame} {name} 0 {frame}" for name in (1000001, 1000002) for frame in (0, 10)]
    tracks = read_frames([write(tmp_path, lines)], SETTINGS)
    assert tracks.tracks["name"].tolist() == ["1000001", "1000002"]


def test_a_byte_order_mark_is_no_part_of_a_number(tmp_path):
    path = write(tmp_path, walk(1))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_frames([path], SETTINGS).points) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("10 1 0", r"walk\.txt, line 2: expected 4 columns, found 3"),
        ("10 1 0 north", r"'north' in the column y is no number"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    with pytest.raises(FlowsciError, match=message):
        read_frames([write(tmp_path, ["0 1 0 0", line])], SETTINGS)


def test_files_without_a_usable_row_are_named(tmp_path):
    with pytest.raises(FlowsciError, match=r"none of 5 rows is left \(5 frame between steps\)"):
        read_frames([write(tmp_path, walk(1, range(3, 53, 10)))], SETTINGS)
    with pytest.raises(FlowsciError, match="the file holds no line"):
        read_frames([write(tmp_path, [])], SETTINGS)


def box(track, frame, lost=0, label="Pedestrian", x=100):
    return f'{track} {x} 200 {x + 20} 240 {frame} {lost} 0 0 "{label}"'


def test_a_file_whose_rows_are_all_dropped_is_named(tmp_path):
    files = [write(tmp_path, walk(1), "a.txt")]
    files.append(write(tmp_path, walk(1, range(5, 55, 10)), "b.txt"))
    tracks = read_frames(files, SETTINGS)
    assert tracks.lost == {"b": {"frame between steps": 5}}
    assert tracks.counts["rows"]["kept"] == 5
    boxes = [write(tmp_path, [box(0, 0), box(0, 12)], "c.txt")]
    boxes.append(write(tmp_path, [box(0, 0, label="Biker"), box(1, 0, lost=1)], "d.txt"))
    lost = read_sdd(boxes, SddTracks()).lost
    assert lost == {"d": {"outside of the view": 1, "label not wanted": 1}}


def test_boxes_of_sdd_become_their_centres(tmp_path):
    lines = [box(0, frame, x=100 + frame) for frame in range(37)]
    lines += [box(1, 0, lost=1), box(1, 12, label="Biker")]
    tracks = read_sdd([write(tmp_path, lines, "annotations.txt")], SddTracks())
    assert tracks.length_unit == "pixel"
    assert tracks.points["tick"].tolist() == [0, 1, 2, 3]
    assert tracks.points["x"].tolist() == [110, 122, 134, 146]
    assert tracks.points["y"].tolist() == [220] * 4
    dropped = tracks.counts["rows"]["dropped"]
    assert (dropped["outside of the view"], dropped["label not wanted"]) == (1, 1)
    assert dropped["frame between steps"] == 33
    assert tracks.tracks["label"].tolist() == ["Pedestrian"]
