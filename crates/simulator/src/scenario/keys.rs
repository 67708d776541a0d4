//! What a scenario may say.

/// One key of a scenario; the command line has an option of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// A value, for the eye.
    pub example: &'static str,
    /// What it means, and what holds without it.
    pub meaning: &'static str,
}

const fn key(name: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        example,
        meaning,
    }
}

/// All keys of a scenario.
pub const KEYS: [Key; 20] = [
    key(
        "name",
        "the load quadruples",
        "what it is about; the file's name unless given",
    ),
    key(
        "load",
        "step:100->400@600",
        "requests a second, in the language of loads",
    ),
    key(
        "trace",
        "nasa.csv",
        "instead of a load: a recording; beside the scenario, or in a folder of traces",
    ),
    key(
        "from",
        "36000",
        "seconds of the recording to leave out; none unless given",
    ),
    key(
        "seconds",
        "3600",
        "how long it lasts; to the recording's end unless given",
    ),
    key(
        "service",
        "100ms",
        "how long a worker takes for a request, on average; 100ms unless given",
    ),
    key(
        "cv",
        "1",
        "how that varies: standard deviation over mean (lognormal), 0 for not at all; 1 unless given",
    ),
    key("workers", "4", "workers in each pod; 4 unless given"),
    key(
        "queue",
        "1000",
        "requests that may wait in a pod, one more is told 503; 1000 unless given",
    ),
    key(
        "balancing",
        "random",
        "how a request finds its pod: random, least-outstanding or two-choices; random unless given",
    ),
    key(
        "start-delay",
        "30s..120s",
        "from a pod's creation until it serves, drawn evenly, or one time; 30s..120s unless given",
    ),
    key(
        "speeds",
        "0.3",
        "how pods differ in speed: the standard deviation of its logarithm; 0 unless given",
    ),
    key(
        "pods",
        "5",
        "pods at the beginning; what the first minute takes at 70 % unless given",
    ),
    key("target", "50ms", "the mean wait to keep"),
    key("min", "1", "the fewest pods; 1 unless given"),
    key("max", "80", "the most pods; 80 unless given"),
    key(
        "slow",
        "1200..2400x2",
        "service takes so many times as long in these seconds; several after commas",
    ),
    key(
        "drop",
        "1500..1800",
        "no pod tells anything in these seconds, or some do not: 1500..1800 30%; several after commas",
    ),
    key(
        "fail",
        "die 2@600",
        "pods die 2@600, freeze 1@600..720, or are made from then on and never-ready 3@600; several after commas",
    ),
    key(
        "start",
        "2026-01-05T08:00:00Z",
        "the time of the day at the beginning, for schedules",
    ),
];
