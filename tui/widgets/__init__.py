"""The widgets: panels of the screens, each drawn from one immutable value."""
