"""The Explore screen without widgets: scene, picture, latencies, costs."""
