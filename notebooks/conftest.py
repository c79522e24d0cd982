"""Tables are stored and compared as text; the HTML beside it says the same."""


def pytest_collectstart(collector):
    if collector.path.suffix == ".ipynb":
        collector.skip_compare += ("text/html",)
