//! What a pocket image shows: eight attributes, each one of a few values.

use std::fmt;

/// Declares an attribute: an enum, all its values in order, and the wordings of each value.
///
/// The first wording names the value. No wording of any attribute may contain one of another as
/// whole words unless it is longer, or reading a prompt back becomes ambiguous.
macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident { $($value:ident: $($wording:literal)|+;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "a value is described by its wordings")]
        pub enum $name { $($value),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The ways to say it in a prompt; the first one is its name.
            pub fn wordings(self) -> &'static [&'static str] {
                match self { $(Self::$value => &[$($wording),+]),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.wordings()[0])
            }
        }
    };
}

attribute! {
    /// The thing in the foreground.
    Subject {
        Cat: "cat" | "kitten" | "feline";
        Bird: "bird" | "songbird" | "sparrow";
        Fish: "fish" | "trout";
        Butterfly: "butterfly" | "moth";
        Flower: "flower" | "blossom" | "tulip";
        Mushroom: "mushroom" | "toadstool";
        Cactus: "cactus" | "succulent";
        House: "house" | "cottage" | "cabin";
        Castle: "castle" | "fortress";
        Car: "car" | "automobile";
        Sailboat: "sailboat" | "sailing ship" | "yacht";
        Rocket: "rocket" | "spaceship";
        Balloon: "hot air balloon" | "aerostat";
        Umbrella: "umbrella" | "parasol";
        Robot: "robot" | "android" | "droid";
        Teapot: "teapot" | "kettle";
    }
}

attribute! {
    /// The subject's colour.
    Colour {
        Red: "red" | "crimson" | "scarlet";
        Orange: "orange" | "tangerine";
        Yellow: "yellow" | "lemon yellow";
        Green: "green" | "emerald";
        Blue: "blue" | "azure" | "cobalt";
        Purple: "purple" | "violet";
        Pink: "pink" | "fuchsia";
        White: "white" | "ivory";
        Black: "black" | "ebony";
        Brown: "brown" | "chocolate";
    }
}

attribute! {
    /// How many subjects there are.
    Count {
        One: "one" | "a" | "an" | "a single" | "a lone";
        Two: "two" | "a pair of" | "a couple of";
        Three: "three" | "a trio of" | "a group of three";
    }
}

attribute! {
    /// Where it is.
    Place {
        Forest: "in a forest" | "in the woods" | "among pine trees";
        Beach: "on a beach" | "at the seaside" | "on a sandy shore";
        Desert: "in a desert" | "among sand dunes";
        Mountains: "in the mountains" | "in an alpine valley" | "beneath high peaks";
        City: "in a city" | "in front of a skyline" | "in a downtown street";
        Meadow: "in a meadow" | "on a grassy field";
        Volcano: "near a volcano" | "below a smoking volcano";
        Arctic: "in the arctic" | "on pack ice" | "among icebergs";
    }
}

attribute! {
    /// When it is.
    Time {
        Dawn: "at dawn" | "at sunrise" | "in the early morning";
        Day: "at noon" | "in broad daylight" | "at midday";
        Dusk: "at dusk" | "at sunset" | "in the evening";
        Night: "at night" | "at midnight" | "by moonlight";
    }
}

attribute! {
    /// What the sky does.
    Weather {
        Clear: "clear sky" | "under a cloudless sky" | "fair weather";
        Rain: "in the rain" | "rainy weather" | "pouring rain";
        Snow: "snowfall" | "while it snows" | "falling snow";
        Fog: "in thick fog" | "misty" | "foggy weather";
        Storm: "during a thunderstorm" | "stormy weather" | "with lightning";
    }
}

attribute! {
    /// How near it is seen; the ordinary distance often goes unsaid.
    Composition {
        Close: "close-up" | "closeup shot";
        Medium: "medium shot" | "";
        Wide: "wide shot" | "seen from afar";
    }
}

attribute! {
    /// The medium of the picture.
    Medium {
        Photograph: "photograph" | "photo" | "dslr photo";
        Oil: "oil painting" | "oil on canvas";
        Watercolor: "watercolor" | "watercolor painting" | "aquarelle";
        Pencil: "pencil sketch" | "colored pencil drawing" | "pencil drawing";
        Pixel: "pixel art" | "8-bit pixel art" | "16-bit game sprite";
        Comic: "comic book panel" | "comic strip art" | "graphic novel art";
    }
}

/// What an image shows, whatever words say it.
///
/// Two prompts say the same exactly when their meanings are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Meaning {
    /// The thing in the foreground.
    pub subject: Subject,
    /// Its colour.
    pub colour: Colour,
    /// How many there are.
    pub count: Count,
    /// Where it is.
    pub place: Place,
    /// When it is.
    pub time: Time,
    /// What the sky does.
    pub weather: Weather,
    /// How near it is seen.
    pub composition: Composition,
    /// The medium of the picture.
    pub medium: Medium,
}

impl Meaning {
    /// Number of values of each attribute, in the order of the fields.
    pub const RADICES: [usize; 8] = [
        Subject::ALL.len(),
        Colour::ALL.len(),
        Count::ALL.len(),
        Place::ALL.len(),
        Time::ALL.len(),
        Weather::ALL.len(),
        Composition::ALL.len(),
        Medium::ALL.len(),
    ];

    /// Names of the attributes, in the order of the fields.
    pub const ATTRIBUTES: [&str; 8] = [
        "subject",
        "colour",
        "count",
        "place",
        "time",
        "weather",
        "composition",
        "medium",
    ];

    /// The meaning with these value numbers, each below its entry of [`Meaning::RADICES`].
    ///
    /// # Panics
    /// If a number is not below its radix.
    pub fn from_values(values: [usize; 8]) -> Self {
        let [
            subject,
            colour,
            count,
            place,
            time,
            weather,
            composition,
            medium,
        ] = values;
        Self {
            subject: Subject::ALL[subject],
            colour: Colour::ALL[colour],
            count: Count::ALL[count],
            place: Place::ALL[place],
            time: Time::ALL[time],
            weather: Weather::ALL[weather],
            composition: Composition::ALL[composition],
            medium: Medium::ALL[medium],
        }
    }

    /// The value numbers, the inverse of [`Meaning::from_values`].
    pub fn values(self) -> [usize; 8] {
        [
            self.subject as usize,
            self.colour as usize,
            self.count as usize,
            self.place as usize,
            self.time as usize,
            self.weather as usize,
            self.composition as usize,
            self.medium as usize,
        ]
    }

    /// The place of this meaning among all, from 0; stable as long as the attributes are.
    pub fn index(self) -> u64 {
        self.values()
            .iter()
            .zip(Self::RADICES)
            .fold(0, |index, (&value, radix)| {
                index * radix as u64 + value as u64
            })
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            colour,
            count,
            place,
            time,
            weather,
            composition,
            medium,
        } = self;
        write!(
            f,
            "{medium}: {count} {colour} {subject} {place} {time}, {weather}, {composition}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_index_are_one_to_one_at_the_corners() {
        let last = Meaning::RADICES.map(|radix| radix - 1);
        assert_eq!(Meaning::from_values([0; 8]).index(), 0);
        let total: u64 = Meaning::RADICES.iter().map(|&radix| radix as u64).product();
        assert_eq!(Meaning::from_values(last).index(), total - 1);
        assert_eq!(Meaning::from_values(last).values(), last);
    }
}
