"""The file itself: what it holds, what a kill leaves, and what is no such file. How replies use it is in
test_generation.py."""

import pytest
from small_models import one_sentence

from paperlib.scoring.kept_replies import KeptReplies
from paperlib.study.disk import DiskError
from paperlib.study.results import ResultError

SETTINGS = {"n": 3, "stop": ["ö\n"]}
ONE, TWO = ("a", {"text": "Grüße\u2028 \n", "tokens": [1]}), ("b", {"text": "", "tokens": []})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "replies.jsonl"


def test_what_was_added_is_found_again(path):
    file = KeptReplies(path, SETTINGS)
    assert file.found == {}
    file.append([ONE])
    file.append([TWO])
    assert file.found == dict([ONE, TWO]) == KeptReplies(str(path), SETTINGS).found
    assert len(path.read_bytes().split(b"\n")) == 4  # settings, two replies, and nothing after the last end of line


def test_every_torn_end_is_dropped_and_what_follows_is_whole(path):
    KeptReplies(path, SETTINGS).append([ONE, TWO])
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(ends[0], len(whole)):
        path.write_bytes(whole[:size])
        file = KeptReplies(path, SETTINGS)
        assert len(file.found) == sum(end <= size for end in ends) - 1
        file.append([TWO])
        assert KeptReplies(path, SETTINGS).found == file.found


def test_an_empty_file_is_begun(path):
    path.parent.mkdir()
    path.touch()
    KeptReplies(path, SETTINGS).append([ONE])
    assert KeptReplies(path, SETTINGS).found == dict([ONE])


def test_other_settings_and_other_files_are_refused_and_left_alone(path):
    KeptReplies(path, SETTINGS).append([ONE])
    for other in ({"n": 4, "stop": ["ö\n"]}, {"n": 3}, SETTINGS | {"more": 1}):
        with pytest.raises(ValueError, match="another setting of") as error:
            KeptReplies(path, other)
        one_sentence(error.value)
    for content in (b"x", b"x\n", b"{}\n", b"[1]\n", b'{"settings": 3}\n', b"\xff\xfe\n", b"\n"):
        path.write_bytes(content)
        with pytest.raises(ResultError, match="is no file of replies") as error:
            KeptReplies(path, SETTINGS)
        one_sentence(error.value)
        assert path.read_bytes() == content


def test_a_folder_in_its_place_is_told(path):
    path.mkdir(parents=True)
    with pytest.raises(ResultError, match="replies.jsonl cannot be read") as error:
        KeptReplies(path, SETTINGS)
    one_sentence(error.value)


def test_a_damaged_line_is_named(path):
    KeptReplies(path, SETTINGS).append([ONE, TWO])
    lines = path.read_bytes().splitlines(keepends=True)
    for bad in (b"{\n", b"\n", b'{"asked": "a"}\n', b"3\n"):
        path.write_bytes(b"".join([lines[0], lines[1], bad, lines[2]]))
        with pytest.raises(ResultError, match="Line 3 of replies.jsonl") as error:
            KeptReplies(path, SETTINGS)
        one_sentence(error.value)


def test_a_full_disk_is_told(path, limited):
    file = KeptReplies(path, SETTINGS)
    with limited(path.stat().st_size + 10), pytest.raises((DiskError, OSError)):
        file.append([("a", {"text": "x" * 99999})])
    assert file.found == {} and KeptReplies(path, SETTINGS).found == {}
