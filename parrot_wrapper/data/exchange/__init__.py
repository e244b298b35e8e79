"""Other people's data sets in and out: Minari, robomimic, LeRobot and plain arrays."""

from parrot_wrapper.data.exchange.arrays import dataset_from_arrays
from parrot_wrapper.data.exchange.formats import FORMATS, import_data
from parrot_wrapper.data.exchange.minari_export import export_minari
from parrot_wrapper.data.exchange.options import ImportOptions
from parrot_wrapper.data.exchange.writing import ImportReport

__all__ = [
    "FORMATS",
    "ImportOptions",
    "ImportReport",
    "dataset_from_arrays",
    "export_minari",
    "import_data",
]
