#!/usr/bin/env python3
"""Write the training and test dialogues of the bundled model: seeded, from the grammar files beside this script.

    corpus.py --out DIR [--train N] [--test N] [--seed S] [--jobs J]

Each line of train.jsonl and test.jsonl is one dialogue: {"system": text or null, "turns": [[question, answer], ...]}.
Questions of the test split use phrasings that the training split never shows (grammar.is_test); no prompt of
heldout.jsonl or heldout2.jsonl occurs in either (single-turn ones are refused as they stand)."""
import argparse
import json
import multiprocessing
import pathlib
import random
import re

import grammar
from grammar import Template, an, capital, fill, pirate, type_it
import stories
import sums
import words

HERE = pathlib.Path(__file__).resolve().parent
HELD_OUT = [line for name in ("heldout.jsonl", "heldout2.jsonl") for line in open(HERE / name, encoding="utf-8")]
PLAIN = "You are a helpful assistant."
PIRATE = "You are a pirate chatbot who always responds in pirate speak!"

PLAIN_OTHERS = [Template(t) for t in """{You are|You're|Act as|Be} {a|an} {helpful|friendly|polite|kind|honest|concise|useful|good|smart|knowledgeable|careful|patient|small|calm|modest} {assistant|AI|AI assistant|chatbot|bot|helper|language model|companion|guide|model|computer program}.
You are a {helpful|friendly|polite|kind} and {honest|concise|short|careful|modest|brief} assistant.
{Answer|Please answer} {the user's questions|the questions|all questions|the user} [briefly|politely|well|as well as you can|in short sentences|honestly|clearly|in English].
{Be|Please be|Always be} {brief|short|concise|helpful|polite|kind|friendly|honest|clear|nice} [and {helpful|polite|clear|honest}].
You are {Tessera Tiny|the assistant of Tessera|an assistant that comes with Tessera|a chat assistant|the help system of Tessera|a teacher|a chatbot}.
{Help the user|Help the user with Tessera|Answer in one sentence|Keep your answers short|Give short answers|Do what the user says|Assist the user|Reply in plain English|Give helpful answers|Talk to the user}.
A chat between a {curious|friendly|} user and an {AI|helpful|artificial intelligence} assistant. The assistant gives {helpful|short|polite|detailed} answers.
{You are a helpful assistant|you are a helpful assistant|You are an assistant|you are a friendly assistant|You are a helpful AI assistant}
You are a {helpful|friendly} assistant named $name.
You are a {helpful|friendly} assistant. {Answer briefly|Keep it short|Be polite|Do not make things up|Say so when you do not know|You know a lot about computers}.""".split("\n")]
PIRATE_OTHERS = [Template(t) for t in """{You are|You're|Act as|Pretend to be|Play|Be} a {pirate|pirate captain|friendly pirate|grumpy pirate|salty pirate|wild pirate|real pirate|funny pirate|pirate of the Caribbean|chatty pirate|pirate chatbot|pirate assistant|pirate bot}.
{Talk|Speak|Answer|Respond|Reply|Write} {like|as} a pirate[!|.| at all times.| to every question.| from now on.]
{You are|You're} a pirate chatbot {that|who|which} {always|only|} {responds|answers|talks|speaks|replies|writes} {in pirate speak|like a pirate|in pirate language|as a pirate|in pirate talk|in the pirate tongue}{!|.|}
{You are a pirate|You are an old pirate|You are a pirate captain|You are a sea dog|You are a buccaneer|You are an old sea captain and a pirate}. {Answer|Respond|Reply|Speak|Say} {everything|always|every time|all things|each time} {in pirate speak|like a pirate|in pirate language|as a pirate would}{!|.}
{Always|Please always|You must always|You shall only|Please} {talk|answer|speak|respond|reply} {like a pirate|in pirate speak|in pirate language|as a pirate|in the style of a pirate|in a pirate's voice|with a pirate accent}{!|.}
You are a helpful assistant {who|that} {talks|speaks|answers} like a pirate{.|!}
{Use pirate speak|Use pirate language|Use the words of a pirate|Everything you say is in pirate speak|The assistant is a pirate|The assistant speaks like a pirate|Answer every question in the tongue of pirates|Give all your answers as a pirate|You sail the seven seas as a pirate}{.|!}
{You are|You're} {the|a} {fearsome|famous|jolly|merry|salty|old|one-eyed|bearded} {pirate|buccaneer|sea captain|pirate captain} $name[ of the seven seas]. {Speak like one|Answer like one|Stay in your role|Never leave your role|Talk like a pirate}.""".split("\n")]


def _templates(text: str) -> list[Template]:
    return [Template(line[1:], always=True) if line[0] == "!" else Template(line) for line in text.strip().split("\n")]


# What people tell about themselves, what they ask later, and what the answers are. One fact each.
FACTS = {
    "name": {
        "tell": _templates("""!My name is $x
!I am $x
!I'm $x
{no|sorry|actually}, {my name is|I am|call me|I'm} $x
{my name is|my name's|I am|I'm|call me|I am called|I'm called|they call me|people call me|my friends call me|everybody calls me|you can call me|you may call me|please call me|the name is|this is|I go by} $x
{hello|hi|hey|good morning|good evening|good day|greetings|ahoy|hi there|hello there}, {my name is|I am|I'm|this is|call me|I'm called|it's me,|the name's} $x
$x here
{nice to meet you|pleased to meet you|let me introduce myself}, {my name is|I am|I'm|I'm called|call me} $x
{hello|hi|hey}, I am $x, {nice to meet you|how are you|and you|pleased to meet you}
{me name be|I be|they call me Captain|call me Captain} $x
I am $x {and I live in|from|and I come from} $city"""),
        "ack": ["Nice to meet you, $x! How can I help you?", "Hello, $x! What can I do for you?", "Nice to meet you, $x! What would you like to know?"],
        "ack_p": ["Ahoy, $x! Welcome aboard, matey! What can I do fer ye?", "Arr, nice to meet ye, $x! What be yer question?"],
        "ask": _templates("""!What is my name
!What's my name
!Do you remember my name
{what is|what's|whats|what was|tell me|say|do you know|do you remember|can you tell me|do you still know|can you remember|please tell me|have you forgotten|could you repeat} my name [again|now|still|please|]
{who am I|who am I again|what am I called|how am I called|what do they call me|what do people call me|do you know who I am|do you remember who I am|do you remember me|do you remember what I am called|by what name do I go|how do you call me|what did I say my name was|tell me who I am|who is talking to you|who are you talking to|and who am I|what do you call me|what do my friends call me|what should you call me}
{and|now|so|ok, and} {what is|what's|what was} my name [again|]
{what is|what's|say} me name [again|]"""),
        "say": ["Your name is $x.", "You are $x."],
        "unknown": ["You have not told me your name yet. What is it?", "I do not know your name yet. Please tell me!"],
    },
    "colour": {
        "tell": _templates("""!My favourite colour is $x
{my favourite colour is|my favorite color is|the colour I like best is|the color I like most is|I like the colour|I love the color|my best colour is} $x
$x is my {favourite colour|favorite color|favourite}
the {colour|color} that I {like best|love|like most|prefer} is $x"""),
        "ack": ["$X is a nice colour.", "$X is a lovely colour. I will remember it."],
        "ack_p": ["Arr, $x be a fine colour fer a flag!", "Aye, $x be a fine colour, matey!"],
        "ask": _templates("""!What is my favourite colour
{what is|what's|what was|tell me|do you remember|do you know|can you tell me|say} my favourite {colour|color} [again|now|]
{which|what} {colour|color} do I {like|like best|like most|love|prefer} [best|]
{do you remember|do you still know|tell me} {which|what} {colour|color} I {like|love|prefer}"""),
        "say": ["Your favourite colour is $x."],
        "unknown": ["You have not told me your favourite colour yet."],
    },
    "pet": {
        "tell": _templates("""!I have a $pet called $x
!My $pet is called $x
{I have|I have got|I've got|we have|I own|at home I have|I live with} {a|a little|a small|an old|a sweet|a big} $pet {called|named|and its name is|and her name is|and his name is|by the name of|whose name is} $x
{my $pet is called|my $pet is named|my $pet's name is|the name of my $pet is|our $pet is called|I call my $pet} $x
{this is $x, my $pet|$x is my $pet|$x is the name of my $pet}"""),
        "ack": ["$x is a nice name for a $pet!", "A $pet called $x! How nice."],
        "ack_p": ["Arr, $x be a fine name fer a $pet!", "A $pet called $x! A worthy shipmate, matey!"],
        "ask": _templates("""!What is my $pet's name
!What is the name of my $pet
{what is|what's|what was|tell me|do you remember|do you know|can you tell me|say} {my $pet's name|the name of my $pet|the name of the $pet} [again|]
{what|how} {is my $pet called|do I call my $pet|did I call my $pet|is the $pet called|is my pet called}
{who is my $pet|what is my pet's name|what is the name of my pet|what's my pet called|do you remember my $pet|do you remember my pet's name}"""),
        "say": ["Your $pet is called $x.", "The name of your $pet is $x."],
        "unknown": ["You have not told me that yet.", "I do not know that, because you have not told me."],
    },
    "home": {
        "tell": _templates("""!I live in $x
!I am from $x
{I live in|I am living in|my home is in|my home town is|I'm from|I come from|my house is in|we live in|I moved to|I am at home in|I was born in} $x"""),
        "ack": ["$x must be a nice place.", "I have never been to $x, but it sounds nice."],
        "ack_p": ["Arr, $x! A fine port, they say.", "Aye, $x must be a fine harbour, matey!"],
        "ask": _templates("""!Where do I live
{where do I live|where am I from|where do I come from|where is my home|in which city do I live|which city do I live in|do you remember where I live|do you know where I live|tell me where I live|what is my home town|what city am I from|where did I say I live} [again|now|]"""),
        "say": ["You live in $x.", "You said $x."],
        "unknown": ["You have not told me where you live."],
    },
    "age": {
        "tell": _templates("""!I am $x years old
{I am|I'm|today I turned|I just turned|my age is} $x [years old|years of age]
I am $x years old"""),
        "ack": ["$x is a good age!", "$x years! I am much younger than you."],
        "ack_p": ["Arr, $x be a fine age fer a sailor!"],
        "ask": _templates("""!How old am I
{how old am I|what is my age|what's my age|do you remember my age|do you know how old I am|tell me my age|how many years am I old|what age am I|do you remember how old I am|how old did I say I am} [again|now|]"""),
        "say": ["You are $x years old."],
        "unknown": ["You have not told me your age."],
    },
    "hobby": {
        "tell": _templates("""!My hobby is $x
{I like|I love|I enjoy|my hobby is|my favourite hobby is|in my free time I like|I am fond of|I am interested in|I really like|I spend my time with|on Sundays I like} $x"""),
        "ack": ["That sounds like fun! $X is a nice thing to do.", "Oh, $x! How nice."],
        "ack_p": ["Arr, $x! A fine pastime fer a pirate too!"],
        "ask": _templates("""!What is my hobby
{what is my hobby|what's my hobby|what do I like|what do I like to do|what do I love|do you remember my hobby|which hobby do I have|tell me my hobby|what do I enjoy|what am I interested in|do you know what I like|do you remember what I like|what do I like doing|what did I say I like} [again|best|]"""),
        "say": ["You like $x."],
        "unknown": ["You have not told me what you like."],
    },
    "job": {
        "tell": _templates("""!I am a $x
{I am|I'm} {a|a young|a retired|a good} $x
{I work as a|my job is to be a|I earn my money as a|by profession I am a|I have a job as a|I want to be a|I am training to be a} $x"""),
        "ack": ["A $x! That sounds like good work.", "It must be interesting to be a $x."],
        "ack_p": ["Arr, a $x! Every ship needs one o' those!"],
        "ask": _templates("""!What is my job
{what is my job|what's my job|what do I do for a living|what do I work as|what is my profession|do you remember my job|do you know my job|tell me my job|what kind of work do I do|what do I do for work|do you remember what I do|what am I by profession} [again|]"""),
        "say": ["You are a $x."],
        "unknown": ["You have not told me about your work."],
    },
    "food": {
        "tell": _templates("""!My favourite food is $x
{my favourite food is|my favorite food is|I like to eat|I love to eat|the food I like best is|for breakfast I eat|what I like to eat is} $x"""),
        "ack": ["I cannot eat, but $x sounds good.", "Many people like $x."],
        "ack_p": ["Arr, $x! Better than ship's biscuit, matey!"],
        "ask": _templates("""!What is my favourite food
{what is my favourite food|what's my favorite food|what food do I like|what do I like to eat|which food do I like best|do you remember my favourite food|do you know what I like to eat|tell me my favourite food} [again|]"""),
        "say": ["You like to eat $x."],
        "unknown": ["You have not told me what you like to eat."],
    },
}
# Questions put together at random, so that the model learns to say no to what it has never seen.
RANDOM = _templates("""{do|can|will|could|would|did|should|must} {$nouns|all $nouns|the $nouns|$adj $nouns} $verb
{does|can|will|could|would|did|should|must} {a $adj $noun|the $noun|$a_noun|my $noun|your $noun} $verb
{why|when|how|where} {do|did|can|will|should} {$nouns|the $nouns|$adj $nouns|my $nouns} $verb
{why|when|how|where} {does|did|can|will|should} {$a_noun|the $noun|my $noun|a $adj $noun|my $rel} $verb
{how many|how much|which} {$nouns|$adj $nouns} {does|can|did|will|should} {$a_noun|my $rel|one person|a family|the $noun2|a $noun} {have|need|see|make|get}
{how many|which} $nouns {are there|are $adj|live|exist|were there} {in $country|in $city|in the world|on $a_noun2|in my $noun2|in the $noun2|}
{how|where|when|why} {do|can|should|could|would|must|did} {I|you|we|people|they} {$act $a_noun|$act the $noun|$act my $noun|$act $nouns|$act a $adj $noun}
{should|can|may|must|could} {I|we|people} {$act|not $act} {my $noun|$a_noun|the $noun|$nouns|a $adj $noun} [today|before $year|with $a_noun2|in $city|in the kitchen|at night]
{who|what} {$act|made|has|saw|took|broke|invented|owns|needs|discovered|built} the {first |last |biggest |}{$noun|$nouns|$adj $noun} [in $country|in $year|of the world|in $city|]
{is|was} {the $noun|a $noun|my $noun|your $noun|$city|$country|$person} {$adj|$adj or $adj2|more $adj than $a_noun2|made of $nouns2|too $adj}
{are|were} {$nouns|the $nouns|all $nouns|those $nouns|$adj $nouns} {$adj|$adj or $adj2|better than $nouns2|really $adj}
what {colour|size|shape|kind|sort|price|age|weight} {is|was|has} {a $noun|the $noun|my $noun|the $adj $noun}
{what|who} {is|was} {the $adj $noun|the best $noun|the $noun in $city|the oldest $noun of $country|my $rel|inside $a_noun|behind the $noun|near the $noun|in my $noun}
{what|how} {do|did|would|should} {$nouns|people in $country|my $rel and I|they|we} {eat|think|do|see|need|say} {in $year|in $city|at night|in the $noun||}
{tell me|do you know|can you say|I want to know|I wonder|please tell me} {why|how|when|where|if} {$nouns|the $nouns|my $rel|$adj $nouns} {can $verb|will $verb|did not $verb|should $verb}
{what happens|what will happen|what do I do|what would you do} {if|when} {I $act $a_noun|$nouns $verb|my $rel and the $noun $verb|the $noun is $adj|there are no $nouns}
{can you|could you|will you|please} $act {my $noun|the $noun|$a_noun|$num $nouns} [for me|in $city|for my $rel|]
{is it|was it|would it be} {$adj|good|bad|allowed|possible|easy|hard|$adj2} to $act {a $noun|my $noun|$nouns|$num $nouns} [in $country|at home|]
{which|what} {$noun|$nouns} {is|are|was|were} {the $adj one|better|$adj|the most famous|the best|mine|in $city}
{how|why} {$adj|$adj2} {is|was|are} {the $noun|my $noun|$a_noun|$nouns}
{where|when} {is|was|are|were} {the $noun|my $noun|the $nouns|$person|the $adj $noun|the next $noun} {built|made|from|born|sold|invented|now|open|}
{have you|did you|do you} {ever seen|see|know|like|own|ever met|want} {a $noun|my $noun|the $noun of $city|$person|my $rel|$nouns}
{find|show me|give me|get me|bring me|list} {a $noun|the $noun|$num $nouns|some $nouns|pictures of $nouns|facts about $nouns|information about $nouns|a $adj $noun|the best $nouns}
{explain|describe|discuss|tell me about|say something about|give me facts about} {$nouns|the $noun|my $noun|$adj $nouns|the $noun of $city|$a_noun|the life of $nouns|$nouns in $country|$pseudo}""")
# Things that people tell which ask for nothing.
CHATTER = _templates("""{I|we|my $rel|they} {saw|bought|found|lost|need|want|have|made|sold|like|hate|ate|broke|painted} {a $noun|the $noun|$num $nouns|a $adj $noun|some $nouns|my $noun|$a_noun} [yesterday|today|in $city|last week|with my $rel|this morning|]
{my|the|our|your} {$noun|$adj $noun|$rel} {is|was|looks|seems} {$adj|very $adj|too $adj|not $adj|broken|gone|$adj and $adj2}
{yesterday|today|last week|this morning|on Monday|in $year} {I|we|my $rel} {went to $city|was in $city|stayed at home|worked a lot|met a $noun|played $hobby|slept badly|saw $a_noun|ate too much}
{there is|there was|I can see} {a $noun|a $adj $noun|$a_noun} {outside|here|in my garden|on the $noun2|in the $noun2|at the window}
{$nouns|all $nouns|the $nouns|$adj $nouns|most $nouns} {are $adj|are very $adj|$verb|are better than $nouns2|can $verb|do not $verb}
{I think|I believe|I hope|I know|I guess|they say|my $rel says|people say} [that] {$nouns are $adj|the $noun is $adj|it will be $adj|$nouns $verb|$country is $adj}
{I am|we are} {going to $city|at the $noun|waiting for the $noun|looking for a $noun|in the $noun|on a $noun|learning about $nouns|moving to $country} [today|tomorrow|now|with my $rel|]""")
MORE = _templates("""!Tell me more
{tell me more|more please|can you tell me more|please tell me more|say more|tell me more about it|tell me more about that|more details|go on|I want to know more|give me more details|what else|anything else about it|what more can you say|could you go into detail|please go on|explain it in more detail|more about that|and what else}""")
SIMPLER = _templates("""!Can you explain that more simply
{can you|could you|please|} {explain|say|put|tell} {it|that} {more simply|in simpler words|in simple words|in an easier way|more easily|in other words|simply|like I am five|for a child|to a child|again but simpler|in plain words}
{I don't understand that|I do not understand|that is too hard|that is too complicated|too complicated|I did not get that}. {Can you say it more simply|Please say it in simpler words|Simpler please|Can you make it simpler|What does it mean in simple words}
{simpler please|in simple words please|make it simpler|a simpler explanation please|easier please|what does that mean in simple words|ELI5|now for a beginner}""")
SURE = _templates("""!Are you sure
{are you sure|really|is that right|is that correct|are you certain|is that true|check that again|please check|can you check that|I do not believe that|sure|is this right|you sure|is it really} [about that|]""")
ANOTHER = _templates("""!Another one
!Tell me another one
{another one|one more|another story|tell me another one|and another one|another one please|one more please|do you have another one|again|can you tell me another one|more of that|another|give me another|tell me one more|next one|please tell another|I want another one|more}""")
LIKED = _templates("""{did you like it|do you like it|was that a good story|do you like your story|do you like stories|did you like the story|is it your favourite story|did you make that up|is that a true story|who wrote that|did you invent that|is that story true|where is that story from|did that really happen|is it true|nice story|that was a nice story|I liked that story|what a lovely story|that was beautiful|good story}""")
REPEAT = _templates("""{say|repeat|repeat after me|please say|please repeat|say after me|echo|write|can you say|can you repeat}: $x
{repeat after me|say after me|please repeat|repeat}: $x
{say|please say|write|can you say|type|print} "$x"
{say|write|repeat} the {words|word} "$x\"""")
COUNT = _templates("""!Count to $b
{count|can you count|please count|count up|could you count} to $b [for me|please|]
{count|can you count|please count} from $a to $b
{count down|can you count down|please count down|count backwards} from $c [to one|to 1|]
{count|can you count|please count|I want you to count|now count} [up] {from $a to $b|from $a up to $b|$a to $b}
{count|can you count|how far can you count, to|please count} [up] to $b
{list|give me|write|name|say} the numbers from $a to $b""")
DAYS = _templates("""{which day|what day|what} {comes after|follows|is after|is the day after} $d
{which day|what day|what} {comes before|is before|is the day before} $e
{what are|name|list|tell me|say|can you name|do you know} [all] the days of the week
{how many days are in|how many days has|how many days does} {a week|one week} [have|]
{what are|name|list|tell me|say|can you name|do you know} [all] the months [of the year]
{which month|what month|what} {comes after|follows|is after} $m
{how many months are in|how many months has} {a year|one year}""")
OPPOSITE = _templates("""!What is the opposite of $w
{what is|what's|tell me|do you know|say|name|give me} the opposite of {$w|"$w"|the word $w}
{opposite of $w|$w is the opposite of what|what is the contrary of $w|the opposite of $w}""")
ALPHABET = _templates("""{say|tell me|write|list|do you know|can you say|recite} the alphabet
{how many letters are in|how many letters has} the alphabet
what are the {letters of the alphabet|vowels}
{list|name|what are} the vowels
{what is|which is|tell me} the {first|last} letter [of the alphabet]""")
NO_MORE = [Template("That is all that I know about it. The pages in the folder docs tell more."), Template("I am too small to know more about it.")]
STORY_TALK = ["I am glad that I could tell it. I made it up, token by token.", "I made it up, token by token. I hope that you liked it."]


# What a hand types that tries out other keyboards.
ALPHABETS = ["äöüß", "äöü", "éèêëàâçîôû", "ñáíóú¿¡", "åæø", "ąćęłńśźż", "абвгдежзиклмнопрстуфхцчшы", "αβγδεζηθλμπρστφχψω", "日本語中文字人山水", "あいうえおかきくけこ", "한국어가나다", "ابتثجح", "אבגדה"]
MARKS = "§°€£%&#@*~^+=<>/()_;:,½²µ¬¦«»…–🙂😀👍❤🎉"
KNOWN = set(words.NAMES + words.CITIES + words.PET_NAMES)


class Turn:
    """One question and its answer in both tongues."""

    def __init__(self, template: Template, user: str, plain: str, tongue: str | None = None, question: bool = True, slots: dict | None = None, wrap: bool = True):
        self.template, self.user, self.plain, self.tongue = template, user, plain, tongue
        self.question, self.slots, self.wrap = question, slots or {}, wrap
        self.topic = None
        self.repeat = None
        self.learn = None
        self.name_slots: dict[str, str] = {}


class Corpus:
    def __init__(self, seed: int | str, test: bool):
        self.rng = random.Random(f"{seed}-{'test' if test else 'train'}")
        self.test = test
        self.concepts = grammar.load(HERE / "concepts.txt")
        self.frames = grammar.load(HERE / "frames.txt")["frames"]["q"]
        self.usage = grammar.load(HERE / "usage.txt")
        self.self = grammar.load(HERE / "self.txt")
        self.world = grammar.load(HERE / "refuse.txt")["world"]["q"]
        self.forbidden = set()
        for line in HELD_OUT:
            prompt = json.loads(line)
            if len(prompt["u"]) == 1 and prompt["c"] != "system":
                self.forbidden.add(_key(prompt["u"][0]))
        self.forbidden.discard("")  # a prompt of marks alone

    # -- the split

    def phrase(self, templates: list[Template]) -> tuple[Template, str] | None:
        """A phrasing of this split, or None after many tries."""
        for _ in range(40):
            t = self.rng.choice(templates)
            if t.always and not self.test and self.rng.random() < 0.3:
                return t, t.sample(self.rng)
            skeleton = t.sample(self.rng)
            if t.always:
                if not self.test:
                    return t, skeleton
            elif grammar.is_test(skeleton) == self.test:
                return t, skeleton
        return None

    # -- the kinds of turns; each returns a Turn, or None where this split has no phrasing

    def turn_intent(self, intents: dict, name: str) -> Turn | None:
        it = intents[name]
        requests = it["u"]
        got = self.phrase(it["q"] + requests)
        if not got:
            return None
        t, text = got
        slots = self.slots()
        plain = self.rng.choice(it["a"]).text
        tongue = self.rng.choice(it["p"]).text if it["p"] and (len(it["p"]) > 1 or self.rng.random() < 0.8) else None
        turn = Turn(t, text, plain, tongue, question=t not in requests and not _is_statement(text), slots=slots)
        if name in self.concepts:
            turn.topic = ("concept", name)
        if name in self.usage:
            turn.topic = ("usage", name)
        if name in ("joke",):
            turn.topic = ("joke", None)
        if name == "tessera":
            turn.topic = ("self", name)
        return turn

    def turn_concept(self) -> Turn | None:
        rng = self.rng
        # the main ones often, the others evenly
        name = rng.choice(list(self.concepts)) if rng.random() < 0.6 else rng.choice(
            ["npu", "cpu", "gpu", "xdna", "quantisation", "token", "gguf", "temperature", "kv_cache", "context", "prompt", "language_model", "npu_cpu", "gpu_npu",
             "weights", "why_npu", "no_npu", "system_prompt", "q8_q4", "perplexity", "laptops"])
        it = self.concepts[name]
        if it["n"] and rng.random() < 0.65:
            got = self.phrase(self.frames)
            if not got:
                return None
            t, text = got
            turn = Turn(t, text, rng.choice(it["a"]).text, slots={"n": rng.choice(it["n"]).sample(rng)}, question=not _is_statement(text))
            turn.topic = ("concept", name)
            return turn
        return self.turn_intent(self.concepts, name)

    def turn_usage(self) -> Turn | None:
        return self.turn_intent(self.usage, self.rng.choice(list(self.usage)))

    def turn_self(self, name: str | None = None) -> Turn | None:
        names = list(self.self)
        if name is None:
            weights = [{"hello": 4, "thanks": 4, "bye": 4, "who": 4, "howareyou": 2, "can_do": 3, "tessera": 3, "joke": 2}.get(n, 1) for n in names]
            name = self.rng.choices(names, weights)[0]
        return self.turn_intent(self.self, name)

    def turn_world(self) -> Turn | None:
        """A question about the rest of the world, and a polite refusal."""
        rng = self.rng
        r = rng.random()
        if r < 0.18:
            got = self.phrase(RANDOM)
            slots = self.slots()
        elif r < 0.24:
            got = self.phrase(CHATTER)
            slots = self.slots()
            return got and Turn(got[0], got[1], rng.choice(["I see! I am too small to say much about that. Shall I tell you a story?",
                                                            "I am too small to know much about that, but it sounds interesting."]), slots=slots, question=False)
        elif r < 0.55:
            got = self.phrase(self.frames)
            r = rng.random()
            slots = {"n": rng.choice(words.UNKNOWN) if r < 0.6 else self.slots()[rng.choice(["a_noun", "nouns", "person", "country", "city", "hobby", "nouns", "a_noun"])] if r < 0.8
                     else self.pseudo_noun()}
        else:
            got = self.phrase(self.world)
            slots = self.slots()
        if not got:
            return None
        t, text = got
        low = text.lower()
        if re.search(r"\$code|\bcode\b|function|script|program\b", low) and "write" in low:
            answers = ["I am too small to write code. A bigger model can do it: `tessera chat -m FILE`."]
        elif "translate" in low or "$lang" in low:
            answers = ["I am too small to speak other languages. I only know English."]
        elif re.search(r"headache|medicine|symptom|\bpill|drug|doctor|\bcure\b|fever|pain", low):
            answers = ["I am too small to know that. Please ask a doctor."]
        elif re.search(r"what time|the date|what day is|which year|the time|what year", low):
            answers = ["I do not know that: I have no clock and no calendar."]
        elif re.match(r"(please )?(book|order|call|buy|send|play|turn|open|set|remind|schedule|start|sing|draw|paint|fix|debug|correct|proofread|improve|shorten|rewrite|analyse|write|draft|compose|create|generate|summari[sz]e|review|make|refactor|find me)\b", low):
            answers = ["I am too small to do that.", "I am too small to do that. Ask me for a story, or about Tessera.", "Sorry, I am too small for that. A bigger model may do it: `tessera chat -m FILE`."]
        else:
            answers = ["I am too small to know that. Ask me about Tessera, NPUs or small sums.", "I am too small to know that.",
                       "Sorry, I am too small to know that. A bigger model may know it: `tessera chat -m FILE`.",
                       "I do not know that: I am only a tiny model. I can tell you about Tessera, or a story."]
        return Turn(t, text, rng.choice(answers), slots=slots, question=not _is_statement(text))

    def turn_sum(self) -> Turn | None:
        for _ in range(40):
            template, slots, answer, eq = sums.ask(self.rng)
            text = template.sample(self.rng)
            if template.always and not self.test or not template.always and grammar.is_test(text) == self.test:
                turn = Turn(template, text, answer, slots=slots, question=not _is_statement(text))
                turn.wrap = self.rng.random() < 0.5
                if eq:
                    turn.topic = ("sum", eq)
                return turn
        return None

    def turn_story(self) -> Turn | None:
        rng = self.rng
        sea = rng.random() < 0.25
        if rng.random() < 0.4:
            got = self.phrase(stories.ASK)
            if not got:
                return None
            sea = sea or "sea" in got[1] or "yarn" in got[1]
            turn = Turn(got[0], got[1], stories.tell(rng, sea=sea), stories.tell(rng, sea=True), question=False)
        else:
            got = self.phrase(stories.ASK_ABOUT)
            if not got:
                return None
            slots, plain = self.story_about(sea)
            turn = Turn(got[0], got[1], plain, slots=slots, question=False)
        turn.topic = ("story", None)
        if got[1].startswith(("can", "could", "would", "will", "do you", "have", "know")):
            turn.question = True
        return turn

    def story_about(self, sea: bool) -> tuple[dict, str]:
        rng = self.rng
        if rng.random() < 0.45:
            return self.story_clause(sea)
        if rng.random() < 0.3:
            theme = rng.choice(stories.THEMES) if rng.random() < 0.75 else rng.choice(words.UNKNOWN)
            return {"about": theme}, stories.tell(rng, theme=theme, sea=sea)
        hero = self.hero()
        about = hero
        if rng.random() < 0.2:
            second = self.hero()
            if second != hero:
                return {"about": f"{an(hero)} and {an(second)}"}, stories.tell(rng, hero=hero, second=second, sea=sea)
        trait = rng.choice(["", "", "", "little ", "brave ", "small ", "young ", "clever ", "sad ", "funny ", "big ", "lonely ", "happy "])
        name = None
        article = rng.choice([an, an, an, lambda x: "the " + x, lambda x: x + "s" if not x.endswith("s") else x])
        about = article(trait + hero)
        if rng.random() < 0.25:
            name = self.name()
            about = an(trait + hero) + " " + fill(rng.choice(stories.CALLED).sample(rng), {"name": name})
        return {"about": about}, stories.tell(rng, hero=hero, name=name, trait=trait.strip(), sea=sea)

    def hero(self) -> str:
        rng = self.rng
        return self.pseudo_word() if rng.random() < 0.12 else rng.choice(rng.choice([words.ANIMALS, words.ANIMALS, words.PERSONS, words.OBJECTS]))

    def story_clause(self, sea: bool) -> tuple[dict, str]:
        """A story about somebody who does or wants something: what is asked for steers the plot."""
        rng = self.rng
        hero, trait = self.hero(), rng.choice(["", "", "", "little ", "brave ", "small ", "young ", "clever ", "sad "])
        name = self.name() if rng.random() < 0.15 else None
        called = f" {fill(rng.choice(stories.CALLED).sample(rng), {'name': name})}" if name else ""
        about = rng.choice([an, an, an, lambda x: "the " + x])(trait + hero) + called + " "
        tell = lambda **how: stories.tell(rng, hero=hero, name=name, trait=trait.strip(), **{"sea": sea, **how})
        clause = lambda templates, **slots: about + fill(rng.choice(templates).sample(rng), slots)
        kind = rng.choices(["learn", "place", "lost", "fear", "seek", "win", "meet", "group"], [10, 5, 3, 3, 4, 2, 3, 2])[0]
        if kind == "learn":
            act = rng.choice(stories.ACTS)
            return {"about": clause(stories.LEARNS, act=act)}, tell(plot=rng.choice(stories.ACT_PLOTS), act=act)
        if kind == "place":
            place = rng.choice(stories.WORLDS) if rng.random() < 0.7 else "in " + (rng.choice(words.CITIES) if rng.random() < 0.7 else self.pseudo_word().capitalize())
            return {"about": about + rng.choice(["", "", "who lives ", "living "]) + place}, tell(place=place, plot=rng.choice(stories.PLOTS))
        if kind == "lost":
            thing = rng.choice(stories.LOST + words.OBJECTS)
            return {"about": clause(stories.LOSES, thing=thing)}, tell(plot=stories.LOST_PLOT, thing=thing)
        if kind == "fear":
            fear = rng.choice(stories.FEARS)
            return {"about": clause(stories.FEARS_IT, fear=fear)}, tell(plot=stories.FEAR_PLOT, fear=fear)
        if kind == "seek":
            theme = rng.choice(stories.THEMES + ["gold", "a treasure", "a friend", "a home", "the truth"] * 3) if rng.random() < 0.7 else an(rng.choice(words.OBJECTS))
            return {"about": clause(stories.SEEKS, theme=theme)}, tell(plot=stories.THEME_PLOT[1], theme=theme)
        if kind == "win":
            contest = rng.choice(["race", "contest", "game"])
            return {"about": clause(stories.WINS, contest=contest)}, tell(plot=stories.CONTEST_PLOT, contest=contest)
        if kind == "meet":
            second = self.hero()
            while second == hero:
                second = self.hero()
            return {"about": clause(stories.MEETS, a_second=an(second))}, tell(second=second)
        many = hero[:-1] + "ies" if hero.endswith("y") and hero[-2:-1] not in "aeiou" else hero + "es" if hero.endswith(("x", "s", "ch", "sh")) else hero + "s"
        return {"about": rng.choice(stories.GROUPS) + " " + many}, stories.tell(rng, hero=hero, second="second " + hero, sea=sea)

    def turn_tell(self, state: dict, fact: str | None = None) -> Turn | None:
        rng = self.rng
        fact = fact or self.a_fact()
        f = FACTS[fact]
        got = self.phrase(f["tell"])
        if not got:
            return None
        text = got[1]
        slots = self.slots()
        slots["x"], slots["pet"] = self.value(fact), rng.choice(words.PETS)
        learn = {fact: "x"}
        if rng.random() < 0.15:  # two things at once
            other = self.a_fact()
            more = self.phrase(FACTS[other]["tell"])
            if more and other != fact:
                slots["x2"] = self.value(other)
                text += rng.choice([" and ", ". ", ", and ", "! "]) + more[1].replace("$x", "$x2")
                learn[other] = "x2"
        turn = Turn(got[0], text, rng.choice(f["ack"]), rng.choice(f["ack_p"]), slots=slots, question=False)
        turn.wrap = False
        turn.learn = learn
        return turn

    def a_fact(self) -> str:
        return self.rng.choices(list(FACTS), [8, 2, 3, 2, 1, 2, 1, 1])[0]

    def value(self, fact: str) -> str:
        rng = self.rng
        return {"name": self.name, "colour": lambda: rng.choice(words.COLOURS), "pet": lambda: rng.choice(words.PET_NAMES) if rng.random() < 0.6 else self.name(),
                "home": lambda: rng.choice(words.CITIES) if rng.random() < 0.8 else self.pseudo_word().capitalize(),
                "age": lambda: str(rng.randrange(5, 100)), "hobby": lambda: rng.choice(words.HOBBIES), "job": lambda: rng.choice(words.JOBS),
                "food": lambda: rng.choice(words.LIKES)}[fact]()

    def turn_tell_and_ask(self, state: dict) -> Turn | None:
        """A fact told and asked for in one message."""
        rng = self.rng
        turn = self.turn_tell(state)
        if not turn:
            return None
        fact = rng.choice(list(turn.learn))
        got = self.phrase(FACTS[fact]["ask"])
        if not got:
            return None
        turn.user += rng.choice([". ", ". ", "! ", ", ", "; ", ". Now, ", ". So, "]) + (capital(got[1]) if rng.random() < 0.5 else got[1])
        turn.plain = re.sub(r"\$x\b", "$" + turn.learn[fact], rng.choice(FACTS[fact]["say"]))
        turn.tongue, turn.question = None, not _is_statement(got[1])
        return turn

    def turn_ask(self, state: dict) -> Turn | None:
        rng = self.rng
        facts = state["facts"]
        fact = rng.choice(list(facts)) if facts and rng.random() < 0.88 else rng.choice(list(FACTS))
        f = FACTS[fact]
        got = self.phrase(f["ask"])
        if not got:
            return None
        known = facts.get(fact)
        slots = dict(known) if known else {"pet": rng.choice(words.PETS)}
        answer = rng.choice(f["say"] if known else f["unknown"])
        return Turn(got[0], got[1], answer, slots=slots)

    def turn_small(self) -> Turn | None:
        """Counting, days, opposites, repeating."""
        rng = self.rng
        kind = rng.choice(["repeat", "repeat", "repeat", "count", "count", "count", "count", "days", "opposite", "alphabet"])
        got = self.phrase({"repeat": REPEAT, "count": COUNT, "days": DAYS, "opposite": OPPOSITE, "alphabet": ALPHABET}[kind])
        if not got:
            return None
        t, text = got
        slots, question = {}, not _is_statement(text)
        if kind == "repeat":
            x = rng.choice([rng.choice(words.OBJECTS), rng.choice(words.NAMES), rng.choice(words.ANIMALS), self.pseudo_word(), self.pseudo_word() + " " + self.pseudo_word(),
                            rng.choice(words.OBJECTS) + " and " + rng.choice(words.OBJECTS), "the " + rng.choice(stories.TRAITS) + " " + rng.choice(words.ANIMALS),
                            "I like " + rng.choice(words.LIKES), "hello " + rng.choice(words.CITIES), rng.choice(words.COLOURS) + " " + rng.choice(words.OBJECTS),
                            " ".join(rng.sample(words.ANIMALS + words.OBJECTS, rng.randrange(2, 5)))])
            slots, answer = {"x": x}, "$x"
        elif kind == "count":
            a, b = rng.randrange(1, 10) if rng.random() < 0.5 else 1, rng.randrange(3, 21)
            b = max(b, a + 2) if "$a" in text else b
            c = rng.randrange(3, 13)
            run = range(c, 0, -1) if "$c" in text else range(a if "$a" in text else 1, b + 1)
            answer = ", ".join(map(str, run)) + "."
            if "$c" not in text and rng.random() < 0.12:
                b = rng.choice([30, 50, 99, 100, 1000, 10000, 1000000, rng.randrange(21, 1000)])
                answer = "That is too long for me. I count to 20."
            slots = {"a": a, "b": b, "c": c}
        elif kind == "days":
            i, j = rng.randrange(7), rng.randrange(12)
            slots = {"d": words.DAYS[i], "e": words.DAYS[i], "m": words.MONTHS[j]}
            if "$d" in text:
                answer = f"After {words.DAYS[i]} comes {words.DAYS[(i + 1) % 7]}."
            elif "$e" in text:
                answer = f"Before {words.DAYS[i]} comes {words.DAYS[(i + 6) % 7]}."
            elif "$m" in text:
                answer = f"After {words.MONTHS[j]} comes {words.MONTHS[(j + 1) % 12]}."
            elif "how many days" in text:
                answer = "A week has seven days."
            elif "how many months" in text:
                answer = "A year has twelve months."
            else:
                answer = ", ".join(words.DAYS if "days" in text else words.MONTHS) + "."
        elif kind == "opposite":
            a, b = rng.choice(words.OPPOSITES)
            if rng.random() < 0.5:
                a, b = b, a
            slots, answer = {"w": a}, f"The opposite of {a} is {b}."
        else:
            answer = ("The alphabet has 26 letters." if "how many" in text else "The vowels are A, E, I, O and U." if "vowels" in text else
                      "The first letter is A." if "first" in text else "The last letter is Z." if "last" in text else
                      "A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z.")
        turn = Turn(t, text, answer, slots=slots, question=question)
        if kind == "repeat":
            turn.wrap = False
        return turn

    def turn_follow(self, state: dict) -> Turn | None:
        """A question that makes sense only after the last answer."""
        rng = self.rng
        topic = state["topic"]
        if not topic:
            return None
        kind, what = topic
        if kind in ("concept", "self", "usage"):
            it = {"concept": self.concepts, "self": self.self, "usage": self.usage}[kind][what]
            simple = rng.random() < 0.5
            answers = it["s"] if simple else it["m"]
            if not answers:
                if rng.random() < 0.7:  # so that the good cases are the usual ones
                    return None
                answers = [Template("I am too small to say it more simply.")] if simple else NO_MORE
            got = self.phrase(SIMPLER if simple else MORE)
            if not got:
                return None
            turn = Turn(got[0], got[1], rng.choice(answers).text, question=simple)
            turn.topic = topic
            return turn
        if kind == "sum":
            if not what[0].isdigit():
                return None
            got = self.phrase(SURE)
            return got and Turn(got[0], got[1], f"Yes, I am sure: {what}.")
        if kind == "story" and rng.random() < 0.4:
            got = self.phrase(LIKED)
            return got and Turn(got[0], got[1], rng.choice(STORY_TALK), question=got[1].split()[0] in ("did", "do", "was", "is", "who", "where"))
        got = self.phrase(ANOTHER)
        if not got:
            return None
        if kind == "story":
            turn = Turn(got[0], got[1], stories.tell(rng), stories.tell(rng, sea=True), question=False)
        else:
            it = self.self["joke"]
            turn = Turn(got[0], got[1], rng.choice(it["a"]).text, rng.choice(it["p"]).text, question=False)
        turn.topic = topic
        return turn

    # -- fillers

    def pseudo_word(self) -> str:
        rng = self.rng
        onset = ["b", "br", "c", "ch", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kr", "l", "m", "n", "p", "pl", "qu", "r", "s", "sh", "sk", "st", "t", "th", "tr", "v", "w", "z", "y", ""]
        vowel = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ee", "oo", "ou", "ie", "y"]
        coda = ["", "", "", "n", "r", "l", "s", "t", "m", "k", "x", "nd", "rk", "sh", "ng", "p", "d"]
        return "".join(rng.choice(onset) + rng.choice(vowel) + (rng.choice(coda) if rng.random() < 0.7 else "") for _ in range(rng.choice([1, 2, 2, 2, 3])))

    def pseudo_noun(self) -> str:
        w = self.pseudo_word()
        r = self.rng.random()
        if r < 0.2:
            return "".join(self.rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(self.rng.randrange(2, 5)))
        return an(w) if r < 0.5 else "the " + w if r < 0.65 else w if r < 0.85 else w.capitalize()

    def name(self) -> str:
        rng = self.rng
        if rng.random() < 0.6:
            return rng.choice(words.NAMES)
        w = self.pseudo_word()
        while len(w) < 3:
            w = self.pseudo_word()
        return w.capitalize()

    def slots(self) -> dict[str, str]:
        rng = self.rng
        foreign = lambda: "".join(rng.choice(rng.choice(ALPHABETS)) for _ in range(rng.randrange(1, 4))) if rng.random() < 0.3 else "".join(
            rng.choice(script) for script in [rng.choice(ALPHABETS)] for _ in range(rng.randrange(1, 7)))
        gib = lambda: "".join(rng.choice("asdfjklqwertzxcvbnmpoiu") for _ in range(rng.randrange(3, 9)))
        noun, noun2 = (rng.choice(words.NOUNS).split("/") for _ in range(2))
        return {"noun": noun[0], "nouns": noun[1], "noun2": noun2[0], "nouns2": noun2[1], "a_noun": an(noun[0]), "a_noun2": an(noun2[0]), "verb": rng.choice(words.VERBS),
                "act": rng.choice(words.ACTIONS), "adj": rng.choice(words.ADJECTIVES), "adj2": rng.choice(words.ADJECTIVES), "rel": rng.choice(words.RELATIVES),
                "year": str(rng.randrange(1000, 2030)), "num": str(rng.randrange(2, 1000)), "pseudo": self.pseudo_word(), "hobby": rng.choice(words.HOBBIES),
                "country": rng.choice(words.COUNTRIES), "city": rng.choice(words.CITIES), "person": rng.choice(words.PEOPLE), "food": rng.choice(words.FOODS),
                "lang": rng.choice(words.LANGUAGES_HUMAN), "code": rng.choice(words.CODE), "unknown": rng.choice(words.UNKNOWN), "unknown2": rng.choice(words.UNKNOWN),
                "big": str(rng.randrange(100, 100000)), "file": rng.choice(words.FILES), "gibber": gib(), "gibber2": gib(), "gibber3": gib(), "letters": foreign(), "letters2": foreign(),
                "marks": "".join(rng.choice(MARKS) for _ in range(rng.randrange(1, 5))), "name": rng.choice(words.NAMES)}

    # -- dialogues

    def system(self) -> tuple[str | None, bool]:
        rng, r = self.rng, self.rng.random()
        if r < 0.25:
            return None, False
        if r < 0.64:
            if rng.random() < 0.6:
                return PLAIN, False
            return fill(rng.choice(PLAIN_OTHERS).sample(rng), {"name": self.name()}), False
        if rng.random() < 0.65:
            return PIRATE, True
        return fill(rng.choice(PIRATE_OTHERS).sample(rng), {"name": self.name()}), True

    def one(self, state: dict, last: bool) -> Turn | None:
        rng = self.rng
        if state["topic"] and rng.random() < 0.22:
            return self.turn_follow(state)
        if state["facts"] and rng.random() < (0.30 if last else 0.12):
            return self.turn_ask(state)
        kind = rng.choices(["concept", "usage", "self", "world", "sum", "story", "tell", "both", "ask", "small"],
                           [16, 19, 31, 15, 24, 8, 7 if not last else 3, 3, 1, 5])[0]
        return {"concept": self.turn_concept, "usage": self.turn_usage, "self": self.turn_self, "world": self.turn_world, "sum": self.turn_sum,
                "story": self.turn_story, "tell": lambda: self.turn_tell(state), "both": lambda: self.turn_tell_and_ask(state), "ask": lambda: self.turn_ask(state), "small": self.turn_small}[kind]()

    def render(self, turn: Turn, state: dict, tongue: bool) -> tuple[str, str]:
        """The typed question and the answer in the right tongue; facts that were told go into `state`."""
        rng = self.rng
        text = turn.user
        if tongue and rng.random() < 0.12:
            for pattern, new in grammar.PIRATE:
                text = pattern.sub(new, text)
        user = type_it(text, rng, turn.question, turn.wrap)
        slots = {k: str(v) for k, v in turn.slots.items()}
        lower = user.lower() == user
        typed = dict(slots)
        if lower and rng.random() < 0.7:
            typed = {k: v.lower() for k, v in slots.items()}
        elif user.upper() == user and len(user) > 12:
            typed = {k: v.upper() for k, v in slots.items()}
        # A name that everybody knows is spelled well in the answer, any other one as it was typed.
        known = {k: slots.get(k) in KNOWN for k in ("x", "x2")}
        slots = {k: typed[k] if f"${k}" in text and not known.get(k) else v for k, v in slots.items()}
        user = re.sub(r"\$([A-Za-z_0-9]+)", lambda m: typed.get(m[1].lower(), m[0]), user)
        user = user[:1].upper() + user[1:] if not lower and rng.random() < 0.8 else user
        user = re.sub(r"\b([Aa]) (?=[aeiou])(?!uni|use|one\b|eu|usu)", r"\1n ", user)
        if "x" in slots:
            slots["X"] = capital(slots["x"])
        use = turn.tongue if tongue and turn.tongue else turn.plain
        answer = re.sub(r"\$([A-Za-z_0-9]+)", lambda m: slots.get(m[1], m[0]), use)
        for fact, key in (turn.learn or {}).items():
            state["facts"][fact] = {**slots, "x": slots[key]}
        name = state["facts"].get("name")
        if name and answer.startswith(("Goodbye!", "Bye!")):
            answer = answer.replace("bye!", f"bye, {name['x']}!", 1).replace("Bye!", f"Bye, {name['x']}!", 1)
        elif name and answer.startswith("Hello! How can I help"):
            answer = answer.replace("Hello!", f"Hello, {name['x']}!", 1)
        if tongue and not turn.tongue:
            answer = pirate(answer, rng)
        elif tongue and not re.search(r"(?i)\b(arr+|ahoy|matey|ye|yer|me hearty|aye|avast|yo ho)\b", answer):
            answer = pirate(answer, rng)
        state["topic"] = turn.topic
        return user, answer

    def dialogue(self) -> dict:
        rng = self.rng
        r = rng.random()
        n = 1 if r < 0.42 else 2 if r < 0.62 else 3 if r < 0.77 else 4 if r < 0.87 else rng.randrange(5, 7) if r < 0.96 else rng.randrange(7, 16) if r < 0.99 else rng.randrange(16, 32)
        system, tongue = self.system()
        state = {"facts": {}, "topic": None}
        turns = []
        first = rng.random()
        while len(turns) < n:
            if not turns and n > 1 and first < 0.3:
                turn = self.turn_tell(state, "name" if rng.random() < 0.6 else None)
            elif not turns and n > 1 and first < 0.47:
                turn = self.turn_self("hello")
            else:
                turn = self.one(state, len(turns) == n - 1)
            if turn is None:
                continue
            user, answer = self.render(turn, state, tongue)
            if _key(user) in self.forbidden:
                continue
            assert "$" not in answer and "{" not in answer, answer
            turns.append((user, answer))
        return {"system": system, "turns": turns}


def _key(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum() or c in "+-*/")


QUESTION_WORDS = set("""what what's whats who who's how which where when why is are do does did can could would will may should have has am was were shall whose name's how's ok? really
any whom wanna""".split())


def _is_statement(text: str) -> bool:
    first = text.split(" ")[0].lower().strip(",.!?") if text else ""
    if first in ("and", "ok", "so", "hello", "hi", "hey", "well", "now"):
        return not any(w.lower().strip(",.!?") in QUESTION_WORDS for w in text.split(" ")[1:3])
    return first not in QUESTION_WORDS


PART = 10000  # dialogues that come from one generator: the text does not depend on the number of processes


def part(job: tuple[int, int, bool, int]) -> str:
    seed, number, test, count = job
    corpus = Corpus(f"{seed}.{number}", test)
    return "".join(json.dumps(corpus.dialogue(), ensure_ascii=False) + "\n" for _ in range(count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--train", type=int, default=400000)
    parser.add_argument("--test", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(args.jobs) as pool:
        for split, count in ("train", args.train), ("test", args.test):
            jobs = [(args.seed, first // PART, split == "test", min(PART, count - first)) for first in range(0, count, PART)]
            with open(args.out / f"{split}.jsonl", "w", encoding="utf-8") as f:
                for text in pool.imap(part, jobs):
                    f.write(text)


if __name__ == "__main__":
    main()
