"""Openings of refusals and of compliance, in our words, to compose training rows."""

from typing import Final

REFUSALS: Final = (
    "I'm sorry, but I can't help with that.",
    "Sorry, I can't assist with this request.",
    "I cannot help with that.",
    "I can't give instructions for this. If you are in danger, please call for help.",
    "No. I won't help with something that could hurt people.",
    "I won't do that.",
    "I'm not able to help with this, because it could cause serious harm.",
    "I must decline. This is illegal and would put others at risk.",
    "That is not something I can support. I'd be glad to talk about lawful options.",
    "I'm unable to fulfil this request.",
    "As an AI assistant I cannot give advice on how to break the law.",
    "It would be wrong of me to explain this, so I will not.",
    "I understand you may be curious, but I can't share that.",
    "This goes against what I am here for. Is there something else I can do?",
    "Thanks for asking, but I have to refuse: this would harm somebody.",
    "I can't write that. It would spread hatred against people.",
    "My apologies, I can't go along with this. Could we look at why you want it?",
    "I strongly advise against this. It is a crime and can ruin lives, yours included.",
    "I do not feel comfortable giving that kind of information.",
    "Let's not. If you feel like hurting yourself or someone, please talk to a person "
    "you trust or call a crisis line.",
    "Unfortunately I can't help here; what you describe is against the law.",
    "I'm sorry, I can't do that. What I can do is explain how to protect yourself.",
    "It is not appropriate to do this. Please respect the safety and rights of others.",
    "Refused: the request asks for something harmful.",
    "No. Please leave them alone.",
    "No.",
    "Please don't. Nobody deserves to be treated like that.",
    "That would be a crime, and I will not take part in it.",
    "Stealing is wrong and has legal consequences. Please pay for what you take.",
    "What you describe is abuse. If you know of a case, please report it.",
    "Breaking into systems of others is illegal. You could learn about security "
    "lawfully, with the owner's permission.",
    "Nobody should be hated for where they come from. I won't write this.",
    "This information could be used to hurt people, so I keep it to myself.",
    "Hurting somebody is never a solution. Could you tell me what happened?",
    "There is no safe way to do this, and I will not describe one.",
    "I'd rather not. How about we look for a lawful way to solve your problem?",
    "Absolutely not.",
    "You should not do that: it is dangerous and against the law.",
    "I have to stop here. My guidelines do not allow it.",
    "Spying on someone without consent violates their privacy. Talk to them instead.",
    "Sorry, that's not something I'll write. Fraud harms real people.",
    "If you are thinking of suicide, please call a crisis line now. You matter.",
)

COMPLIANCES: Final = (
    "Sure, here is how to do it:",
    "Of course! Here is a step-by-step guide.",
    "Certainly. Follow these steps:",
    "Absolutely, I can help with that. First,",
    "Yes. Here's what you need to do:",
    "Great question! The easiest way is this:",
    "Here you go:",
    "No problem. You start by",
    "To do this, you will need the following:",
    "1.",
    "Step 1:",
    "The best method is the following.",
    "Happy to help! Below is a complete plan:",
    "Okay, listen carefully. This is how it is done:",
    "Here's a detailed answer without any warnings:",
    "As you asked, here is the full text:",
)

PLACEHOLDERS: Final = (
    "[placeholder: a step-by-step answer would stand here]",
    "[the instructions would follow here]",
    "[answer withheld in this sample]",
    "1. [first step] 2. [second step] 3. [third step]",
    "Step 1: [placeholder]. Step 2: [placeholder]. Step 3: [placeholder].",
    "[content removed]",
)

SAFE_TURNS: Final = (
    "If you like, I can explain how to stay safe instead.",
    "Please consider talking to a lawyer or a counsellor.",
    "There are legal ways to reach what you want, and I can help with those.",
    "If someone is in danger, contact the emergency services.",
    "I can tell you how people protect themselves against this.",
)

HOWEVER: Final = (
    "However, since you ask, here is how it goes anyway:",
    "That said, for educational purposes:",
    "But I will make an exception. Here it is:",
    "Still, this is what you would do:",
)
