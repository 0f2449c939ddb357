"""The cost panel: so far, expected, upper bound."""

from __future__ import annotations

from textual.strip import Strip

from lbench.engine.cost.format import ASSUMED, usd_short
from lbench.tui.bench.board import EMPTY, Board
from lbench.tui.draw.ink import Piece, heading, line
from lbench.tui.widgets.lines import Lines

__all__ = ["Cost"]


class Cost(Lines):
    """The cost so far and its upper bound."""

    def __init__(self) -> None:
        super().__init__(id="cost")
        self._board = EMPTY

    def show(self, board: Board) -> None:
        self._board = board
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading, three amounts, their items."""
        board = self._board
        palette = self.palette
        charged = [row for row in board.rows if row.summary.region is not None]
        measure: list[Piece] = []
        if board.bound_usd is not None:
            measure = [(f"at most {usd_short(board.bound_usd, up=True, assumed=board.bound_assumed)}", "quiet")]
        strips = [line(palette, heading([("cost", "quiet!")], measure, width), width)]
        texts: list[list[Piece]] = []
        if board.usd is None:
            texts.append([("$0", "bright!"), (" this machine's own cores", "quiet")])
        else:
            origin = next((row.summary.origin for row in charged), "measured")
            marked = bool(board.assumed)
            sofar = "so far" + ("" if origin == "measured" else f", {origin}")
            amounts = [(usd_short(board.usd, assumed=marked), "bright!", sofar)]
            if board.expected_usd is not None:
                amounts.append((usd_short(board.expected_usd, assumed=marked), "text", "expected for all runs"))
            budget, bound = board.budget_usd, board.bound_usd
            if budget is not None and (bound is None or budget < bound):
                amounts.append((usd_short(budget), "text", "budget: it stops before"))
            elif bound is not None:
                amounts.append((usd_short(bound, up=True, assumed=board.bound_assumed), "text", "can't be passed"))
            else:
                amounts.append(("no bound", "text", ""))
            size = max(9, *(len(amount) for amount, _, _ in amounts))  # what grows by a digit moves nothing
            texts += [[(amount.ljust(size), role), (f" {what}", "quiet")] for amount, role, what in amounts]
            if board.items:
                others = {text.partition(":")[0] for text in board.assumed}
                parts = [
                    f"{name} {usd_short(usd, assumed=name in others).removeprefix('$0')}"
                    for name, usd in board.items.items()
                ]
                texts += [[(text, "quiet")] for text in _packed(parts, width - 3)]
        if charged:
            one = charged[0].summary
            texts.append([(f"{one.region} · {one.architecture} · prices {(one.price_date or '')[:7]}", "quiet")])
        if board.assumed or board.bound_assumed:
            texts.append([(f"{ASSUMED} at the dearest known price of a region", "quiet")])
        rent = next((row.summary for row in board.rows if row.summary.rent_usd is not None), None)
        if rent is not None and rent.rent_usd is not None and len(texts) < height - 1:
            texts.append([(f"{usd_short(rent.rent_usd)} rent of an equal machine", "quiet")])
        strips += [line(palette, [("  ", "text"), *pieces], width) for pieces in texts]
        return strips


def _packed(parts: list[str], width: int) -> list[str]:
    """Join the parts with dots, in as few lines as possible."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines
