# What `__init__.py` offers, for editors and type checkers.
from . import augment as augment
from . import data as data
from . import detect as detect
from . import enhance as enhance
from . import finders as finders
from . import illumination as illumination
from . import layers as layers
from . import losses as losses
from . import metrics as metrics
from . import models as models
from . import pipelines as pipelines
from . import train as train
from . import weights as weights
from .augment import *
from .data.samples import *
from .detect import *
from .enhance import *
from .finders import *
from .illumination import *
from .layers import *
from .losses import *
from .metrics import *
from .models import *
from .pipelines import *
from .train import *
from .weights import *

__version__: str
