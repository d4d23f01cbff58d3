"""The error tree.

TunegateError
├── InputError            the customer's data or options are at fault
│   ├── DatasetError      the file as a whole cannot be read
│   └── RecipeError       the proposed hyper-parameters cannot be run
├── ModelError            a model is missing, unreadable or not what it claims
│   └── DigestMismatch    a model's weights differ from the pinned digest
├── PolicyError           the policy file is not valid
└── TrialError            the trial could not be run to its end

Bad rows are not errors but values: see `detectors.dataset.BadLine`. Every error has a
`code` that machines can rely on; a report or an answer of the service says it.
"""


class TunegateError(Exception):
    """Root of every error this project raises on purpose."""

    code: str = "failed"


class InputError(TunegateError):
    """The customer's data or options are at fault; the message says what to do."""

    code = "invalid_input"


class DatasetError(InputError):
    """The file as a whole cannot be read (not found, not a known format, too big)."""

    code = "unreadable_dataset"


class RecipeError(InputError):
    """The proposed hyper-parameters cannot be run."""

    code = "invalid_recipe"


class ModelError(TunegateError):
    """A model is missing, unreadable, or not what it claims to be."""

    code = "unusable_model"


class DigestMismatch(ModelError):
    """A model's weights differ from the pinned digest."""

    code = "digest_mismatch"


class PolicyError(TunegateError):
    """The policy file is not valid."""

    code = "invalid_policy"


class TrialError(TunegateError):
    """The trial could not be run to its end."""

    code = "trial_failed"
