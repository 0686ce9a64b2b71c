"""Small stories from a story grammar: a hero, a place, a wish or a trouble, a helper, and a good end."""
import random

from grammar import an, capital, fill, Template
import words

PLACES = """in a little house by the river; at the edge of a dark forest; on a small island; in a village between two hills; under an old oak tree; in a tower by the sea;
near a quiet lake; in a warm kitchen; on top of a green hill; at the end of a long road; in the middle of a big garden; behind the old mill; in a town with red roofs;
beside a waterfall; in a cave full of echoes; on a farm with many animals; in the attic of an old school; next to a railway station; in a harbour full of ships;
in a valley full of flowers""".replace("\n", " ").split("; ")
SEA_PLACES = """on a small island; in a tower by the sea; in a harbour full of ships; on an old ship with black sails; in a cave by the sea; on a beach of white sand;
in the belly of a great ship; at the port of a far island""".replace("\n", " ").split("; ")
TRAITS = "small, brave, clever, lazy, curious, kind, shy, hungry, cheerful, quiet, lonely, careful, funny, proud, sleepy, young, old, friendly, wild, gentle, honest, busy, patient, dreamy, noisy".split(", ")
HELPERS = words.ANIMALS[:60] + ["old woman", "old man", "sailor", "shepherd", "baker", "wizard", "little girl", "little boy", "gardener", "fisherman", "giant", "fairy", "painter", "captain"]
LOST = "key, hat, red ball, golden ring, map, lantern, drum, scarf, blue button, letter, silver bell, kite, spoon, old clock, book of songs, umbrella, compass, whistle, treasure map, lucky coin".split(", ")
SPOTS = "under the bridge; behind a big stone; in a hollow tree; at the bottom of the well; under the bed; in the tall grass; on the roof; in the bird's nest; near the old gate; between the roots of a tree; in the sand by the water; behind the door".split("; ")
GIFTS = "a basket of apples; a warm pie; a song; a jar of honey; half of the cake; a shiny shell; a bunch of flowers; a big smile; a cup of hot tea; a bag of nuts; a golden coin; a soft blanket".split("; ")
FEARS = "the dark; thunder; deep water; big dogs; heights; loud noises; the forest; being alone; the wind; the sea".split("; ")
WISHES = "to see the sea; to fly; to sing; to find a friend; to learn to dance; to touch the moon; to see snow; to win the race; to build a boat; to bake the best cake; to travel far away; to climb the highest hill; to catch a star; to learn to swim; to paint the sky; to find a treasure".split("; ")
FOODS = "soup, cake, bread, pie, porridge, honey cake, apple pie, pancakes, stew, cheese".split(", ")
LESSONS = ["small steps lead far", "a good friend is the best treasure", "it is good to ask for help", "even the smallest can do great things", "kind words cost nothing",
           "sharing makes everything taste better", "one should never give up", "courage grows with every step", "home is the best place of all", "patience wins in the end"]
ENDS = ["And they lived happily ever after.", "From that day on they were the best of friends.", "That night $n slept well and smiled.", "And if you listen well, you can still hear them laugh.",
        "So $n learned that $lesson.", "And so everybody knew that $lesson.", "The end.", "And $n never forgot that day."]
OPENINGS = ["Once upon a time there was $a_trait $hero$called.", "There once was $a_trait $hero$called.", "Once there lived $a_trait $hero$called.", "Long ago there was $a_trait $hero$called."]
THEMES = """friendship, love, courage, the sea, the moon, the stars, winter, summer, the rain, a storm, treasure, a treasure, gold, music, a journey, an adventure, magic, a secret, a birthday, the forest, space,
school, a holiday, a lost key, a race, a feast, the wind, snow, night, a dream, a miracle, a mystery, a quest, kindness, hope, home, a village, the desert, the mountains, a garden, a contest, spring, autumn, a festival, a map,
a door, an island, the beach, peace, luck, time, family, christmas, a wedding, a promise, a wish, a song, dreams, honesty, a shipwreck, an NPU, a computer, numbers, a little token""".replace("\n", " ").split(", ")

PLOTS = [
    # something is lost and found
    ["$N lived $place.", "One day $n lost $his $thing {and was very sad|and did not know what to do|and began to look for it}.",
     "$N looked $spot and $spot2, but {it was not there|found nothing|there was only dust}.", "Then $n met $a_helper. \"{I can help you|Let us look together|Do not worry}\", said the $helper.",
     "{Together|Side by side|After a long search} they found the $thing $spot3.", "$N was so {happy|glad|thankful} that $he gave the $helper $gift."],
    # a wish comes true
    ["$N lived $place and {had one wish|had a big dream|dreamed of one thing}: $wish.", "{Every day|Every morning|Every evening} $he {tried and tried|practised a little|thought about it}, but {it did not work|nobody helped|it was too hard}.",
     "{One day|One morning|One night} $a_helper came by and said: \"{You only need a little patience|Try it once more, and do not be afraid|I will show you how}.\"",
     "{So $n tried again|$N took a deep breath and tried again|$N listened well and tried once more}, and {this time it worked|suddenly the wish came true|at last it worked}.", "{Everybody cheered|The $helper clapped|All the animals were amazed}, and $n {laughed with joy|danced in a circle|was proud}."],
    # a fear is overcome
    ["$N lived $place.", "$N was {afraid of|very much afraid of} $fear.", "One {evening|day|night} $n heard {a small voice|somebody crying|a call for help} $spot.",
     "It was $a_helper, who {was stuck|had lost the way|could not get home}.", "$N {was still afraid, but went on|thought for a moment and then went to help|took a deep breath and went there}.",
     "$He {helped the $helper|brought the $helper home}, and {the fear was gone|$fear did not seem so bad any more}.", "\"Thank you\", said the $helper, \"you are {very brave|the bravest of all}.\""],
    # a feast is shared
    ["$N lived $place and made the best $food in the land.", "{One cold day|One winter evening|One rainy night} $a_helper knocked on the door and said: \"{I am so hungry|I have not eaten for two days|It smells so good here}.\"",
     "$N had only {a little|one plate of|a small pot of} $food left, but $he {shared it|gave half of it away|shared it gladly}.", "{The next morning|When the sun rose|The next day} $n found $gift {in front of the door|on the table|at the gate}.",
     "The $helper had left it there {as a thank-you|to say thank you|in the night}."],
    # a journey
    ["{One morning|One day|One spring day} $n left $his home $place {to see the world|to look for adventure|and walked along the river}.",
     "On the way $he met $a_helper, and they {went on together|became friends|walked side by side}.", "They crossed {a wide river|a dark forest|a high mountain|a windy hill}, and {it was not easy|they were very tired|they sang all the way}.",
     "At last they came to {a golden gate|a bright valley|the sea|a small garden full of light}, and there they found $gift.", "$N {looked at it for a long time|smiled|was glad}, and then they {went home again|went home and told everybody}."],
    # a contest
    ["$N lived $place.", "{One day|One summer} there was a great $contest, and {everybody wanted to win|all the animals came}.", "The $helper laughed and said: \"{You are much too small|You can never win|You are too slow}.\"",
     "But $n {did not give up|had a clever plan|went on, step by step}.", "{In the middle of the $contest|Near the end} the $helper fell {into a ditch|into the mud|over a root}, and $n {stopped to help|pulled the $helper out}.",
     "They {crossed the line together|came in last, but hand in hand|finished side by side}, and {everybody clapped|both of them won|the whole village cheered}."],
    # a night visitor
    ["$N lived $place.", "{One night|One stormy night} there was a {strange sound|soft knock|bright light} $spot.", "$N {took a lantern and went out|looked out of the window|crept closer}.",
     "There sat $a_helper, {wet and cold|tired from a long way|lost and alone}.", "\"Come in\", said $n, and gave the $helper $gift.", "{In the morning|When the morning came} the $helper {told a wonderful story|sang the most beautiful song|was gone, but a silver bell lay on the table}, and $n {was never lonely again|kept it for ever}."],
]
PLOTS = [[Template(s) for s in p] for p in PLOTS]
# a theme that is not a hero: it is what the hero looks for or hears of
THEME_PLOT = [[Template(s) for s in p] for p in [
    ["$N lived $place.", "{All day long|Every night|Every day} $n thought about $theme.", "One day $a_helper said: \"{I know a story about|Let me tell you something about|Come, I will show you} $theme.\"",
     "They {sat down|talked until the sun went down|walked for a whole day}, and $n {listened well|asked many questions|learned much}.", "{In the end|At last} $n understood: {all that matters is a good friend|some things are found only together|$lesson}."],
    ["$N lived $place and {wanted to know all about|dreamed of|went out to look for} $theme.", "$He asked $a_helper, but the $helper {only laughed|did not know|only shook the head}.", "So $n {packed a bag|took a map and a lantern|went on alone} and walked {for three days|over the hills|until the evening}.",
     "{There, at last,|And there} $he found it: $theme, {just as in the old songs|brighter than in any dream|and it was wonderful}.", "$N {told everybody at home|ran home to tell the $helper|kept it in $his heart}."],
]]
# the hero wants to learn something
ACT_PLOTS = [[Template(s) for s in p] for p in [
    ["$N lived $place. {More than anything|Most of all} $n wanted to $act.", "But {every time that $he tried, it went wrong|the first try went wrong, and so did the second|it was not easy at all}.",
     "\"A $hero cannot $act\", said {the neighbours|the others|everybody}.", "{Then|One day} $a_helper came by and said: \"{I will show you how|Let us try it together|Begin small, and do not give up}.\"",
     "{Day after day|Every day|Every evening} they practised, and {one morning|at last|after seven days} $n could $act.", "$N was so {proud|happy|glad} that $he gave the $helper $gift."],
    ["$N lived $place.", "{Nobody there|No other $hero} could $act, but $n {wanted to learn it|dreamed of it day and night}.",
     "So $he went to $a_helper, who was {known for it|the best of all}, and asked: \"Will you teach me to $act?\"", "\"{Yes|Gladly|Of course}\", said the $helper, \"but {it takes time|you need patience|you must practise}.\"",
     "$N practised {all winter|for many weeks|until the leaves fell}, and {in the end|in spring|one fine day} $he {could $act better than anyone|learned to $act}.", "{Everybody came to see it|The $helper was proud|The whole village cheered}."],
]]
LOST_PLOT, WISH_PLOT, FEAR_PLOT, CONTEST_PLOT = PLOTS[0], PLOTS[1], PLOTS[2], PLOTS[5]
ACTS = """paint, sing, fly, dance, cook, read, swim, draw, write, climb trees, play the drum, play the flute, ride a bicycle, count, whistle, bake bread, sail, juggle, skate, play chess, tell jokes,
speak, run fast, jump high, knit, garden, build a boat, build a house, make music, do magic, speak with birds, play the piano, cook soup, laugh, sleep, win a race, bake a cake, write letters, catch fish,
ride a horse, tell stories, be brave, make friends, do sums, plant a tree, mend clocks, read maps, tie knots, play football, draw maps""".replace("\n", " ").split(", ")
WORLDS = """on the moon; in space; under the sea; in the desert; in a castle; in the mountains; in the city; in the jungle; on a train; in a library; at the North Pole; in a clock; on a star; in a school;
on an island; on Mars; in the snow; in the clouds; in a zoo; in a circus; on a ship; in a lighthouse; in a bakery; in the woods; in a computer""".replace("\n", " ").split("; ")
LEARNS = [Template(t) for t in ["{who|that} {learns|learned|wants|wanted|tries|would like} to $act", "{who|that} {cannot|can't|could not|can not yet} $act", "learning to $act", "that dreams: it wants to $act",
                                "{who|that} {wants to learn|must learn|tries to learn|teaches itself|finds out how} to $act"]]
LOSES = [Template(t) for t in ["{who|that} {lost|loses|has lost|cannot find|looks for|searches for|misplaced} {his|her|its|a} $thing", "and {his|her|its|a} lost $thing", "and a lost $thing"]]
FEARS_IT = [Template(t) for t in ["{who|that} {is|was} {afraid|scared} of $fear", "afraid of $fear", "{who|that} fears $fear", "{who|that} {is|was} not afraid of $fear any more"]]
SEEKS = [Template(t) for t in ["in search of $theme", "looking for $theme", "{who|that} {looks for|searches for|finds|wants to find|seeks|dreams of|wants|hunts for|discovers} $theme", "and $theme"]]
WINS = [Template(t) for t in ["{who|that} {wins|won|wants to win|runs in|takes part in|loses} a $contest", "in a $contest", "and the great $contest"]]
MEETS = [Template(t) for t in ["{who|that} {meets|met|finds|helps|saves|visits|becomes friends with} $a_second", "and {his|her|its} friend, $a_second", "and $a_second who {become friends|meet|travel together|help each other}"]]
GROUPS = ["two", "three", "two small", "two brave", "a pair of", "two little", "some", "four"]
ASK = [Template(t, always=t[0] == "!") if t[0] != "!" else Template(t[1:], always=True) for t in """!Tell me a story
!Tell me a short story
!tell me a story
{tell|write|give|read} {me|us} {a story|a short story|a little story|a small story|a nice story|a bedtime story|a fairy tale|a tale|a funny story|one of your stories|some story|a happy story|a sad story|a good story|a new story|a quick story} [please]
{can|could|would|will} you {please |}{tell|write|make up|invent|give|read} {me |us |}{a story|a short story|a little story|a bedtime story|a fairy tale|a tale|a nice story}
{do you know|have you got|do you have|know} {a story|any stories|a good story|a nice story|some stories|a bedtime story|a fairy tale}
{I want|I would like|I'd like|I would love|I want to hear|I'd like to hear|I would like to hear|let me hear|let us have} {a story|a little story|a bedtime story|a short tale|one of your stories|a tale|a fairy tale}
{a story please|please, a story|story time|it is time for a story|a bedtime story please|make up a story|invent a story|tell a story|tell a tale|a story for my son|a story for the children|once upon a time|begin a story|story please|story|tell stories|let's hear a story|write something|surprise me with a story|a story, please|tell me something nice|read to me}
{I am bored|I can't sleep|I cannot sleep|The children want to sleep}, {tell me a story|please tell a story|I need a story|tell me something}
{spin me|spin us|tell me|give me} {a yarn|a tale|a sea story|a tale of the sea|an old tale}
{tell|write} {a story|a short story|a tale} for {my daughter|my son|a child|the kids|my grandmother|my class|me}
{invent|make up|think up|come up with|imagine|tell|write|read|create|improvise} {something|something nice|something short|something sweet|anything|a little something} {for my kids|for the children|for bedtime|for a child|for my son|for the little ones|at bedtime|before we sleep|for tonight|for my daughter at bedtime}
{my kids|the children|my son|my daughter|the kids} {want|need|would like|wants|love} {a story|a bedtime story|a tale|to hear a story|something before sleep}""".split("\n")]
ASK_ABOUT = [Template(t, always=t[0] == "!") if t[0] != "!" else Template(t[1:], always=True) for t in """!Tell me a story about $about
!tell me a story about $about
{story|a story|tale|a tale|bedtime story|a short story|short story|a little tale|fairy tale|a yarn} {about|with|of} $about [please|]
{tell|write|give|read} {me|us} {a story|a short story|a little story|a small story|a bedtime story|a fairy tale|a tale|a funny story|something|a nice story} {about|with|of} $about
{can|could|would|will} you {please |}{tell|write|make up|invent|give} {me |us |}{a story|a short story|a little story|a tale|something} {about|with|of} $about
{do you know|have you got|do you have} {a story|a tale|any stories|a good story} {about|with|of} $about
{I want|I would like|I'd like|I would love|I want to hear|I'd like to hear|let me hear} {a story|a tale|a little story|something|more|} about $about
{a story about|story about|a tale of|make up a story about|invent a story about|a short story with|tell a tale of|write a story about|write about|tell a story about|now a story about|another story about|one about|and one about|a bedtime story about|the story of|tell me about the adventures of} $about [please]
{write|tell|make up} {a short tale|a tale|a little tale|a story} {with $about in it|in which $about appears|where $about is the hero}
{spin me|spin us|give me} {a yarn|a tale|a sea story} {about|of} $about""".split("\n")]
CALLED = [Template(t) for t in ["{called|named|whose name is|by the name of} $name", "{called|named} $name"]]


SHE = set(words.FEMALE + "girl, queen, princess, witch, fairy, old woman, grandmother, king's daughter, mermaid, little girl, hen, cow".split(", "))
HE = set("boy, king, prince, knight, wizard, giant, dwarf, farmer, sailor, pirate, captain, fisherman, old man, little boy, rooster, postman".split(", "))


def pronouns(rng: random.Random, hero: str, name: str | None) -> tuple[str, str]:
    if hero in SHE or name in SHE:
        return "she", "her"
    if hero in HE or name in words.NAMES:
        return "he", "his"
    if name or hero in words.PERSONS:
        return rng.choice([("he", "his"), ("she", "her")])
    return "it", "its"


def tell(rng: random.Random, hero: str | None = None, name: str | None = None, second: str | None = None, theme: str | None = None, trait: str = "",
         sea: bool = False, plot: list | None = None, **fixed: str) -> str:
    """A story of five to eight sentences. `fixed` sets slots of the plot, such as the thing that is lost."""
    if hero is None:
        hero = rng.choice(words.ANIMALS[:70] + words.PERSONS + ["robot", "pirate", "sailor", "captain"] * (6 if sea else 1))
    helper = second or rng.choice([h for h in HELPERS if h != hero])
    trait = trait or rng.choice(TRAITS)
    if hero.split(" ")[0] in ("old", "little", "baby"):
        trait = rng.choice([t for t in TRAITS if t not in ("old", "young", "small")])
    if name is None and rng.random() < 0.6:
        name = rng.choice(words.NAMES)
        while hero in HE and name in SHE or hero in SHE and name not in SHE:
            name = rng.choice(words.NAMES)
    he, his = pronouns(rng, hero, name)
    spots = rng.sample(SPOTS, 3)
    n = name or f"the {hero}"
    slots = {"hero": hero, "called": f" called {name}" if name else "", "a_trait": an(trait), "n": n, "N": capital(n), "he": he, "He": capital(he), "his": his,
             "place": rng.choice(SEA_PLACES if sea else PLACES), "thing": rng.choice(LOST), "spot": spots[0], "spot2": spots[1], "spot3": spots[2],
             "helper": helper, "a_helper": an(helper), "gift": rng.choice(GIFTS), "fear": rng.choice(FEARS), "wish": rng.choice(WISHES),
             "food": rng.choice(FOODS), "lesson": rng.choice(LESSONS), "theme": theme, "contest": rng.choice(["race", "contest", "game"])}
    slots.update(fixed)
    plot = plot or rng.choice(THEME_PLOT if theme else PLOTS)
    text = [rng.choice(OPENINGS)] + [t.sample(rng) for t in plot] + [rng.choice(ENDS)]
    out = " ".join(text)
    # slots with capitals cannot be told apart by fill()'s pattern, so they go first
    for key in ("N", "He"):
        out = out.replace("$" + key + " ", slots[key] + " ").replace("$" + key + ",", slots[key] + ",")
    return fill(out, slots)
