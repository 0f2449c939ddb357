"""The cost panel: what the runs cost so far, and what that means for a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.strip import Strip

from lbench.engine.cost.format import ASSUMED, usd_short
from lbench.tui.bench.board import EMPTY, Board
from lbench.tui.draw.ink import Piece, heading, line, sentence_lines, width_of
from lbench.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from lbench.analysis.decision import Decision

__all__ = ["Cost"]

_HOUR = " an hour, equal machine"


class Cost(Lines):
    """The cost so far with its upper bound, then the decision."""

    def __init__(self) -> None:
        super().__init__(id="cost")
        self._board = EMPTY
        self._predicted: tuple[str, ...] = ()

    def show(self, board: Board, predicted: tuple[str, ...] = ()) -> None:
        """`predicted`: the prediction for AWS, then shorter forms of it; it takes the place of the note."""
        self._board, self._predicted = board, predicted
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading, the amounts, the decision; what finds no room is left out from the end."""
        palette = self.palette
        strips = [line(palette, heading([("cost", "quiet!")], self._bound(), width), width)]
        texts = [*self._so_far(width - 3), *self._decision(width - 3)]
        notes, room = self._notes(width - 3), height - 1
        if len(texts) + len(notes[0]) > room:  # the break-even says as much
            texts = [pieces for pieces in texts if pieces[-1][0] != _HOUR]
        texts += self._note(notes, room - len(texts))
        if self._board.assumed or self._board.bound_assumed:
            texts.append([(f"{ASSUMED} at the dearest known price of a region", "quiet")])
        items = self._items(width - 3)
        if len(texts) + len(items) <= room:
            texts += items
        if len(texts) < room and (region := self._region()):
            texts.append([(region, "quiet")])
        strips += [line(palette, [("  ", "text"), *pieces], width) for pieces in texts[: height - 1]]
        return strips

    def _bound(self) -> list[Piece]:
        budget, bound = self._board.budget_usd, self._board.bound_usd
        if budget is not None and (bound is None or budget < bound):
            return [(f"stops before {usd_short(budget)}", "quiet")]
        if bound is None:
            return []
        each = self._board.bound_run_usd
        amount = usd_short(bound if each is None else each, up=True, assumed=self._board.bound_assumed)
        return [(f"at most {amount}" + ("" if each is None else " a run"), "quiet")]

    def _so_far(self, width: int) -> list[list[Piece]]:
        board = self._board
        if board.usd is None:
            return [[("$0", "bright!"), (" on this machine's own cores", "quiet")]]
        origin = next((row.summary.origin for row in board.rows if row.summary.region is not None), "measured")
        plain = origin == "measured" or board.expected_usd is not None  # line 2 names what is emulated, too
        what = " so far" if plain else f" so far, {origin}"
        marked = bool(board.assumed)
        pieces: list[Piece] = [(usd_short(board.usd, assumed=marked), "bright!"), (what, "quiet")]
        if board.expected_usd is None:
            return [pieces]
        expected = f"expected {usd_short(board.expected_usd, assumed=marked)}"
        beside: list[Piece] = [*pieces, (f" · {expected}", "text")]
        return [beside] if width_of(beside) <= width else [pieces, [(expected, "text")]]

    def _decision(self, width: int) -> list[list[Piece]]:
        decision, lines = self._board.decision, []
        if decision is not None:
            each, many = usd_short(decision.run_usd), usd_short(decision.thousand_usd)
            run: list[Piece] = [(each, "bright"), (" a run", "quiet")]
            thousand: list[Piece] = [(many, "bright"), (" for 1,000 runs", "quiet")]
            if width_of([*run, *thousand]) + 3 <= width:
                lines.append([*run, (" · ", "quiet"), *thousand])
            else:
                lines += [run, thousand]
            if decision.machine_usd_per_hour is not None:
                hourly = usd_short(decision.machine_usd_per_hour)
                lines.append([(hourly, "bright"), (_HOUR, "quiet")])
                if (even := _break_even(decision, width)) is not None:
                    lines.append([(even, "quiet")])
        rent = next((one.summary.rent_usd for one in self._board.rows if one.summary.rent_usd is not None), None)
        if decision is None and rent is not None:
            lines.append([(usd_short(rent), "text"), (" a run, equal machine", "quiet")])
        return lines

    def _notes(self, width: int) -> list[list[str]]:
        """The prediction for AWS, else what this machine cannot show: wrapped, the longest form first."""
        note = self._board.note or ""
        short = note.partition(";")[0]
        forms = self._predicted or (note, short, short.replace(" this machine's", "").removesuffix(" here"))
        return [sentence_lines(form, width) for form in forms]

    def _note(self, notes: list[list[str]], room: int) -> list[list[Piece]]:
        """The first form that fits into the room; of the last one as much as fits, with an ellipsis."""
        role = "predicted" if self._predicted else "text"
        lines = next((form for form in notes if len(form) <= room), None)
        if lines is None:
            lines = notes[-1][: max(0, room)]
            lines = [*lines[:-1], f"{lines[-1]} …"] if lines else []
        return [[(part, role)] for part in lines]

    def _items(self, width: int) -> list[list[Piece]]:
        others = {text.partition(":")[0] for text in self._board.assumed}
        items = self._board.items.items()
        parts = [f"{name} {usd_short(usd, assumed=name in others)}" for name, usd in items]
        return [[(text, "quiet")] for text in _packed(parts, width)]

    def _region(self) -> str:
        charged = next((row.summary for row in self._board.rows if row.summary.region is not None), None)
        if charged is None:
            return ""
        return f"{charged.region} · {charged.architecture} · prices {(charged.price_date or '')[:7]}"


def _break_even(decision: Decision, width: int) -> str | None:
    """From how many runs on renting the machine is cheaper, in two digits: a run's dollars are no surer; None: not known."""
    if decision.break_even_runs is None:
        return None
    if not decision.can_do:
        return "renting never wins: it is too slow"
    if decision.break_even_runs == 1:
        return "renting wins from 1 run an hour"
    about = f"{float(f'{decision.break_even_runs:.2g}'):,.0f}"
    forms = (f"renting wins from about {about} runs an hour", f"renting wins from {about} runs/hour")
    return next((form for form in forms if len(form) <= width), f"rent from {about} runs/hour")


def _packed(parts: list[str], width: int) -> list[str]:
    """Join the parts with dots, in as few lines as possible."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines
