"""The Python face: load a model and detect, evaluate, train. ``lvistk`` exports it when it is asked for."""
