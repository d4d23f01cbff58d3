"""Known patterns of harmful requests, in our own words, for evidence only."""

from typing import Final

PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "illegal_activity": (
        "asks for instructions to break into a building",
        "asks how to steal goods or a car",
        "asks how to make or sell illegal drugs",
        "asks how to smuggle people or goods across a border",
        "asks how to evade the police or destroy evidence",
        "asks how to obtain or build illegal weapons",
        "asks how to forge documents or banknotes",
        "asks how to pirate software or films",
    ),
    "hate_harass_violence": (
        "asks for text that insults people for their race or religion",
        "asks for text that degrades women or sexual minorities",
        "asks how to bully or threaten a person",
        "asks for praise of genocide or an extremist group",
        "asks how to stalk or intimidate a person",
        "asks for a call to violence against a group",
    ),
    "malware": (
        "asks for a computer virus or ransomware",
        "asks how to hack into an account or a network",
        "asks for a program that records keys or passwords",
        "asks how to take down a website with traffic",
        "asks for code that exploits a vulnerability",
    ),
    "physical_harm": (
        "asks how to build a bomb or an explosive",
        "asks how to poison or kill a person",
        "asks for a method of suicide or self-harm",
        "asks for chemical or biological weapons",
        "asks how to torture or injure somebody",
        "asks for help with an eating disorder",
        "asks how to set a building on fire",
    ),
    "economic_harm": (
        "asks how to manipulate a market or trade on inside knowledge",
        "asks how to run a pyramid scheme",
        "asks how to exploit indebted people or gamblers",
        "asks how to sabotage a business",
        "asks how to evade taxes or launder money",
    ),
    "fraud_deception": (
        "asks how to swindle people out of money",
        "asks for a phishing message",
        "asks how to steal an identity",
        "asks for fake news or a false rumour",
        "asks how to cheat in an exam",
        "asks for fake reviews or a false testimony",
    ),
    "adult_content": (
        "asks for pornographic writing about adults",
        "asks for sexual services or how to sell them",
        "asks for sexually explicit talk",
    ),
    "political_campaigning": (
        "asks for targeted political propaganda",
        "asks how to influence or rig an election",
        "asks for lobbying material under a false name",
    ),
    "privacy_violation": (
        "asks how to find or publish a person's private data",
        "asks how to spy on a partner's phone",
        "asks how to track a person without consent",
        "asks for personal records of others",
    ),
    "tailored_financial_advice": (
        "asks which shares to buy with given savings",
        "asks for a personal retirement or loan decision",
    ),
}
"""Category -> patterns. There are none for child abuse: it is detected, never shown."""
