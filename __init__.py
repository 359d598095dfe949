"""The FiftyOne plugin. FiftyOne runs this file again at every request: nothing is imported before `register`."""


def register(plugin):
    """Enter all operators and panels; FiftyOne calls this."""
    import importlib.util
    import os

    if importlib.util.find_spec("fiftyone_saliency") is None:
        # The plugin was downloaded, the package was not installed: the plugin's own copy serves.
        from fiftyone.core.utils import add_sys_path

        with add_sys_path(os.path.dirname(os.path.abspath(__file__))):
            import fiftyone_saliency  # noqa: F401

    from .operators import OPERATORS
    from .panels import PANELS

    for face in (*OPERATORS, *PANELS):
        plugin.register(face)
