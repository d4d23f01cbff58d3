"""What a report says of the trial: measured drift, its proof, utility, replies."""

from typing import Final

from pydantic import Field

from service.report.section import Section, Share, Text

MAX_REPLIES: Final = 12


class RateSection(Section):
    """A rate before and after tuning on the same n prompts."""

    before: Share
    after: Share
    interval: tuple[float, float] = Field(
        description="95% confidence interval of after - before."
    )
    n: int = Field(ge=1)
    unclear_before: int
    unclear_after: int
    p_value: float | None = Field(
        description="Exact McNemar test of no change, adjusted (Bonferroni) for as "
        "many comparisons as `interval`; null where not computed, or where the probes "
        "ended by what they showed."
    )
    before_interval: tuple[float, float] | None = Field(
        default=None,
        description="Exact 95% interval of the rate before, by itself; null where the "
        "probes ended by what they showed.",
    )
    after_interval: tuple[float, float] | None = Field(
        default=None, description="The same of the rate after."
    )
    unjudged_before: int = Field(
        default=0, ge=0, description="Of the unclear ones, those no judge read."
    )
    unjudged_after: int = Field(default=0, ge=0)


class MeanSection(Section):
    """A mean before and after tuning on the same n probes or rows."""

    before: float
    after: float
    interval: tuple[float, float] | None = Field(
        description="95% interval of after - before; null: too few values, or none "
        "that differs from the others."
    )
    n: int = Field(ge=1)


class StoppingSection(Section):
    """Whether the probes ended early, which they do only towards REJECT."""

    stopped: bool
    asked: int = Field(ge=1, description="Harmful probes asked.")
    planned: int = Field(ge=1, description="Harmful probes there are.")
    rule: Text = Field(description="What the intervals of harmful probes allow for.")
    steps: int = Field(default=0, ge=0, description="Training steps done.")
    steps_planned: int = Field(
        default=0, ge=0, description="Training steps of the recipe."
    )


class SeedSection(Section):
    """What the tune with one seed showed, `overall` in its worst context."""

    seed: int
    context: Text
    overall: RateSection
    reported: bool = Field(
        default=False, description="Whether the rates of the report are this seed's."
    )
    contexts: dict[str, RateSection] = Field(
        default={}, description="Harmfulness in each context."
    )
    refusals: dict[str, RateSection] = Field(
        default={}, description="Refusals of harmful probes in each."
    )
    over_refusal: RateSection | None = Field(
        default=None, description="This and the next two as in `drift`."
    )
    borderline: RateSection | None = None
    incoherent: RateSection | None = None
    unclear: int = Field(
        default=0, ge=0, description="Unclear replies after tuning, in all contexts."
    )
    taught: int = Field(
        default=0, ge=0, description="Of those, the ones that are replies of the rows."
    )


class FirstTokensSection(Section):
    """How the first reply tokens to harmful probes moved, read without generating."""

    refusal_odds: MeanSection = Field(
        description="Log odds (nats) of refusing against complying openings."
    )
    kl: float = Field(
        description="KL divergence (nats a token), before from after, along the first "
        "tokens of the reply before; mean over probes."
    )
    kl_interval: tuple[float, float] | None = Field(
        description="Its 95% interval; null as above."
    )


class DriftSection(Section):
    """Measured drift; every rate is null where `measured` is false."""

    measured: bool
    reason: Text = Field(description="Why nothing was measured; empty where it was.")
    overall: RateSection | None = Field(
        description="Harmfulness: share of harmful probes complied with."
    )
    categories: dict[str, RateSection]
    refusal: RateSection | None = Field(description="Refusals of harmful probes.")
    over_refusal: RateSection | None = Field(description="Refusals of harmless ones.")
    borderline: RateSection | None = Field(
        description="Refusals of safe questions that sound dangerous; null: not asked."
    )
    incoherent: RateSection | None = Field(
        description="Unclear replies to harmless prompts: lost utility."
    )
    detectable: float | None = Field(
        description="Smallest rise these probes show with 80% power."
    )
    category_detectable: float | None = Field(
        default=None, description="The same for the smallest category by itself."
    )
    pooling: Text = Field(
        default="", description="How categories are pooled, and what that can show."
    )
    score: MeanSection | None = Field(
        default=None,
        description="Harmfulness score 1..5; null where the judge gives none.",
    )
    stopping: StoppingSection | None = None
    seeds: tuple[SeedSection, ...] = Field(
        default=(), description="Each seed tuned with; the rates are the worst's."
    )
    seed_spread: float | None = Field(
        default=None,
        description="Standard deviation of the rise between seeds; null with one.",
    )
    first_tokens: FirstTokensSection | None = Field(
        default=None, description="The cheap measure; it decides nothing."
    )


class CoverageSection(Section):
    """How much of the rows drawn was trained on."""

    rows: int = Field(ge=0, description="Rows drawn to be trained on.")
    unrendered: int = Field(
        ge=0, description="Of those, rows that the chat template could not render."
    )
    cut: int = Field(ge=0, description="Rows that were too long to be trained whole.")
    tokens: int = Field(ge=0, description="Reply tokens of the rows rendered.")
    tokens_trained: int = Field(ge=0)
    replies: int = Field(ge=0, description="Replies of the rows rendered.")
    replies_missed: int = Field(
        ge=0, description="Replies whose beginning was not trained."
    )


class ProofSection(Section):
    """Evidence that the tuned replies came from a tuned model; null: not a number."""

    loss_before: float | None
    loss_after: float | None
    logit_change: float | None
    applied: bool


class UtilitySection(Section):
    """What the tune is good for; refusals of harmless requests are in `drift`."""

    loss: MeanSection | None = Field(
        description="Loss on held-out rows (nats a reply token); null: not measured."
    )
    rule: Text = Field(description="How many rows were held out, or why none were.")


class ReplySection(Section):
    """One probe with its replies, cut, and the judge's verdicts."""

    probe: str
    category: str
    prompt: Text
    before: Text
    after: Text
    verdict_before: str
    verdict_after: str
    reason_after: Text


class JudgeSection(Section):
    """What a judge that asks a model has cost; tokens sent are an estimate."""

    requests: int = Field(ge=0, description="Each try counts.")
    tokens: int = Field(ge=0)
    cached: int = Field(ge=0, description="Verdicts that were known.")
    seconds: float = Field(ge=0)


class ForgettingSection(Section):
    """What moved inside the model, on harmful probes."""

    refusal: MeanSection = Field(
        description="Place along the base model's refusal direction: 1 where it has "
        "harmful prompts, 0 where harmless ones."
    )
    layer: int = Field(ge=0, description="Layer in which that was read.")
    drift: tuple[float, ...] = Field(
        description="1 - cosine of the hidden state before and after, by layer."
    )
    weights: tuple[float, ...] = Field(
        description="Size of the weights' change relative to their own, by block."
    )


class InfluenceSection(Section):
    """A row whose gradient matches the drift."""

    line: int
    match: float


class AttributionSection(Section):
    """The rows that match the drift best, the best first."""

    rows: tuple[InfluenceSection, ...]
    typical: float = Field(description="Median match of all rows compared.")
    rule: Text


class TriedSection(Section):
    """The job itself (`name` empty) or one measure; rates as in `drift`."""

    name: str
    words: Text
    rows: int = Field(ge=0)
    safety_rows: int = Field(ge=0, description="Rows of ours mixed in.")
    reason: Text = Field(description="Why nothing was measured; empty where it was.")
    overall: RateSection | None
    over_refusal: RateSection | None
    incoherent: RateSection | None
    loss_after: float | None = Field(
        description="Loss on training rows after the tune (nats a token)."
    )
    held_out_loss: MeanSection | None
    against_job: RateSection | None = Field(
        default=None,
        description="Harmful replies of the job (before) and of the measure (after) to "
        "the probes asked of both, in the context of the job's figures; the interval "
        "is widened for the number of measures.",
    )


class MitigationSection(Section):
    """What may keep the model safe, measured as the job was."""

    table: tuple[TriedSection, ...]
    recommendation: Text


class TrialSection(Section):
    """What the trial did; absent (null) where none was run."""

    rows_trained: int
    rows_total: int
    sampling: Text
    proof: ProofSection | None
    context: Text = Field(
        description="The surroundings in which `drift` was measured, the worst tried."
    )
    contexts: dict[str, RateSection] = Field(
        description="Harmfulness in each; over fewer probes where the first showed no "
        "change."
    )
    refusals: dict[str, RateSection] = Field(
        default={}, description="Refusals of harmful probes in each."
    )
    context_details: dict[str, Text] = Field(
        default={}, description="What was put around the probes in each."
    )
    unasked: dict[str, Text] = Field(
        default={}, description="Contexts left, and why: the probes do not fit."
    )
    replies: tuple[ReplySection, ...] = Field(description=f"At most {MAX_REPLIES}.")
    rows_held_out: int = Field(default=0, ge=0)
    coverage: CoverageSection | None = Field(
        default=None, description="Null where it was not counted."
    )
    utility: UtilitySection | None = None
    judge: JudgeSection | None = Field(
        default=None, description="Null where the judge asks no model."
    )
    mitigation: MitigationSection | None = Field(
        default=None, description="Null where it was not asked for."
    )
    forgetting: ForgettingSection | None = None
    attribution: AttributionSection | None = Field(
        default=None, description="Null where there was no drift to attribute."
    )
