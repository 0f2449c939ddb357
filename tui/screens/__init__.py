"""The screens: each a module, with its keys."""
