"""The scripted sequence: the same interactions on every backend, so that their latencies can be compared."""

from __future__ import annotations

from lbench.tui.explore.scene import Scene

__all__ = ["interleaved", "sequence"]

# A person's steps over the plane: right, left, up, down, closer, further, more and fewer iterations. Then home again.
_PLANE = "rrr+d+d+lll]]uu--[[rdl-"


def sequence(scene: Scene) -> list[Scene]:
    """The scenes in their order; the first and the last are the current scene."""
    steps = [scene]
    if scene.plane:
        for letter in _PLANE:
            steps.append(_moved(steps[-1], letter))
        return [*steps, scene]
    main = scene.main_slider()
    other = scene.sliders[1].name
    for name, by in [(main, 1)] * 3 + [(other, -1)] * 2 + [(main, -1)] * 3 + [(other, 1)] * 2 + [(main, -1), (main, 1)]:
        steps.append(steps[-1].stepped(name, by))
    return [*steps, scene]


def _moved(scene: Scene, letter: str) -> Scene:
    match letter:
        case "r" | "l":
            return scene.panned(1 if letter == "r" else -1, 0)
        case "u" | "d":
            return scene.panned(0, 1 if letter == "u" else -1)
        case "+" | "-":
            return scene.zoomed(1 if letter == "+" else -1)
        case _:
            return scene.stepped("iterations", 1 if letter == "]" else -1)


def interleaved(scenes: list[Scene], labels: list[str]) -> list[tuple[Scene, str]]:
    """Each scene on all backends, in alternating order, so that a drift of the machine affects all alike."""
    return [
        (scene, label)
        for number, scene in enumerate(scenes)
        for label in (labels if number % 2 == 0 else reversed(labels))
    ]
