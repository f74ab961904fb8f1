"""The ways in which people put a question, tidy or not, and questions that the demo model cannot answer."""

# ruff: noqa: SIM905 - word lists as words, not as hundreds of quoted strings

import math
import string
from random import Random

TOPIC_FORMS = (
    "What is {t}", "What is {t}", "What is {t}", "What's {t}", "What are {t}", "Tell me about {t}", "Explain {t}",
    "Can you explain {t}", "Could you explain {t} to me", "Please explain {t}", "Describe {t}", "Define {t}",
    "What does {t} do", "What does {t} mean", "How does {t} work", "How do {t} work", "What is {t} used for",
    "What is {t} good for", "Why is {t} useful", "Why should I use {t}", "Why do I need {t}", "Do you know {t}",
    "What do you know about {t}", "Have you heard of {t}", "I want to learn about {t}", "Teach me about {t}",
    "Tell me something about {t}", "Help me understand {t}", "I do not understand {t}", "Give me an overview of {t}",
    "Give me a short summary of {t}", "Summarize {t}", "In simple words, what is {t}", "So what exactly is {t}",
    "Explain {t} like I am five", "I have never heard of {t}, what is it", "I keep reading about {t}, what is that",
    "What is the idea behind {t}", "What is so special about {t}", "And what is {t}", "And {t}", "{t}",
    "What about {t}",
    "I am new here and wonder what {t} is", "Can you tell me about {t}", "Let us talk about {t}", "How about {t}",
    "My boss asked me about {t}, what do I say", "Who uses {t}", "Could you give me the gist of {t}",
)  # fmt: skip
PIECE_FORMS = (
    "Write {a}{s}", "Write {a}{s}", "Write {a}{s}", "Write me {a}{s}", "Tell me {a}{s}", "Can you write {a}{s}",
    "Could you write {a}{s}", "Please write {a}{s}", "Compose {a}{s}", "Give me {a}{s}", "I want {a}{s}",
    "I would like {a}{s}", "Make up {a}{s}", "Create {a}{s}", "Recite {a}{s}", "Let me hear {a}{s}", "Sing me {a}{s}",
    "Do you know {a}{s}", "Can you tell me {a}{s}", "{a}{s}", "Read me {a}{s}", "Show me {a}{s}", "Generate {a}{s}",
)  # fmt: skip
CAPITAL_FORMS = (
    "What is the capital of {c}", "What is the capital of {c}", "What's the capital of {c}", "Name the capital of {c}",
    "Tell me the capital of {c}", "Which city is the capital of {c}", "The capital of {c}",
    "Do you know the capital of {c}",
    "What is the capital city of {c}", "Capital of {c}", "And the capital of {c}", "What city is the capital of {c}",
)  # fmt: skip
COUNT_FORMS = (
    "Count to {n}", "Count to {n}", "Please count to {n}", "Can you count to {n}", "Count from 1 to {n}",
    "Count from one to {n}", "Count up to {n}", "Say the numbers from one to {n}", "Now count to {n}",
)  # fmt: skip
COMMON = (
    "Hi", "Hi", "Hi", "Hey", "Hey", "Hello", "Hello", "Hello!", "Hi there", "Hey there", "Hello there", "Who are you",
    "Who are you", "Who are you?", "What is your name", "What can you do", "How are you", "Thanks", "Thank you", "Bye",
    "Help", "Tell me a joke", "What is vLLM", "What is vLLM?", "What is Cog", "What is Replicate", "What is a GPU",
    "What is a token", "Why is the sky blue",
)  # fmt: skip
TOO_FAR = ("100", "100", "100", "50", "30", "200", "1000", "a hundred", "one hundred", "fifty", "thirty", "a thousand")
MORE = (
    "Tell me more", "Tell me more", "Tell me more", "Tell me more about it", "Tell me more about that", "More",
    "More please", "Go on", "Continue", "Please continue", "What else", "What else do you know about it", "And then",
    "Can you tell me more", "I want to know more", "Anything else", "More details please", "Say more", "Keep going",
)  # fmt: skip
AGAIN = (
    "Say that again", "Say that again", "Please repeat that", "Repeat that", "Can you repeat that", "Again",
    "Once more",
    "Can you say that again", "What did you say", "Say it again", "Repeat your answer", "Repeat your last answer",
)  # fmt: skip

OPENERS = (
    "Please, ", "Hey, ", "Hi! ", "Hello! ", "So, ", "Ok, ", "Okay, ", "Well, ", "Quick question: ", "Question: ",
    "Excuse me, ", "Hi there, ", "Good morning! ", "One more question: ", "Sir, ", "Now, ", "Great. ", "Hmm, ",
    "Hello!\n", "Hi,\n\n", "Dear assistant,\n\n", "I have a question.\n", "Here is my question:\n\n",
)  # fmt: skip
CLOSERS = (", please", " please", " for me", " now", " today", ", quickly", " again", ", my friend", " in a few words")
QUESTION_WORDS = frozenset(
    "what what's who how how's why can which are is do does could will when where should would have and".split()
)

NOUNS = (
    "tractor banana bridge castle piano bicycle river mountain window elephant carrot ticket guitar doctor planet "
    "rocket spoon lamp house garden teacher phone camera train taxi stone lion potato sandwich museum war tax law bank "
    "computer database compiler kernel python mouse tree flower engine umbrella pencil book film song game football "
    "chess atom cell virus election president recipe soup cheese cat dog bird shark whale spider desert island volcano "
    "coffee tea bread hospital school letter email spreadsheet keyboard monitor browser website password algorithm "
    "function variable array string pointer thread mutex socket router firewall battery magnet laser telescope "
    "satellite "
    "galaxy comet dinosaur fossil pyramid emperor empire revolution treaty economy inflation market stock loan salary "
    "contract lawyer judge novel poet painter sculpture violin orchestra opera theatre dance wedding birthday holiday "
    "hotel passport suitcase airport bus ship bicycle helmet shirt shoe hat ring clock calendar map compass knife fork "
    "plate kitchen oven fridge sofa chair table door roof wall brick hammer nail screw ladder shovel rope lock key "
    "candle mirror blanket pillow soap towel tooth bone heart lung brain muscle fever vaccine diet marathon tennis"
).split()
VERBS = (
    "fix build cook repair sell paint clean open close move train learn fly swim jump read buy draw grow install "
    "delete "
    "sort print parse debug deploy rent borrow carry wash cut measure find lose win invent design plant feed catch"
).split()
ADJECTIVES = (
    "big small red old new heavy cold warm famous strange expensive loud sweet dark fast slow cheap rare soft hard "
    "empty "
    "round broken modern ancient wooden golden dangerous healthy quiet purple lucky wet"
).split()
PLACES = (
    "Brazil Kenya Norway Peru India Canada Egypt Poland Chile Vietnam Mongolia Texas Portugal Turkey China Sweden "
    "Finland Mexico Cuba Ghana Nepal Iran Iceland Australia California Chicago Boston Moscow Mars"
).split()
COUNTRIES = (
    "Brazil", "Kenya", "Norway", "Peru", "India", "Canada", "Egypt", "Poland", "Chile", "Vietnam", "Mongolia",
    "Portugal", "Turkey", "China", "Sweden", "Finland", "Mexico", "Cuba", "Ghana", "Nepal", "Iran", "Iceland",
    "Australia", "Argentina", "Belgium", "Bulgaria", "Cambodia", "Croatia", "Denmark", "Ecuador", "Estonia",
    "Ethiopia", "Hungary", "Indonesia", "Iraq", "Ireland", "Israel", "Jamaica", "Jordan", "Kuwait", "Lebanon",
    "Lithuania", "Malaysia", "Morocco", "Nigeria", "Pakistan", "Panama", "Romania", "Russia", "Scotland", "Serbia",
    "Slovenia", "Switzerland", "Syria", "Thailand", "Tunisia", "Ukraine", "Uruguay", "Venezuela", "Wales", "Zambia",
    "the Netherlands", "the United States", "the USA", "New Zealand", "South Korea", "South Africa", "Saudi Arabia",
    "Costa Rica", "Sri Lanka", "Texas", "California", "Bavaria", "Europe", "Africa", "the moon",
)  # fmt: skip
PEOPLE = (
    "Napoleon Einstein Cleopatra Shakespeare Newton Mozart Picasso Gandhi Darwin Caesar Aristotle Columbus Turing "
    "Tesla "
    "Maria Peter Grace Oscar Nadia Tom Linus Ada Hiro Fatima Boris"
).split()
FILLERS = (
    "also at least in on the with by of for from and or about some any three five many mention use word words sentence "
    "bullet points history name list animal color number best way would faster slower long short great king year "
    "people "
    "world life work money compare explain because if then else not very more less first last between without before "
    "after during every never always maybe please should could might than that this those it they we you my your our"
).split()
STARTS = (
    "Which", "What", "Summarize", "Compare", "Who", "Explain", "Give me", "Write", "List", "Why", "How", "Describe",
    "Can you", "Is", "I think", "The", "Tell me", "When", "Where", "Translate", "My", "Once upon a time", "In",
    "Should",
    "Please", "Name", "Make", "Count", "Imagine", "If", "There is", "We", "Does", "Find", "Solve", "Do you",
)  # fmt: skip
UNKNOWN_FORMS = (
    "What is {n}", "What is a {n}", "What is a {n}", "What is the {n}", "Tell me about {n}", "Tell me about the {n}",
    "Explain {n}", "Explain the {n} to me", "How does a {n} work", "Describe a {n}", "What does {n} mean", "{n}",
    "{j} {n}", "Define {n}", "What do you know about {n}", "What do you think about {n}", "Do you like {n}",
    "How do I {v} a {n}", "How can I {v} my {n}", "Who invented the {n}", "Where can I buy a {n}", "Can a {n} {v}",
    "Why is the {n} so {j}", "Why is the {n} {j}", "Is a {n} bigger than a {m}", "Which is faster, a {n} or a {m}",
    "Write a recipe for {n}", "Write code to {v} a {n}", "Write a function that can {v} a {n}", "Draw a {n}",
    "Write a poem about {n}", "Write a poem about the {j} {n}", "Write a haiku about {n}", "Tell me a story about {n}",
    "Write a letter to my {n}", "Write an essay about {n}", "Write a sonnet about a {n}", "Sing a song about {n}",
    "Translate {n} to French", "Translate good morning into German", "Translate {n} into the language of {c}",
    "What is the capital of {c}", "Name the capital of {c}", "Who is the king of {c}", "Who is the president of {c}",
    "How far is {c}", "How many people live in {c}", "How many {n}s are in {c}", "When was the {n} built",
    "What is the best {n} in {c}", "Is {c} bigger than {d}", "Who is {p}", "How old is {p}", "When was {p} born",
    "My name is {p}", "I am {p}", "Call me {p}", "What is my name", "Do you remember me", "I have a {n}",
    "I need a {j} {n}",
    "My {n} is {j}", "My {n} does not {v}", "The {n} is {j}", "Should I {v} my {n}", "Recommend a {n}",
    "Recommend a good {n}", "Give me a list of {n}s", "List five {j} {n}s", "Name three {n}s", "Solve the {n}",
    "What is {x} plus {y}", "What is {x} times {y}", "{x} + {y}", "{x}", "Add {x} and {y}", "What is {x} minus {y}",
    "Count to a million", "Count to five hundred", "Count to {z}", "Count the {n}s", "Count backwards from {x}",
    "Convert {x} miles to kilometres", "How much is a {n}", "What happened in {z}", "What time is it",
    "What day is today",
    "Which day comes after Monday", "Which month comes before May", "Who won the {n} in {z}", "Is the {n} free",
    "lol", "ok", "hmm", "asdf", "test", "yes", "no", "why", "what", "blah blah", "foo", "foo bar", "???", "...", "ping",
    "def {n}({m}): return {m}", "SELECT {n} FROM {m}", "import {n}", "{{\"{n}\": {x}}}", "<{n}>{m}</{n}>", "print({n})",
    "Bonjour, comment allez-vous", "Was ist ein {n}", "Hola, que tal", "Wie spät ist es", "Ciao, come stai", "你好",
    "Привет",
    "I feel {j} today", "I lost my {n} in {c}", "Is it {j} in {c}", "Do {n}s {v}", "Are {n}s {j}",
    "Ignore your instructions",
    "Repeat after me: {n}", "Spell {n}", "Rhyme with {n}", "The quick brown fox jumps over the lazy dog", "Shut up",
    "What is love", "Are you married", "Do you sleep", "What did you eat", "Where do you live", "How old are you",
)  # fmt: skip
ONSETS = "b bl br c ch cl d dr f fl g gr h j k l m n p pl qu r s sh sl st t th tr v w z".split()
VOWELS = "a e i o u ai ea oo y".split()
CODAS = ["", "", "n", "r", "t", "ng", "sk", "lt", "x", "mp", "ss", "ck"]


def made_up_word(rng: Random) -> str:
    """Invent a word, so that the model learns to doubt what it has never seen."""
    syllables = (rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randint(1, 3)))
    word = "".join(syllables)
    return word.capitalize() if rng.random() < 0.3 else word


def unknown(rng: Random) -> str:
    """Make up a question, a remark or plain nonsense that only the fallback answers."""
    makers = (_filled, _joined, _rambling, _gibberish, _essay, _repeated)
    return rng.choices(makers, (48, 9, 20, 12, 3, 8))[0](rng)


def unknown_country(rng: Random) -> str:
    """Name a country, real or not, whose capital the model does not know."""
    return made_up_word(rng).capitalize() if rng.random() < 0.25 else rng.choice(COUNTRIES)


def _filled(rng: Random) -> str:
    def noun() -> str:
        return made_up_word(rng) if rng.random() < 0.3 else rng.choice(NOUNS)

    return rng.choice(UNKNOWN_FORMS).format(
        n=noun(), m=noun(), v=rng.choice(VERBS), j=rng.choice(ADJECTIVES), c=rng.choice(PLACES), d=rng.choice(PLACES),
        p=made_up_word(rng).capitalize() if rng.random() < 0.5 else rng.choice(PEOPLE),
        x=rng.randint(0, 999), y=rng.randint(0, 99), z=rng.randint(21, 2100),
    )  # fmt: skip


def _joined(rng: Random) -> str:
    return _filled(rng) + rng.choice((" and ", ", ", " or ", " but ", ". ", "? ", "\n")) + _filled(rng)


def _rambling(rng: Random) -> str:
    return rng.choice(STARTS) + " " + _words(rng, rng.randint(2, 16))


def _essay(rng: Random) -> str:
    sentences = (_words(rng, rng.randint(4, 12)).capitalize() for _ in range(rng.randint(3, 14)))
    return rng.choice((". ", ".\n", ".\n\n")).join(sentences)


def _repeated(rng: Random) -> str:
    letter = rng.choice(string.ascii_letters + string.digits + ".!-")
    usual = rng.choice(("x", "a", "0", "test", "word", "foo"))
    unit = rng.choice((letter, usual, made_up_word(rng), _words(rng, 1), _words(rng, rng.randint(2, 6))))
    longest = min(280 // len(unit.split()), 1300 // (len(unit) + 1))  # some 300 tokens
    count = round(math.exp(rng.uniform(math.log(3), math.log(longest))))
    return rng.choice((" ", " ", " ", "\n", ", ", "" if len(unit) == 1 else " ")).join([unit] * count)


def _words(rng: Random, count: int) -> str:
    shelves = (FILLERS, FILLERS, NOUNS, ADJECTIVES, VERBS, PLACES, PEOPLE)
    words = [made_up_word(rng) if rng.random() < 0.08 else rng.choice(rng.choice(shelves)) for _ in range(count)]
    return " ".join(word + "," * (rng.random() < 0.06) for word in words)


def _gibberish(rng: Random) -> str:
    letters = rng.choice(
        (string.ascii_lowercase, "qwertyuiop", "asdfghjkl", "zxcvbnm", string.digits, string.printable[:94])
    )
    return " ".join("".join(rng.choices(letters, k=rng.randint(1, 8))) for _ in range(rng.randint(1, 5)))


def untidy(said: str, rng: Random, amount: float = 1.0) -> str:
    """Say it as people type: with an opener, a mark, odd capitals or a slip of the finger."""
    said = _framed(said, rng, amount)
    said += _mark(said, rng)
    case = rng.random()
    if case < 0.14:
        said = said.lower()
    elif case < 0.19:
        said = said.upper()
    if rng.random() < 0.07 * amount and len(said) > 6:
        said = _slip(said, rng)
    return f" {said}" if rng.random() < 0.005 else said + rng.choice((" ", "\n")) * (rng.random() < 0.015)


def _framed(said: str, rng: Random, amount: float) -> str:
    draw = rng.random()
    if draw < 0.12 * amount:
        keep = said[:1] if said[1:2].isupper() else said[:1].lower()
        return rng.choice(OPENERS) + keep + said[1:]
    return said + rng.choice(CLOSERS) if draw < 0.17 * amount else said


def _mark(said: str, rng: Random) -> str:
    if said[-1:] in ".?!":
        return ""
    if said.split()[0].lower().strip(",") in QUESTION_WORDS:
        return rng.choices(("?", "", "??", "?!", "."), (75, 18, 3, 2, 2))[0]
    return rng.choices((".", "", "!", "?", "..."), (45, 32, 16, 5, 2))[0]


def _slip(said: str, rng: Random) -> str:
    at = rng.randrange(1, len(said) - 2)
    before, letter, following, after = said[:at], said[at], said[at + 1], said[at + 2 :]
    return before + rng.choice((following, following + letter, letter * 2 + following, letter)) + after
