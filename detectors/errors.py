"""The error tree.

TunegateError
├── InputError            the customer's data or options are at fault
│   ├── DatasetError      the file as a whole cannot be read
│   └── RecipeError       the proposed hyper-parameters cannot be run
├── ModelError            a model is missing, unreadable or not what it claims
│   └── DigestMismatch    a model's weights differ from the pinned digest
├── PolicyError           the policy file is not valid
└── TrialError            the trial could not be run to its end

Bad rows are not errors but values: see `detectors.dataset.BadLine`.
"""


class TunegateError(Exception):
    """Root of every error this project raises on purpose."""


class InputError(TunegateError):
    """The customer's data or options are at fault; the message says what to do."""


class DatasetError(InputError):
    """The file as a whole cannot be read (not found, not a known format, too big)."""


class RecipeError(InputError):
    """The proposed hyper-parameters cannot be run."""


class ModelError(TunegateError):
    """A model is missing, unreadable, or not what it claims to be."""


class DigestMismatch(ModelError):
    """A model's weights differ from the pinned digest."""


class PolicyError(TunegateError):
    """The policy file is not valid."""


class TrialError(TunegateError):
    """The trial could not be run to its end."""
