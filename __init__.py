"""The FiftyOne plugin. FiftyOne runs this file again at every request: nothing is imported before `register`."""


def register(plugin):
    """Enter all operators and panels; FiftyOne calls this."""
    import importlib.util
    import os

    folder = os.path.dirname(os.path.abspath(__file__))
    if importlib.util.find_spec("fiftyone_saliency") is None:
        # The plugin was downloaded, the package was not installed: the plugin's own copy serves.
        from fiftyone.core.utils import add_sys_path

        with add_sys_path(folder):
            import fiftyone_saliency  # noqa: F401

    from .stub import explain, find_mismatch, stand_in

    problem = find_mismatch(folder)
    if problem is not None:
        plugin.register(stand_in(problem))
        return
    try:
        from .operators import OPERATORS
        from .panels import PANELS
    except ImportError as error:
        plugin.register(stand_in(explain(error)))
        return
    for face in (*OPERATORS, *PANELS):
        plugin.register(face)
