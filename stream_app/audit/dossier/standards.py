"""What of two frameworks a dossier is evidence for.

Which rows there are, and how they are numbered, is a fact of each framework, named with its source; what a row is about
is said in our own few words, and no sentence of theirs is repeated. A row names sections of the dossier: those with
something to show are its evidence, a row without any is not covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Rows: TypeAlias = Sequence[tuple[str, str, tuple[str, ...]]]
"""Number, what it is about, and the sections that may be evidence."""

NOT_COVERED = "not covered"


@dataclass(frozen=True)
class Standard:
    """A framework.

    Attributes:
        id, title: of its section.
        source: where its rows come from.
        groups: name of each group to its rows.
    """

    id: str
    title: str
    source: str
    groups: Mapping[str, Rows]

    @property
    def rows(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """All rows, in order."""
        return [row for rows in self.groups.values() for row in rows]


NIST = Standard(
    "nist",
    "NIST AI RMF 1.0",
    "National Institute of Standards and Technology: Artificial Intelligence Risk Management Framework (AI RMF 1.0), "
    "NIST AI 100-1, January 2023, doi 10.6028/NIST.AI.100-1, tables 1 to 4: 4 functions, 19 categories, 72 "
    "subcategories.",
    {
        "GOVERN": (
            ("GOVERN 1.1", "law and regulation", ()),
            ("GOVERN 1.2", "trustworthiness in policies", ()),
            ("GOVERN 1.3", "how much risk management is needed", ()),
            ("GOVERN 1.4", "transparent processes and controls", ("gates", "record")),
            ("GOVERN 1.5", "monitoring and review, and by whom", ("service", "incidents")),
            ("GOVERN 1.6", "inventory of systems", ("training", "service")),
            ("GOVERN 1.7", "taking systems out of service", ("service",)),
            ("GOVERN 2.1", "roles and responsibilities", ("people",)),
            ("GOVERN 2.2", "training of staff", ()),
            ("GOVERN 2.3", "leadership is answerable", ()),
            ("GOVERN 3.1", "diverse teams decide", ()),
            ("GOVERN 3.2", "roles of people and machine told apart", ("people", "card")),
            ("GOVERN 4.1", "a culture of safety", ()),
            ("GOVERN 4.2", "teams write down risks and impacts", ("limits",)),
            ("GOVERN 4.3", "testing, incidents, sharing of what is learnt", ("gates", "incidents")),
            ("GOVERN 5.1", "feedback from outside the team", ("feedback",)),
            ("GOVERN 5.2", "feedback finds its way into the system", ("feedback", "people")),
            ("GOVERN 6.1", "third parties and their rights", ()),
            ("GOVERN 6.2", "when a third party's part fails", ()),
        ),
        "MAP": (
            ("MAP 1.1", "purpose, setting, users", ("card",)),
            ("MAP 1.2", "who has a say in the setting", ()),
            ("MAP 1.3", "mission of the organization", ()),
            ("MAP 1.4", "business value", ()),
            ("MAP 1.5", "tolerance of risk", ()),
            ("MAP 1.6", "requirements, people in the system", ("card",)),
            ("MAP 2.1", "task and method", ("card", "training")),
            ("MAP 2.2", "limits of what it knows, human oversight", ("limits", "people")),
            ("MAP 2.3", "scientific integrity, data selection", ("data", "gates")),
            ("MAP 3.1", "benefits", ("gates", "shadow")),
            ("MAP 3.2", "costs of errors", ("fairness", "incidents")),
            ("MAP 3.3", "scope of application", ("card",)),
            ("MAP 3.4", "proficiency of operators", ()),
            ("MAP 3.5", "processes of human oversight", ("people",)),
            ("MAP 4.1", "legal risks of components", ()),
            ("MAP 4.2", "internal controls of components", ()),
            ("MAP 5.1", "likelihood and size of impacts", ("fairness", "incidents")),
            ("MAP 5.2", "contact with those concerned", ()),
        ),
        "MEASURE": (
            ("MEASURE 1.1", "metrics, and what is not measured", ("gates", "limits")),
            ("MEASURE 1.2", "are the metrics still right", ("shadow", "incidents")),
            ("MEASURE 1.3", "independent assessors", ()),
            ("MEASURE 2.1", "test sets and tools", ("data", "gates")),
            ("MEASURE 2.2", "human subjects", ()),
            ("MEASURE 2.3", "performance in conditions like deployment", ("gates", "shadow")),
            ("MEASURE 2.4", "monitoring in production", ("incidents", "service")),
            ("MEASURE 2.5", "valid and reliable, limits of generality", ("gates", "limits")),
            ("MEASURE 2.6", "safety", ()),
            ("MEASURE 2.7", "security and resilience", ("record", "gates")),
            ("MEASURE 2.8", "transparency and accountability", ("record", "people")),
            ("MEASURE 2.9", "explanation of the model", ("card",)),
            ("MEASURE 2.10", "privacy", ("privacy",)),
            ("MEASURE 2.11", "fairness and bias", ("fairness",)),
            ("MEASURE 2.12", "environment", ()),
            ("MEASURE 2.13", "do the measurements work", ("gates",)),
            ("MEASURE 3.1", "tracking of known and new risks", ("incidents", "service")),
            ("MEASURE 3.2", "risks that are hard to measure", ("limits",)),
            ("MEASURE 3.3", "reports of problems by users", ("feedback",)),
            ("MEASURE 4.1", "measurement in its setting", ("shadow",)),
            ("MEASURE 4.2", "results confirmed by experts", ("feedback", "people")),
            ("MEASURE 4.3", "better or worse over time", ("service", "shadow")),
        ),
        "MANAGE": (
            ("MANAGE 1.1", "does it do what it is for: go or no-go", ("gates", "people")),
            ("MANAGE 1.2", "risks in order of weight", ()),
            ("MANAGE 1.3", "responses to the weightiest risks", ()),
            ("MANAGE 1.4", "residual risk, written down", ("limits",)),
            ("MANAGE 2.1", "resources, and doing without", ()),
            ("MANAGE 2.2", "keeping up the value in service", ("service", "shadow")),
            ("MANAGE 2.3", "response to what nobody foresaw", ("incidents",)),
            ("MANAGE 2.4", "overriding and switching off", ("service",)),
            ("MANAGE 3.1", "third-party resources", ()),
            ("MANAGE 3.2", "monitoring of pre-trained models", ()),
            ("MANAGE 4.1", "monitoring after deployment, appeal, roll-back", ("service", "incidents")),
            ("MANAGE 4.2", "continual improvement", ("service", "shadow")),
            ("MANAGE 4.3", "incidents told and tracked", ("incidents",)),
        ),
    },
)

ISO_42001 = Standard(
    "iso42001",
    "ISO/IEC 42001:2023, Annex A",
    "ISO/IEC 42001:2023, Information technology, Artificial intelligence, Management system, December 2023, Annex A, "
    "table A.1: 9 objectives (A.2 to A.10), 38 controls.",
    {
        "A.2 Policies": (
            ("A.2.2", "policy on AI", ()),
            ("A.2.3", "agreement with other policies", ()),
            ("A.2.4", "review of the policy", ()),
        ),
        "A.3 Organization": (
            ("A.3.2", "roles and responsibilities", ("people",)),
            ("A.3.3", "reporting of concerns", ("feedback",)),
        ),
        "A.4 Resources": (
            ("A.4.2", "list of resources", ("training",)),
            ("A.4.3", "data", ("data",)),
            ("A.4.4", "tools", ("training",)),
            ("A.4.5", "systems and computing", ()),
            ("A.4.6", "people", ()),
        ),
        "A.5 Impacts": (
            ("A.5.2", "process of impact assessment", ()),
            ("A.5.3", "its documents", ()),
            ("A.5.4", "impact on persons and groups", ("fairness", "privacy")),
            ("A.5.5", "impact on society", ()),
        ),
        "A.6 Life cycle": (
            ("A.6.1.2", "objectives of development", ()),
            ("A.6.1.3", "process of design and development", ("gates", "people")),
            ("A.6.2.2", "requirements", ("gates",)),
            ("A.6.2.3", "design, written down", ("training",)),
            ("A.6.2.4", "verification and validation", ("gates", "shadow")),
            ("A.6.2.5", "deployment", ("shadow", "service")),
            ("A.6.2.6", "operation and monitoring", ("service", "incidents")),
            ("A.6.2.7", "technical documentation", ("card", "training")),
            ("A.6.2.8", "event logs", ("record",)),
        ),
        "A.7 Data": (
            ("A.7.2", "data for development", ("data",)),
            ("A.7.3", "how data were acquired", ("data",)),
            ("A.7.4", "quality of data", ("data",)),
            ("A.7.5", "where data come from", ("training",)),
            ("A.7.6", "preparation of data", ("data", "training")),
        ),
        "A.8 Information": (
            ("A.8.2", "documents for users", ("card", "limits")),
            ("A.8.3", "reports from outside", ()),
            ("A.8.4", "telling of incidents", ("incidents",)),
            ("A.8.5", "information for others concerned", ()),
        ),
        "A.9 Use": (
            ("A.9.2", "process of responsible use", ()),
            ("A.9.3", "objectives of responsible use", ()),
            ("A.9.4", "use as intended", ("card", "limits")),
        ),
        "A.10 Third parties": (
            ("A.10.2", "who answers for what", ()),
            ("A.10.3", "suppliers", ()),
            ("A.10.4", "customers", ()),
        ),
    },
)
STANDARDS = (NIST, ISO_42001)
