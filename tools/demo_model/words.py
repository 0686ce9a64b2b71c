"""Word lists that fill the slots of the corpus: plain words and names, written down for this purpose."""


def _list(text: str) -> list[str]:
    return [w.strip() for w in text.replace("\n", " ").split(",") if w.strip()]


NAMES = _list("""
Anna, Ben, Clara, David, Emma, Felix, Greta, Henry, Ida, John, Kate, Leo, Mia, Noah, Olivia, Paul, Rosa, Simon, Tina, Victor, Wendy, Adam,
Alice, Alex, Amir, Amy, Andrew, Anita, Arthur, Aisha, Bella, Bob, Boris, Brenda, Bruno, Carl, Carla, Carlos, Carol, Charles, Charlie, Chen,
Chloe, Chris, Cindy, Dan, Dana, Daniel, Daria, Diana, Diego, Dora, Doris, Dylan, Eddie, Edgar, Elena, Eli, Elias, Elsa, Emil, Emily, Eric,
Erik, Eva, Evan, Fatima, Fiona, Frank, Frida, Gabriel, George, Gina, Gloria, Grace, Hanna, Hannah, Hans, Harry, Hassan, Heidi, Helen, Hiro,
Irene, Iris, Isaac, Isabel, Ivan, Ivy, Jacob, James, Jane, Janet, Jason, Jay, Jenny, Jim, Joan, Joe, Joel, Jonas, Jorge, Joy, Juan,
Judy, Julia, Julian, Karen, Karl, Kelly, Ken, Kevin, Kim, Kira, Kurt, Laila, Lara, Laura, Lea, Leila, Leon, Lily, Linda, Lisa, Liz,
Lola, Louis, Lucas, Lucy, Luis, Luke, Luna, Lydia, Maria, Marco, Margo, Marie, Mark, Martha, Martin, Mary, Matt, Max, Maya, Mei, Mike,
Mila, Mina, Mona, Nadia, Nancy, Nate, Nick, Nina, Nora, Norman, Omar, Oscar, Otto, Pablo, Paula, Pedro, Peter, Petra, Phil, Pia,
Rachel, Raj, Ralph, Ravi, Rita, Robert, Robin, Roger, Roman, Ron, Ruby, Ruth, Ryan, Sally, Samuel, Sandra, Sara, Sarah, Sasha, Sean, Sofia,
Sonia, Stan, Stella, Steve, Sue, Susan, Sven, Tara, Ted, Theo, Thomas, Tim, Toby, Tony, Tracy, Uma, Ursula, Vera, Vincent, Viola, Walter,
Will, William, Yara, Yuki, Yusuf, Zoe, Zara, Mohammed, Ahmed, Wei, Lin, Sanjay, Deepa, Kofi, Ama, Chidi, Ngozi, Olga, Dmitri, Natasha,
Lars, Astrid, Bjorn, Freya, Pierre, Amelie, Jacques, Giulia, Matteo, Paolo, Ines, Rafael, Lucia, Mateo, Kenji, Sakura, Akira, Minh, Linh, Bao""")

FEMALE = _list("""
Anna, Clara, Emma, Greta, Ida, Kate, Mia, Olivia, Rosa, Tina, Wendy, Alice, Amy, Anita, Aisha, Bella, Brenda, Carla, Carol, Chloe, Cindy, Dana, Daria, Diana, Dora, Doris, Elena,
Elsa, Emily, Eva, Fatima, Fiona, Frida, Gina, Gloria, Grace, Hanna, Hannah, Heidi, Helen, Irene, Iris, Isabel, Ivy, Jane, Janet, Jenny, Joan, Joy, Judy, Julia, Karen, Kelly, Kim, Kira,
Laila, Lara, Laura, Lea, Leila, Lily, Linda, Lisa, Liz, Lola, Lucy, Luna, Lydia, Maria, Margo, Marie, Martha, Mary, Maya, Mei, Mila, Mina, Mona, Nadia, Nancy, Nina, Nora, Paula, Petra, Pia,
Rachel, Rita, Ruby, Ruth, Sally, Sandra, Sara, Sarah, Sofia, Sonia, Stella, Sue, Susan, Tara, Tracy, Uma, Ursula, Vera, Viola, Yara, Yuki, Zoe, Zara, Deepa, Ama, Ngozi, Olga, Natasha, Astrid,
Freya, Amelie, Giulia, Ines, Lucia, Sakura, Linh""")

CITIES = _list("""
Paris, London, Berlin, Rome, Madrid, Vienna, Prague, Oslo, Dublin, Athens, Warsaw, Cairo, Tokyo, Delhi, Sydney, Boston, Chicago, Toronto, Lima,
Nairobi, Hamburg, Munich, Milan, Naples, Porto, Seville, Lyon, Geneva, Zurich, Bern, Brussels, Helsinki, Copenhagen, Stockholm,
Budapest, Bucharest, Sofia, Belgrade, Zagreb, Istanbul, Ankara, Moscow, Kyiv, Riga, Tallinn, Vilnius, Mumbai, Bangkok, Hanoi, Seoul, Beijing,
Shanghai, Osaka, Kyoto, Jakarta, Manila, Singapore, Melbourne, Perth, Auckland, Seattle, Denver, Austin, Dallas, Miami, Atlanta, New York,
San Francisco, Los Angeles, Montreal, Vancouver, Bogota, Santiago, Buenos Aires, Rio, Lagos, Accra, Tunis, Cape Town, Dakar, Glasgow,
Manchester, Bristol, York, Oxford, Cambridge, Edinburgh, Cardiff, Belfast, Bath, Turin, Venice, Florence, Dresden, Leipzig, Cologne, Krakow""")

COUNTRIES = _list("""
France, Germany, Italy, Spain, Portugal, England, Ireland, Scotland, Norway, Sweden, Finland, Denmark, Poland, Austria, Switzerland, Greece,
Turkey, Russia, Ukraine, Hungary, Romania, Bulgaria, Serbia, Croatia, Egypt, Morocco, Kenya, Nigeria, Ghana, Ethiopia, South Africa, India,
China, Japan, Korea, Vietnam, Thailand, Indonesia, Malaysia, Australia, New Zealand, Canada, Mexico, Argentina, Chile, Peru, Colombia,
Venezuela, Cuba, Iran, Iraq, Israel, Jordan, Lebanon, Pakistan, Nepal, Iceland, Belgium, the Netherlands, Estonia, Latvia, Lithuania,
the USA, the United States, the United Kingdom, Saudi Arabia, Tanzania, Uganda, Bolivia, Ecuador, Uruguay, Cambodia, Sri Lanka, Kazakhstan""")

PEOPLE = _list("""
Albert Einstein, Isaac Newton, Mozart, Beethoven, Shakespeare, Napoleon, Julius Caesar, Cleopatra, Marie Curie, Galileo, Leonardo da Vinci, Picasso,
Van Gogh, Gandhi, Nelson Mandela, Abraham Lincoln, George Washington, Elvis, the Beatles, Michael Jackson, Madonna, Taylor Swift, Messi, Ronaldo,
Roger Federer, Usain Bolt, Steve Jobs, Bill Gates, Alan Turing, Ada Lovelace, Linus Torvalds, Charles Darwin, Aristotle, Plato, Socrates,
Columbus, Marco Polo, Queen Victoria, Bach, Chopin, Goethe, Kafka, Tolstoy, Jane Austen, Mark Twain, Charles Dickens, Harry Potter, Sherlock Holmes,
Batman, Superman, Darth Vader, Frodo, Zeus, Buddha, the pope, the king of England, Elon Musk, Obama, Stephen Hawking, Tesla, Edison, Gauss, Euler""")

# things that the model knows nothing about, as they stand in a question
UNKNOWN = _list("""
a black hole, black holes, a quark, an atom, atoms, a molecule, gravity, magnetism, electricity, a volcano, volcanoes, an earthquake, a tsunami, a rainbow,
lightning, thunder, a hurricane, climate change, the greenhouse effect, evolution, DNA, a gene, a cell, a virus, bacteria, an antibiotic,
a vaccine, the immune system, the heart, the liver, the human body, the skeleton, a dinosaur, dinosaurs, a whale, a mammal, a reptile,
an insect, honey, a tree, the rain forest, a desert, the Sahara, the Nile, the Amazon, the Alps, the Himalayas, the Great Wall, the Eiffel Tower, the
pyramids, the Colosseum, Stonehenge, the Renaissance, the French Revolution, the Cold War, the First World War, World War Two, the Middle Ages,
democracy, capitalism, communism, socialism, inflation, a recession, a mortgage, insurance, a tax, the stock market, a share, a bond, bitcoin,
blockchain, a blockchain, cryptocurrency, an NFT, a bank, the European Union, the United Nations, NATO, the constitution, human rights, philosophy,
stoicism, existentialism, religion, Buddhism, Christianity, Islam, yoga, meditation, psychology, a dream, love, happiness, justice, art, impressionism,
surrealism, jazz, classical music, a symphony, an opera, a violin, a guitar, a piano, ballet, football, basketball, cricket, tennis, chess, poker,
golf, the Olympics, the World Cup, a marathon, pizza, sushi, curry, chocolate, coffee, tea, wine, beer, cheese, bread, pasta, a recipe, a vitamin, protein,
a calorie, a diet, diabetes, cancer, malaria, the flu, a cold, asthma, an allergy, a migraine, a dentist, a lawyer, a contract, a passport, a visa, a car,
an engine, a bicycle, a train, an airplane, a rocket, a satellite, a telescope, a microscope, a laser, a battery, solar power, nuclear power, nuclear fusion,
a wind turbine, oil, steel, plastic, glass, gold, a diamond, hydrogen, oxygen, carbon, iron, the periodic table, a chemical reaction, an acid, algebra, geometry,
calculus, an integral, a derivative, a prime number, pi, a logarithm, statistics, probability, a theorem, Fermat's last theorem, infinity, Python, Java,
JavaScript, a linked list, a hash table, a binary tree, quicksort, recursion, a pointer, a regular expression, SQL, a database, HTML, CSS, Docker, Kubernetes, git,
a web server, HTTP, TCP, an IP address, DNS, a firewall, encryption, a password manager, an FPGA, a transistor, a capacitor, a quantum computer,
quantum mechanics, relativity, string theory, entropy, thermodynamics, dark matter, the big bang, a galaxy, the moon, the sun, Mars, Jupiter, a comet, a planet, the
solar system, the Milky Way, a light year, time travel, photosynthesis, a mushroom, an orchid, a penguin, an octopus, a shark, a lion, an elephant,
a kangaroo, a butterfly, a spider, grammar, a verb, a noun, an adjective, a metaphor, a sonnet, Hamlet, Macbeth, the Odyssey, the Bible,
the Koran, mythology, Greek mythology, a novel, a comic, a film, Star Wars, Star Trek, Titanic, Netflix, YouTube, Facebook, Twitter, Instagram, TikTok, Wikipedia,
Google, Apple, Microsoft, Amazon, Tesla cars, the iPhone, Android, Windows, macOS, Bluetooth, 5G, WiFi, a router, a printer, a camera, a television, a
microwave, a fridge, a washing machine, a vacuum cleaner, cement, architecture, a skyscraper, a bridge, a tunnel, a canal, feudalism, slavery, the
Vikings, the Aztecs, the Mongols, the Ottoman Empire, the Soviet Union, Napoleon, a unicorn, a ghost, an alien, a vampire, a zombie, Santa Claus,
Christmas, Easter, Halloween, Ramadan, Diwali, a wedding, a funeral, a haircut, fashion, a suit, shoes, perfume, soap, gardening, compost, a cactus, roses,
carpentry, plumbing, knitting, origami, pottery, photography, karate, judo, boxing, skiing, surfing, sailing boats, fishing, hiking, camping, the weather, a cloud,
fog, snow, hail, an iceberg, a glacier, a coral reef, tides, the equator, the North Pole, Antarctica, a compass, a map, longitude, a time zone, the calendar,
a leap year, a century, the metric system, a mile, a kilogram, a decibel, sound, light, color theory, a prism, a mirror, a shadow, blood, oxygen, a neuron,
memory loss, sleep, caffeine, alcohol, nicotine, aspirin, penicillin, surgery, an X-ray, a hospital, a pharmacist, a nurse, a vet, a horse, a cow, a chicken, farming,
wheat, rice, corn, potatoes, tomatoes, bananas, apples, oranges, garlic, salt, sugar, pepper, vinegar, yeast, fermentation, kimchi, tofu, a burrito, ramen,
an omelette, a croissant, cheesecake, ice cream, whisky, champagne, tequila, matcha, espresso, a latte""")

LANGUAGES_HUMAN = _list("""French, German, Spanish, Italian, Portuguese, Dutch, Swedish, Polish, Russian, Greek, Turkish, Arabic, Hebrew, Hindi, Chinese, Japanese,
Korean, Latin, Finnish, Czech, Hungarian, Norwegian, Danish, Thai, Vietnamese, Swahili, Welsh, Irish, Persian, Urdu""")

CODE = _list("""Python, Java, JavaScript, C++, Rust, Go, Ruby, PHP, Perl, Haskell, Lisp, bash, SQL, HTML, CSS, TypeScript, Kotlin, Swift, C#, R, Matlab, Fortran, assembly""")

FOODS = _list("""pizza, soup, bread, pancakes, curry, lasagne, sushi, salad, a cake, cookies, rice, noodles, an omelette, goulash, paella, a pie, stew, dumplings,
tacos, roast beef, fried eggs, tomato sauce, mashed potatoes, apple pie, chocolate cake, muffins, hummus, falafel, pad thai, pasta, jam, cheese, tea, coffee""")

OBJECTS = _list("""lamp, chair, table, window, door, kettle, bicycle, clock, mirror, bucket, spoon, candle, blanket, ladder, bottle, basket, hammer, pencil, guitar, drum,
piano, bell, kite, balloon, umbrella, hat, shoe, coat, scarf, button, coin, key, lantern, map, boat, wagon, train, tractor, car, bus, plane, rocket, stone,
leaf, apple, pear, pumpkin, carrot, potato, cake, cookie, teapot, cup, book, letter, painting, statue, tower, bridge, castle, house, mill, toaster, fridge, sofa,
pillow, brush, broom, rope, anchor, flag, robot, computer, telephone, camera, radio, magnet, snowman, scarecrow, doll, puppet, toy, ball, cloud, star, moon, sun,
river, mountain, tree, flower, rose, mushroom, chip, cable, screen, keyboard, mouse pad, sandwich, pizza, pancake, sock, sweater, belt, ring, crown, sword, shield,
wheel, bench, fence, garden, well, sailboat, lighthouse, compass, telescope, suitcase, notebook, violin, trumpet, whistle""")

ANIMALS = _list("""fox, rabbit, mouse, bear, owl, cat, dog, frog, duck, hedgehog, squirrel, badger, wolf, deer, horse, pony, cow, goat, sheep, pig, hen, rooster, goose, swan,
crow, robin, sparrow, eagle, parrot, penguin, seal, whale, dolphin, shark, octopus, crab, snail, turtle, lizard, snake, spider, ant, bee, butterfly, beetle, worm,
elephant, lion, tiger, monkey, giraffe, zebra, hippo, rhino, camel, kangaroo, koala, panda, otter, beaver, mole, bat, hamster, kitten, puppy, lamb, donkey, fish,
raccoon, moose, dragon, unicorn, dinosaur, llama, alpaca, sloth, flamingo, peacock, pigeon, rat, weasel, ferret, cricket, firefly, ladybird, starfish, jellyfish""")

PERSONS = _list("""girl, boy, king, queen, prince, princess, knight, farmer, baker, sailor, pirate, captain, wizard, witch, giant, dwarf, fairy, elf, monster, ghost, robot, astronaut,
teacher, doctor, painter, gardener, shepherd, miller, fisherman, tailor, cook, inventor, thief, hunter, old man, old woman, grandmother, child, clown, detective, troll,
alien, mermaid, snowman, musician, student, programmer, nurse, king's daughter, goblin, ogre, magician, little girl, little boy, baby dragon, postman, carpenter, dancer""")

COLOURS = _list("blue, red, green, yellow, orange, purple, pink, black, white, brown, grey, gold, silver, turquoise, violet, beige, dark blue, light green, crimson, teal")

PETS = _list("cat, dog, rabbit, hamster, parrot, horse, fish, turtle, pony, mouse, bird, snake, rat, goldfish, guinea pig, lizard, kitten, puppy, budgie, ferret, donkey, goat, chicken, tortoise")

PET_NAMES = _list("""Rex, Bella, Max, Luna, Milo, Coco, Rocky, Daisy, Buddy, Lola, Charlie, Nala, Simba, Felix, Minka, Oreo, Ginger, Shadow, Bruno, Lucky, Fluffy, Spot, Snowball, Pepper, Mango, Pickles,
Peanut, Mochi, Ziggy, Sparky, Toffee, Cookie, Bandit, Tiger, Kitty, Rusty, Muffin, Pluto, Smokey, Bubbles, Nemo, Socks, Sammy, Misty, Rosie, Poppy, Duke, Molly, Honey, Jasper""")

HOBBIES = _list("""swimming, reading, cooking, chess, football, painting, dancing, hiking, gardening, singing, cycling, sailing, running, climbing, knitting, fishing, photography, drawing, music, tennis,
baking, travelling, writing, programming, yoga, skiing, riding, camping, puzzles, astronomy, surfing, basketball, pottery, theatre, poetry, playing the piano, playing the guitar, board games,
video games, bird watching, woodwork, judo, skating, rowing, sewing""")

JOBS = _list("""teacher, doctor, nurse, student, programmer, engineer, baker, cook, painter, farmer, lawyer, pilot, sailor, driver, singer, writer, scientist, gardener, police officer, firefighter,
dentist, carpenter, plumber, musician, librarian, waiter, architect, electrician, shop owner, journalist, accountant, designer, mechanic, tailor, actor, translator, biologist, physicist""")

LIKES = _list("""pizza, cheese, coffee, tea, chocolate, apples, strawberries, pasta, soup, rice, bread, pancakes, ice cream, salad, curry, sushi, cake, cookies, oranges, bananas, noodles, honey, potatoes, cherries, tomatoes""")

FILES = _list("""llama-3.2-1b.gguf, model.gguf, llama-3-8b-q4_0.gguf, mistral-7b.gguf, tinyllama.gguf, smollm.gguf, my-model.gguf, Llama-3.2-3B-Q4_K_M.gguf, llama3.gguf,
qwen2-0.5b.gguf, test.gguf, chat.gguf, big.gguf, llama-2-7b-chat.Q4_0.gguf, Meta-Llama-3-8B-Instruct.Q8_0.gguf, SmolLM-135M.gguf""")

OPPOSITES = [w.split("/") for w in _list("""hot/cold, big/small, fast/slow, old/young, good/bad, light/dark, day/night, up/down, left/right, high/low, long/short, hard/soft, rich/poor,
strong/weak, happy/sad, wet/dry, full/empty, open/closed, early/late, near/far, black/white, in/out, loud/quiet, thick/thin, clean/dirty, new/old, heavy/light, wide/narrow, sweet/sour, begin/end,
true/false, yes/no, first/last, always/never, win/lose, push/pull, love/hate, north/south, east/west, summer/winter""")]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

NOUNS = _list("""penguin/penguins, car/cars, garden/gardens, teacher/teachers, phone/phones, river/rivers, shop/shops, doctor/doctors, hat/hats, egg/eggs, cup/cups, road/roads, school/schools,
king/kings, horse/horses, tooth/teeth, knee/knees, leg/legs, wing/wings, eye/eyes, bone/bones, nail/nails, hair/hairs, shirt/shirts, ship/ships, bridge/bridges, wall/walls, roof/roofs, bed/beds,
window/windows, planet/planets, star/stars, cloud/clouds, storm/storms, mountain/mountains, lake/lakes, island/islands, forest/forests, tree/trees, leaf/leaves, flower/flowers, apple/apples,
lemon/lemons, onion/onions, cake/cakes, sandwich/sandwiches, bottle/bottles, knife/knives, spoon/spoons, lamp/lamps, clock/clocks, watch/watches, ring/rings, coin/coins, bank/banks, law/laws,
judge/judges, soldier/soldiers, war/wars, army/armies, queen/queens, city/cities, village/villages, museum/museums, library/libraries, song/songs, film/films, actor/actors, singer/singers,
painter/painters, poet/poets, writer/writers, game/games, ball/balls, team/teams, goal/goals, race/races, bike/bikes, bus/buses, train/trains, ticket/tickets, hotel/hotels, beach/beaches, desert/deserts,
camel/camels, tiger/tigers, snake/snakes, spider/spiders, bee/bees, ant/ants, cow/cows, sheep/sheep, goat/goats, farmer/farmers, tractor/tractors, field/fields, potato/potatoes, tomato/tomatoes,
baby/babies, child/children, parent/parents, brother/brothers, sister/sisters, uncle/uncles, wife/wives, husband/husbands, neighbour/neighbours, friend/friends, boss/bosses, office/offices, desk/desks,
chair/chairs, table/tables, carpet/carpets, kitchen/kitchens, oven/ovens, pan/pans, fridge/fridges, sofa/sofas, toy/toys, doll/dolls, balloon/balloons, kite/kites, drum/drums, piano/pianos, violin/violins,
letter/letters, stamp/stamps, newspaper/newspapers, pen/pens, page/pages, poem/poems, disease/diseases, pill/pills, hospital/hospitals, nurse/nurses, wound/wounds, scientist/scientists, atom/atoms,
rocket/rockets, satellite/satellites, telescope/telescopes, magnet/magnets, wire/wires, engine/engines, wheel/wheels, tyre/tyres, hammer/hammers, screw/screws, ladder/ladders, rope/ropes, tent/tents,
volcano/volcanoes, whale/whales, shark/sharks, octopus/octopuses, eagle/eagles, owl/owls, crow/crows, nest/nests, feather/feathers, tail/tails, dinosaur/dinosaurs, dragon/dragons, ghost/ghosts, vampire/vampires""")
VERBS = _list("""fly, swim, eat, sleep, jump, sing, dance, grow, burn, float, sink, break, melt, freeze, run, climb, bite, smell, shine, turn, move, fall, die, live, talk, think, laugh, cry, dream, fight, win, lose,
stop, start, work, rest, change, hide, travel, explode, disappear, hurt, taste good, cost money, lay eggs, have babies, make noise, drink water, see in the dark, breathe under water, wear hats, pay taxes, get old""")
ACTIONS = _list("""buy, sell, clean, wash, cook, paint, draw, fix, open, close, find, build, carry, catch, throw, cut, eat, drink, feed, plant, grow, train, teach, hire, fire, kiss, call, visit, invite, marry, choose, change, lose,
steal, hide, keep, move, lift, push, count, weigh, measure, photograph, wear, sew, fold, pack, ship, send, rent, insure, paint, decorate, repair, replace, charge, polish, sharpen, tie, burn, bury, recycle""")
ADJECTIVES = _list("""big, small, old, new, expensive, cheap, dangerous, healthy, poisonous, beautiful, ugly, strong, weak, rare, common, famous, legal, illegal, round, flat, heavy, light, fast, slow, clean, dirty, warm, cold, red, green,
blue, yellow, black, white, sharp, soft, loud, quiet, sweet, sour, bitter, salty, wet, dry, rich, poor, happy, sad, angry, tired, hungry, thirsty, alive, dead, real, fake, true, safe, deep, high, long, short""")
RELATIVES = _list("""mother, father, brother, sister, uncle, aunt, grandmother, grandfather, son, daughter, wife, husband, boss, teacher, neighbour, best friend, cousin, boyfriend, girlfriend, colleague, landlord, roommate""")

UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()

THINGS = _list("""apples, eggs, books, coins, birds, cats, cookies, balls, pencils, flowers, stones, cards, marbles, sheep, fish, stamps, cakes, cups, keys, nuts, pears, boxes, candles, shells, toys, sweets, oranges,
tickets, buttons, chairs, plates, dollars, euros, gold coins, bottles, chickens, trees, stars, letters, bags, shoes, bananas, photos, stickers, bees""")


def number_word(n: int) -> str:
    return UNITS[n] if n < 20 else TENS[n // 10] + ("" if n % 10 == 0 else "-" + UNITS[n % 10])
