"""How a series is identified: one table of rules, read from top to bottom, the first that holds decides.

Specific before generic, and in this order: what is no plain MR image, elastography, what is never a source (phase,
localizers, reformats, maps), diffusion by its b-values, then T1w and T2w by the physics of the sequence. What fits no
rule, and what contradicts itself, is ``other`` with a reason, never a guess. A wrong ``gradient echo`` of a diffusion
series does no harm, since b-values come first. Texts are lower case without accents; words of several languages count.
"""

from __future__ import annotations

from liverstiff.catalog.identify import Rule, never
from liverstiff.catalog.rules.diffusion import DIFFUSION
from liverstiff.catalog.rules.elastography import ELASTOGRAPHY_RULES
from liverstiff.catalog.rules.excluded import NEVER_A_SOURCE
from liverstiff.catalog.rules.pictures import NOT_AN_IMAGE
from liverstiff.catalog.rules.t1w import T1
from liverstiff.catalog.rules.t2w import T2
from liverstiff.catalog.rules.unfit import UNFIT
from liverstiff.records import Kind

RULES: tuple[Rule, ...] = (
    *NOT_AN_IMAGE,
    *ELASTOGRAPHY_RULES,
    *NEVER_A_SOURCE,
    *DIFFUSION,
    *UNFIT,
    *T1,
    *T2,
    never(Kind.OTHER, 0.5, "no rule fits its echo type and echo time"),
)
