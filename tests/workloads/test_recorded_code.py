"""The copy of a recorded script that workers import: without its work, and what is then missing there."""

from __future__ import annotations

from pathlib import Path

from lbench.workloads.recorded.code import own_files, unset_names, without_work

SCRIPT = b"""
import multiprocessing; N = 2; pool = multiprocessing.Pool(N); print(pool)
DATA = None
TABLE = {}
CACHE = None
LIMIT = 1
def load():
    global DATA, EXTRA
    DATA = EXTRA = [1]
def begin(x):
    global TABLE
    TABLE = x
def cached():
    global CACHE
    CACHE = CACHE or 1
    return CACHE
def f(x): return DATA, EXTRA, cached(), LIMIT, Point
def g(x): return TABLE, N
if __name__ == "__main__":
    LIMIT = 5
    load()
Point = tuple
pool.map(f, [1])
after = 3
def late(): pass
print("end"); more = after
"""


def test_the_copy_ends_where_the_script_hands_something_over_and_starts_no_processes() -> None:
    copy = without_work(SCRIPT, [23], [2])
    lines = SCRIPT.splitlines()
    lines[1] = b"import multiprocessing; N = 2; pass; pass"
    lines[22] = b""
    lines[25] = b"pass; pass"
    assert copy.splitlines() == lines
    compile(copy, "mine.py", "exec")
    alone = b"pool = Pool(2)\nvalue = int('1')\nprint(pool)\npool.map(f,\r\n [1])\nlast = 1\n"
    assert without_work(alone, [4], [1]) == b"\nvalue = int('1')\n\n\n\nlast = 1\n"


def test_a_constant_that_is_set_anew_after_calls_keeps_its_first_value_and_is_named() -> None:
    script = b"N = 5\ndef f(x): return x + N\npool.map(f, [1])\nN = 6\nM = 1\nM = 2\n"
    copy = without_work(script, [3])
    assert copy == b"N = 5\ndef f(x): return x + N\n\n\nM = 1\n\n"
    _, changed = unset_names(script, copy, ["f"])
    assert [text.partition(" when it")[0] for text in changed] == [
        "f (line 2) reads N, which the script sets anew at line 4"
    ]


def test_what_calls_read_and_only_the_running_script_sets_is_named() -> None:
    missing, changed = unset_names(SCRIPT, without_work(SCRIPT, [22], [2]), ["f", "g", "begin"])
    assert [text.partition(" only when")[0] for text in missing] == [
        "f (line 17) needs EXTRA, which the script sets at line 8",
        "f (line 17) needs Point, which the script sets at line 22",
    ]
    assert [text.partition(" when it")[0] for text in changed] == [
        "f (line 17) reads DATA, which the script sets anew at line 8",
        "f (line 17) reads LIMIT, which the script sets anew at line 20",
    ]


def test_what_calls_read_and_the_running_script_changes_in_place_is_named() -> None:
    script = b"""
import config
OPTIONS = {"k": 1}
NAMES, SEEN, OWN, UNREAD = [], set(), {}, []
def main():
    NAMES.append("a")
    SEEN = set()
    SEEN.add(1)
def f(x): return OPTIONS, NAMES, SEEN, own(x), config.DEBUG
def own(x): OWN[x] = 1; return OWN
if __name__ == "__main__":
    OPTIONS["k"] = 5
    UNREAD.append(1)
    config.DEBUG = True
    main()
"""
    _, changed = unset_names(script, script, ["f"])
    assert [text.partition(" when it")[0] for text in changed] == [
        "f (line 9) reads NAMES, which the script changes at line 6",
        "f (line 9) reads OPTIONS, which the script changes at line 12",
        "f (line 9) reads config, which the script changes at line 14",
    ]


def test_modules_that_only_functions_import_are_copied_with_what_those_import(tmp_path: Path) -> None:
    texts = {
        "mine.py": "import helper, json\ndef f(x):\n    from pkg.deep import part\n    import numpy, nowhere, random\n",
        "helper.py": "def g(): import lazy\n",
        "lazy.py": "V = 1\n",
        "unused.py": "",
        "random.py": "",
        "pkg/__init__.py": "P = 1\n",
        "pkg/deep/__init__.py": "",
        "pkg/deep/part.py": "from ..near import x\n",
        "pkg/near.py": "x = 1\n",
        "pkg/far.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "link.py").symlink_to(tmp_path / "mine.py")
    files = own_files(str(tmp_path / "bin" / "link.py"), "link", [], {"helper": str(tmp_path / "helper.py")})
    left_out = {"mine.py", "unused.py", "random.py", "pkg/far.py"}
    assert {name: files[name].decode() for name in files if name != "link.py"} == {
        name: text for name, text in texts.items() if name not in left_out
    }
