"""The Bench screen without widgets: layout, board, lanes."""
